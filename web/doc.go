// Package web shows Landfall to people: pages rendered on the server, at the
// paths of the documents that they show, so that a document's link is its
// page's address too.
//
// It owns nothing. It reads what it shows through clients that act as the
// page's caller, so that a page shows what its caller may see and no more, and
// sends the events of its forms (a vote, an approval) the same way. What is
// not a document (diffs, logs) it asks for as services/web once the caller has
// been found to be allowed it. Pages work without JavaScript; with it they
// follow /live, which tells that something they show has changed, and fetch
// themselves again.
package web

import (
	"net/http"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// kinds are those that pages show.
var kinds = []string{
	api.Projects.Name, api.Refs.Name, api.Pushes.Name, api.Changes.Name,
	api.Jobs.Name, api.Generations.Name, api.Schedules.Name, api.Proposals.Name, api.Builds.Name, api.Runners.Name, api.Reports.Name, api.Tests.Name, api.Inventories.Name, api.Runs.Name, api.Images.Name,
	api.Releases.Name, api.Channels.Name,
	api.Environments.Name, api.Deployments.Name, api.Statuses.Name, api.Upgrades.Name,
}

// Service declares all that web may touch. c acts as services/web, and so does
// h, an HTTP client for the hub's raw routes; as returns a client that acts as
// a subject; base is the hub's address, as people reach it.
func Service(c kit.Client, as func(subject string) kit.Client, h *http.Client, base string) kit.Service {
	s := site{client: c, as: as, http: h, base: base}
	return kit.Service{Name: "web", Reads: kinds, Serves: s.routes()}
}

// site is what the pages are made from.
type site struct {
	client kit.Client
	as     func(subject string) kit.Client
	http   *http.Client
	base   string
}

func (s site) routes() []kit.Route {
	pages := s.pages()
	routes := pages.Routes()
	// Browsers without a token get the sign-in page instead of a 401.
	add := func(pattern string, h http.HandlerFunc) {
		routes = append(routes, kit.Route{Pattern: pattern, Handler: h, Anonymous: true})
	}
	for _, p := range []struct {
		path string
		view view
	}{
		{"/{$}", s.overview},
		{"/changes", s.changes}, {"/changes/{id}", s.change}, {"/pushes/{id}", s.push},
		{"/runs", s.runs}, {"/runs/{id}", s.run},
		{"/jobs", s.jobs}, {"/runners", s.runners}, {"/runners/{id}", s.runner},
		{"/builds", s.builds}, {"/builds/{id}", s.build}, {"/reports/{id}", s.report}, {"/tests", s.testList}, {"/tests/{id}", s.tests},
		{"/inventories", s.inventories}, {"/inventories/{id}", s.inventory},
		{"/releases", s.releases}, {"/releases/{id}", s.release},
		{"/channels", s.channels}, {"/channels/{id}", s.channel},
		{"/environments", s.environments}, {"/environments/{id}", s.environment},
		{"/deployments/{id}", s.deployment},
		{"/upgrades", s.upgrades}, {"/upgrades/{id}", s.upgrade},
		{"/projects", s.projects}, {"/projects/{id}", s.project}, {"/projects/{id}/files/{commit}/{path...}", s.file},
		{"/projects/{id}/jobs/{name...}", s.jobByName}, {"/jobs/{id}", s.job},
	} {
		add("GET "+p.path, pages.Handler(s.view(p.view)))
	}
	add("POST /changes/{id}/{do}", pages.Handler(s.view(act(api.Changes.Name, changeForms))))
	add("POST /runs/{id}/{do}", pages.Handler(s.view(act(api.Runs.Name, runForms))))
	add("POST /reports/{id}/{do}", pages.Handler(s.view(act(api.Reports.Name, reportForms))))
	add("POST /inventories/{id}/{do}", pages.Handler(s.view(act(api.Inventories.Name, inventoryForms))))
	add("POST /builds/{id}/{do}", pages.Handler(s.view(act(api.Builds.Name, buildForms))))
	add("GET /live", s.live)
	add("/", s.nothing(pages))
	return routes
}
