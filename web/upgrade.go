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
	Switch  *moved // nil before the commit
	Pauses  pauses
}

// moved is the moment when traffic went to green, in the chart.
type moved struct {
	X    int
	At   time.Time
	Back time.Time // when it went to blue again, if it did
	Text string    // how long traffic was held
}

// movedIn returns the moment of the commit right of the final cycle's bar.
func movedIn(u api.Upgrade, c chart) *moved {
	for _, m := range u.History {
		if m.State != api.UpgradeCommitted || u.Blue.Group == "" {
			continue
		}
		at := &moved{X: c.Left, At: m.At}
		if u.Pause > 0 {
			at.Text = "held for " + brief(u.Pause.Std())
		}
		for _, b := range c.Bars {
			if b.Final {
				at.X = min(b.X+b.Width+4, c.Width-2)
			}
		}
		for _, later := range u.History {
			if later.State == api.UpgradeRolledBack {
				at.Back = later.At
			}
		}
		return at
	}
	return nil
}

// Slowness tells in percent by how much writers are slowed, and were at most.
func (p upgradePage) Slowness() []int {
	return []int{int(100*p.Slowed + 0.5), int(100*p.Slowest + 0.5)}
}

// At returns the link of the environment.
func (p upgradePage) At() kit.Link { return api.Environments.Link(p.Environment) }

// Held tells whether traffic was held and goes on again.
func (p upgradePage) Held() bool { return p.Pause > 0 }

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

// wayOfRehearsal is that of a rehearsal that comes to its report.
var wayOfRehearsal = []api.UpgradeState{
	api.UpgradePlanned, api.UpgradeProvision, api.UpgradeCopying, api.UpgradeReady, api.UpgradeAborting, api.UpgradeRehearsed,
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
	p.Switch = movedIn(u, p.Chart)
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
	way := way
	if u.Rehearse && u.Error == "" {
		way, back = wayOfRehearsal, false
	}
	if !back {
		now := slices.Index(way, u.State)
		for i, state := range way {
			mark := "next"
			switch {
			case i < now, i == now && i == len(way)-1:
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
