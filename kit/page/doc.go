// Package page serves pages below /kit/ for any platform: its kinds, their
// documents as tables and forms, statistics, and one to try the API. A
// platform's own pages stand beside them, at any other path.
//
// It owns nothing. Pages read and write through clients that act as their
// caller, so they show and do what the caller's roles allow and no more. Which
// kinds a caller may see something of it reads from the roles, lest it asks for
// what would be refused, and audited. The pages are rendered on the server and
// work without JavaScript, but for the page to try the API; with it tables and
// documents follow the API's own watch, fetch themselves again and mark what
// has changed.
//
// Who has no token signs in at /kit/login, or where another service serves
// POST /login, there: that page must keep the token in the same cookie.
package page

import (
	"net/http"
	"slices"

	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

// Platform is what the pages show.
type Platform struct {
	// Kinds are all kinds of the platform.
	Kinds interface {
		Names() []string
		Find(name string) (kit.Owned, bool)
	}
	// As returns a client that acts as subject, and HTTP one for the platform's
	// routes, at any host.
	As   func(subject string) kit.Client
	HTTP func(subject string) *http.Client
	// Services returns the services of the platform.
	Services func() []kit.Service
}

// Service declares the pages of p.
func Service(p Platform) kit.Service {
	s := site{p}
	return kit.Service{Name: "page", Reads: []string{rest.Roles.Name}, Serves: s.routes()}
}

// site is what the pages are made from.
type site struct{ Platform }

func (s site) routes() []kit.Route {
	pages := s.pages()
	routes := pages.Routes()
	for _, p := range []struct {
		pattern string
		view    view
	}{
		{"GET /kit/{$}", s.kinds},
		{"GET /kit/kinds/{kind}", s.table},
		{"GET /kit/kinds/{kind}/{id}", s.document},
		{"POST /kit/kinds/{kind}/{id}", s.save},
		{"GET /kit/new/{kind}", s.blank},
		{"POST /kit/new/{kind}", s.create},
		{"GET /kit/delete/{kind}/{id}", s.confirm},
		{"POST /kit/delete/{kind}/{id}", s.remove},
		{"POST /kit/do/{kind}/{id}", s.do},
		{"GET /kit/stats", s.stats},
		{"GET /kit/try", s.try},
		{"/kit/", s.nothing},
	} {
		routes = append(routes, kit.Route{Pattern: p.pattern, Handler: pages.Handler(s.view(p.view)), Anonymous: true})
	}
	return routes
}

// serves tells whether another service of the platform has a route with one
// of the patterns.
func (s site) serves(patterns ...string) bool {
	return slices.ContainsFunc(s.Services(), func(other kit.Service) bool {
		return slices.ContainsFunc(other.Serves, func(r kit.Route) bool { return slices.Contains(patterns, r.Pattern) })
	})
}

// nothing answers for paths that have no page.
func (s site) nothing(r request) (page, error) {
	return page{}, &kit.Error{Fault: kit.ErrNotFound, Detail: "there is no page " + r.URL.Path, Hint: "the pages of all kinds are at /kit/"}
}
