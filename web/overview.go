package web

import (
	"fmt"

	"landfall.dev/api"
)

// overviewPage is what goes on now.
type overviewPage struct {
	Changes  []api.Change
	Runs     []api.Run
	Places   []place
	Channels []api.Channel
	Upgrades []api.Upgrade
}

// place is an environment and what its agent said last to run there.
type place struct {
	api.Environment
	Runs *api.Status // nil if nothing is known to run
}

// underWay passes upgrades that have neither been completed nor given up.
var underWay = fmt.Sprintf("!(state in [%q, %q, %q])", api.UpgradeRetired, api.UpgradeAborted, api.UpgradeRolledBack)

func (s site) overview(r request) (page, error) {
	var o overviewPage
	var err error
	if o.Changes, err = latest(r, api.Changes, fmt.Sprintf("status == %q", api.ChangeOpen), 10); err != nil {
		return page{}, err
	}
	if o.Runs, err = latest(r, api.Runs, "", 10); err != nil {
		return page{}, err
	}
	if o.Upgrades, err = latest(r, api.Upgrades, underWay, 5); err != nil {
		return page{}, err
	}
	if o.Channels, err = latest(r, api.Channels, "", 20); err != nil {
		return page{}, err
	}
	environments, err := latest(r, api.Environments, "", 20)
	if err != nil {
		return page{}, err
	}
	if o.Places, err = places(r, environments); err != nil {
		return page{}, err
	}
	live := follow(api.Changes.Name, api.Runs.Name, api.Channels.Name, api.Environments.Name, api.Statuses.Name, api.Upgrades.Name)
	return page{Title: "Overview", Section: "/", Body: "overview", Content: o, Live: live}, nil
}

func places(r request, environments []api.Environment) ([]place, error) {
	var ps []place
	for _, e := range environments {
		said, err := latest(r, api.Statuses, fmt.Sprintf("environment == %q && state == %q", e.Link.ID(), api.DeploymentPassed), 1)
		if err != nil {
			return nil, err
		}
		p := place{Environment: e}
		if len(said) > 0 {
			p.Runs = &said[0]
		}
		ps = append(ps, p)
	}
	return ps, nil
}
