package web

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"landfall.dev/api"
)

// runnersPage shows the runners, what they do and what waits for them.
type runnersPage struct {
	Runners []runnerRow
	Waiting []api.QueuePlace // the first of them
	Left    int              // how many more there are
}

// runnerRow is a runner with the builds that run there.
type runnerRow struct {
	api.Runner
	Quiet  bool // it has not been heard of for too long
	Builds []api.Build
}

// Builds on e, as far as they have said so.
func (r runnerRow) On(e api.RunnerEngine) []api.Build {
	var there []api.Build
	for _, b := range r.Builds {
		if b.Engine == e.Name {
			there = append(there, b)
		}
	}
	return there
}

const (
	maxRunners = 200 // on a page
	maxWaiting = 50  // likewise
	maxWorking = 500 // builds at work that are looked at
)

func (s site) runners(r request) (page, error) {
	var p runnersPage
	all, err := latest(r, api.Runners, "", maxRunners)
	if err != nil {
		return page{}, err
	}
	working, err := latest(r, api.Builds, fmt.Sprintf("state == %q", api.BuildRunning), maxWorking)
	if err != nil {
		return page{}, err
	}
	slices.SortFunc(all, func(a, b api.Runner) int { return cmp.Compare(a.Link, b.Link) })
	for _, doc := range all {
		p.Runners = append(p.Runners, rowOf(doc, working))
	}
	if r.may("list", api.Builds.Link("")) {
		if err := s.ask(r, "/job/queue", nil, &p.Waiting); err != nil {
			return page{}, err
		}
	}
	if p.Left = len(p.Waiting) - maxWaiting; p.Left > 0 {
		p.Waiting = p.Waiting[:maxWaiting]
	}
	return page{Title: "Runners", Section: "/runners", Body: "runners", Content: p, Live: follow(api.Runners.Name, api.Builds.Name)}, nil
}

func rowOf(doc api.Runner, working []api.Build) runnerRow {
	row := runnerRow{Runner: doc, Quiet: doc.Silent(time.Now())}
	for _, b := range working {
		if b.Runner == doc.Link.ID() {
			row.Builds = append(row.Builds, b)
		}
	}
	return row
}

// runnerPage is a runner with its last builds.
type runnerPage struct {
	runnerRow
	Last []api.Build
}

func (s site) runner(r request) (page, error) {
	doc, err := read(r, api.Runners)
	if err != nil {
		return page{}, err
	}
	last, err := latest(r, api.Builds, fmt.Sprintf("runner == %q", r.id), pageSize)
	if err != nil {
		return page{}, err
	}
	var working []api.Build
	for _, b := range last {
		if b.State == api.BuildRunning {
			working = append(working, b)
		}
	}
	p := runnerPage{runnerRow: rowOf(doc, working), Last: last}
	return page{Title: "Runner " + r.id, Section: "/runners", Body: "runner", Content: p, Live: follow(string(doc.Link), api.Builds.Name)}, nil
}
