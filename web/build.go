package web

import (
	"maps"
	"slices"

	"landfall.dev/api"
)

// buildsPage is a list of builds.
type buildsPage struct {
	narrowed
	Builds []api.Build
	Next   string
}

func (s site) builds(r request) (page, error) {
	n, err := narrow(r)
	if err != nil {
		return page{}, err
	}
	p := buildsPage{narrowed: n}
	p.Builds, p.Next, err = list(r, api.Builds, n.filter("job"), "-created")
	return page{Title: "Builds", Section: "/builds", Body: "builds", Content: p, Live: follow(api.Builds.Name)}, err
}

// buildPage is a build with a part of its log.
type buildPage struct {
	api.Build
	Report *api.Report
	Holds  *api.Inventory
	Log    log
	Cancel bool // the caller may
	Hold   bool // the caller may have it kept if it fails
}

func (s site) build(r request) (page, error) {
	b, err := read(r, api.Builds)
	if err != nil {
		return page{}, err
	}
	p := buildPage{Build: b, Cancel: !b.State.Done() && r.may("cancel", b.Link), Hold: !b.State.Done() && !b.Keep && r.may("keep", b.Link)}
	if p.Report, err = verdictOf(r, b); err != nil {
		return page{}, err
	}
	if p.Holds, err = contentsOf(r, b); err != nil {
		return page{}, err
	}
	if p.Log, err = s.log(r, b); err != nil {
		return page{}, err
	}
	return page{Title: "Build " + b.Link.ID(), Section: "/builds", Body: "build", Content: p, Live: follow(string(b.Link))}, nil
}

// buildForms are the forms on the page of a build.
var buildForms = map[string]form{"cancel": noArguments, "keep": noArguments}

// Settings returns the lines NAME=VALUE of a map, in order.
func (p buildPage) Settings(m map[string]string) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		lines = append(lines, name+"="+m[name])
	}
	return lines
}
