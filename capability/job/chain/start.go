package chain

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// Jobs start each other's builds. These are bounds for those that do it in a
// circle.
const (
	maxDepth  = 20  // builds one above the other
	maxStarts = 100 // builds that one starts
)

// started is a build of the job that b starts: of the same commit, as much
// trusted.
func started(b api.Build, job string) api.Build {
	return api.Build{
		Meta: kit.Meta{Source: b.Link}, Project: b.Project, Job: job, Commit: b.Commit, Definitions: b.Definitions,
		Author: b.Author, Change: b.Change, PatchSet: b.PatchSet, Upstream: b.Link, Depth: b.Depth + 1,
	}
}

// MayStart tells why b must not start these builds.
func MayStart(b api.Build, starts []api.Start) error {
	switch {
	case len(starts) == 0:
		return nil
	case b.Depth >= maxDepth:
		return fmt.Errorf("%d builds that started one another stand above this one: do its jobs start each other in a circle?", b.Depth)
	case len(b.Calls)+len(starts) > maxStarts:
		return fmt.Errorf("it would start more than %d builds", maxStarts)
	}
	return nil
}

// StartAll makes b start the builds in one of its steps.
func StartAll(b api.Build, step int, starts []api.Start) (api.Build, []kit.Op) {
	var ops []kit.Op
	for i, s := range starts {
		child := started(b, s.Job)
		child.Params = s.Params
		link := api.CalledBuild(b, step, i)
		ops = append(ops, kit.Create(api.Builds, link.ID(), child))
		call := api.Call{Job: s.Job, Build: link, Wait: s.Wait}
		if !slices.Contains(b.Calls, call) {
			b.Calls = append(b.Calls, call)
		}
	}
	return b, ops
}

// Follow makes b, which has ended, start the builds that come after it.
func Follow(b api.Build, starts []api.Start) (api.Build, []kit.Op) {
	if err := MayStart(b, starts); err != nil {
		if b.Error == "" {
			b.Error = "nothing follows: " + err.Error()
		}
		return b, nil
	}
	return StartAll(b, 0, starts)
}

// CancelStarted cancels what b has waited for.
func CancelStarted(b api.Build) []kit.Op {
	var ops []kit.Op
	for _, c := range b.Calls {
		if c.Wait {
			ops = append(ops, kit.Send(c.Build, "cancel", nil))
		}
	}
	for _, c := range b.Cells {
		if c.State == api.BuildCreated {
			ops = append(ops, kit.Send(c.Build, "cancel", nil))
		}
	}
	return ops
}

// downstream is what follows on a build that no runner had, because its cells
// were built: only its own parameters are known then.
func downstream(b api.Build) []api.Start {
	var starts []api.Start
	known := func(name string) string { return b.Params[name] }
	for _, d := range b.Spec.Downstream {
		if len(d.On) > 0 && !slices.Contains(d.On, b.Outcome()) {
			continue
		}
		params := map[string]string{}
		if d.Current {
			maps.Copy(params, b.Params)
		}
		for name, value := range d.Params {
			params[name] = os.Expand(value, known)
		}
		for _, job := range d.Jobs {
			starts = append(starts, api.Start{Job: os.Expand(job, known), Params: params})
		}
	}
	return starts
}

func worse(a, b api.Result) api.Result {
	if a.Rank() > b.Rank() {
		return a
	}
	return b
}

func merged(a, b map[string]string) map[string]string {
	m := maps.Clone(a)
	if m == nil {
		m = map[string]string{}
	}
	maps.Copy(m, b)
	return m
}
