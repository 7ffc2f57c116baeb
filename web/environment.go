package web

import (
	"fmt"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// environmentsPage is a list of environments.
type environmentsPage struct {
	Places []place
	Next   string
}

func (s site) environments(r request) (page, error) {
	var p environmentsPage
	environments, next, err := list(r, api.Environments, "", "")
	if err != nil {
		return page{}, err
	}
	p.Next = next
	if p.Places, err = places(r, environments); err != nil {
		return page{}, err
	}
	return page{
		Title: "Environments", Section: "/environments", Body: "environments", Content: p,
		Live: follow(api.Environments.Name, api.Statuses.Name),
	}, nil
}

// environmentPage is an environment and what went on there last.
type environmentPage struct {
	place
	Deployments []api.Deployment
	Statuses    []api.Status
	Upgrades    []api.Upgrade
}

func (s site) environment(r request) (page, error) {
	e, err := read(r, api.Environments)
	if err != nil {
		return page{}, err
	}
	ps, err := places(r, []api.Environment{e})
	if err != nil {
		return page{}, err
	}
	p := environmentPage{place: ps[0]}
	here := fmt.Sprintf("environment == %q", e.Link.ID())
	if p.Deployments, err = latest(r, api.Deployments, here, 30); err != nil {
		return page{}, err
	}
	if p.Statuses, err = latest(r, api.Statuses, here, 30); err != nil {
		return page{}, err
	}
	if p.Upgrades, err = latest(r, api.Upgrades, here, 10); err != nil {
		return page{}, err
	}
	return page{
		Title: e.Link.ID(), Section: "/environments", Body: "environment", Content: p,
		Live: follow(string(e.Link), api.Deployments.Name, api.Statuses.Name, api.Upgrades.Name),
	}, nil
}

// deploymentPage is a deployment and where it came from.
type deploymentPage struct {
	api.Deployment
	Evidence []evidence
	Statuses []api.Status
}

func (s site) deployment(r request) (page, error) {
	d, err := read(r, api.Deployments)
	if err != nil {
		return page{}, err
	}
	run := d.Run
	if run == "" && d.Source.Kind() == api.Runs.Name {
		run = d.Source
	}
	p := deploymentPage{Deployment: d}
	if p.Evidence, err = walk(r, d.Image, run); err != nil {
		return page{}, err
	}
	if d.Release != "" {
		p.Evidence = append([]evidence{{What: "release", Link: d.Release}}, p.Evidence...)
	}
	if p.Statuses, err = latest(r, api.Statuses, fmt.Sprintf("deployment == %q", d.Link), 10); err != nil {
		return page{}, err
	}
	interesting := []string{string(d.Link), api.Statuses.Name}
	if d.Upgrade != "" {
		interesting = append(interesting, string(d.Upgrade))
	}
	return page{
		Title: "Deployment " + d.Link.ID(), Section: "/environments", Body: "deployment", Content: p,
		Live: follow(interesting...),
	}, nil
}

// At returns the link of the environment.
func (p deploymentPage) At() kit.Link { return api.Environments.Link(p.Environment) }
