package web

import (
	"slices"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// upgradesPage is a list of upgrades.
type upgradesPage struct {
	Upgrades []api.Upgrade
	Next     string
}

func (s site) upgrades(r request) (page, error) {
	var p upgradesPage
	filter, err := projectFilter(r)
	if err != nil {
		return page{}, err
	}
	p.Upgrades, p.Next, err = list(r, api.Upgrades, filter, "-created")
	return page{Title: "Upgrades", Section: "/upgrades", Body: "upgrades", Content: p, Live: follow(api.Upgrades.Name)}, err
}

// upgradePage is a live upgrade.
type upgradePage struct {
	api.Upgrade
	Steps   []stage
	Moments []moment
	Chart   chart
	Pauses  pauses
}

// At returns the link of the environment.
func (p upgradePage) At() kit.Link { return api.Environments.Link(p.Environment) }

// Paused tells whether traffic was held and goes on again.
func (p upgradePage) Paused() bool { return p.Pause > 0 }

// stage is a state on the way of an upgrade.
type stage struct {
	State api.UpgradeState
	Mark  string // done, now, next
}

// moment is an entry of an upgrade's history.
type moment struct {
	api.Moment
	After time.Duration // since the one before
}

// Later tells how long after the moment before this one came.
func (m moment) Later() string { return brief(m.After) }

// way is the way of an upgrade that goes well.
var way = []api.UpgradeState{
	api.UpgradePlanned, api.UpgradeProvision, api.UpgradeCopying, api.UpgradeReady, api.UpgradeHolding,
	api.UpgradeFenced, api.UpgradeFinal, api.UpgradeVerified, api.UpgradeCommitted, api.UpgradeReleased,
	api.UpgradeSoak, api.UpgradeRetired,
}

// waysBack are the states of upgrades that do not go well, each with the one
// that it ends in.
var waysBack = map[api.UpgradeState]api.UpgradeState{
	api.UpgradeAborting: api.UpgradeAborted, api.UpgradeAborted: api.UpgradeAborted,
	api.UpgradeBack: api.UpgradeRolledBack, api.UpgradeRolledBack: api.UpgradeRolledBack,
}

func (s site) upgrade(r request) (page, error) {
	u, err := read(r, api.Upgrades)
	if err != nil {
		return page{}, err
	}
	p := upgradePage{Upgrade: u, Steps: stagesOf(u), Chart: chartOf(u.Cycles), Pauses: pausesOf(u)}
	for i, m := range u.History {
		at := moment{Moment: m}
		if i > 0 {
			at.After = max(m.At.Sub(u.History[i-1].At), 0)
		}
		p.Moments = append(p.Moments, at)
	}
	return page{Title: "Upgrade " + u.Link.ID(), Section: "/upgrades", Body: "upgrade", Content: p, Live: follow(string(u.Link))}, nil
}

// stagesOf returns the way of u: the states that it was in and, unless it goes
// back, those that are to come.
func stagesOf(u api.Upgrade) []stage {
	var ss []stage
	end, back := waysBack[u.State]
	if !back {
		now := slices.Index(way, u.State)
		for i, state := range way {
			mark := "next"
			switch {
			case i < now, i == now && state == api.UpgradeRetired:
				mark = "done"
			case i == now:
				mark = "now"
			}
			ss = append(ss, stage{state, mark})
		}
		return ss
	}
	for _, m := range u.History {
		known := slices.ContainsFunc(ss, func(s stage) bool { return s.State == m.State })
		if !known && m.State != u.State {
			ss = append(ss, stage{m.State, "done"})
		}
	}
	ss = append(ss, stage{u.State, "now"})
	if u.State != end {
		ss = append(ss, stage{end, "next"})
	}
	return ss
}
