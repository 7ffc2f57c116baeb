package pipeline

import (
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// next returns r after e, and what must now happen elsewhere.
func next(r api.Run, e kit.Event, now time.Time) (api.Run, []kit.Op) {
	if e.Name == "created" {
		r.State = api.RunPlanning
		return r, []kit.Op{kit.Call("plan", "1", nil)}
	}
	switch {
	case e.Name == "rerun":
		return rerun(r)
	case e.Name == "recheck":
		return recheck(r, e)
	case r.State.Final() && e.Name == "supersede":
		return supersede(r)
	case e.Name == "locked":
		return locked(r, e, now)
	case r.State.Final() && (e.Name == "approve" || e.Name == "override"):
		return r, kit.Refuse(kit.ErrConflict, "the run is %s: nothing of it waits any more", r.State)
	case r.State.Final():
		return r, nil
	}
	if react := reactions[e.Name]; react != nil {
		return react(r, e, now)
	}
	return r, nil
}

// reactions are what events do to a run that has not ended.
var reactions = map[string]kit.Next[api.Run]{
	"plan.done":     planned,
	"plan.failed":   unplanned,
	"node":          nodeDone,
	"release.done":  nodeDone,
	"rollback.done": nodeDone,
	"trigger.done":  nodeDone,
	"promote.done":  promoted,
	"expand.done":   expanded,
	"report":        reported,
	"approve":       approve,
	"admit.done":    admitted,
	"override":      override,
	"wake":          wake,
	"cancel":        cancel,
	"supersede":     cancel,
}

// failure is the data of the event that an action has failed.
type failure struct {
	Error string `json:"error"`
}

// planResult is the outcome of the action plan. Error says why there is no
// plan.
type planResult struct {
	Definitions string   `json:"definitions"`
	Library     string   `json:"library,omitempty"`
	Plan        api.Plan `json:"plan"`
	Log         string   `json:"log"`
	Error       string   `json:"error,omitempty"`
}

func planned(r api.Run, e kit.Event, now time.Time) (api.Run, []kit.Op) {
	var p planResult
	if err := e.Into(&p); err != nil {
		p.Error = err.Error()
	}
	r.Log = p.Log
	if p.Error != "" {
		return endUnplanned(r, api.RunFailed, p.Error, now)
	}
	r.Definitions, r.Library, r.State = p.Definitions, p.Library, api.RunRunning
	r.Plan, r.Nodes, r.Blocks = api.Plan{}, nil, nil
	extend(&r, p.Plan)
	w := newWalk(&r, now)
	w.advance()
	return r, w.ops
}

// extend adds more to the run's plan.
func extend(r *api.Run, more api.Plan) {
	r.Plan.Nodes = append(r.Plan.Nodes, more.Nodes...)
	r.Plan.Blocks = append(r.Plan.Blocks, more.Blocks...)
	for _, f := range more.Read {
		if !slices.Contains(r.Plan.Read, f) {
			r.Plan.Read = append(slices.Clip(r.Plan.Read), f)
		}
	}
	for _, n := range more.Nodes {
		r.Nodes = append(r.Nodes, api.NodeRun{ID: n.ID, State: api.RunWaiting})
	}
	for _, b := range more.Blocks {
		r.Blocks = append(r.Blocks, api.NodeRun{ID: b.ID, State: api.RunWaiting})
	}
}

func unplanned(r api.Run, e kit.Event, now time.Time) (api.Run, []kit.Op) {
	var failure struct {
		Error string `json:"error"`
	}
	_ = e.Into(&failure) // without a reason it has failed all the same
	return endUnplanned(r, api.RunFailed, failure.Error, now)
}

// endUnplanned ends a run that has no plan.
func endUnplanned(r api.Run, s api.RunState, why string, now time.Time) (api.Run, []kit.Op) {
	w := newWalk(&r, now)
	w.end(s, why)
	return r, w.ops
}

// maxError bounds what is kept of the reason for which a node failed, in bytes:
// a run with many nodes is to fit in a document.
const maxError = 300

// nodeDone takes in the outcome of a node. One of an earlier attempt, of
// something that the run has not ordered, or that is known already, changes
// nothing.
func nodeDone(r api.Run, e kit.Event, now time.Time) (api.Run, []kit.Op) {
	var d api.NodeDone
	if err := e.Into(&d); err != nil {
		return r, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	w := newWalk(&r, now)
	p := w.byID[d.Node]
	if p == nil || p.node == nil || p.State != api.RunRunning || p.Attempt != d.Attempt {
		return r, nil
	}
	if p.Link != "" && d.Link != "" && p.Link != d.Link {
		return r, nil
	}
	if d.Link != "" {
		p.Link = d.Link
	}
	p.Image, p.Error, p.Finished, p.ExitCode = d.Image, shorten(d.Error), now, d.ExitCode
	p.Reported, p.Listed = d.Reported, d.Listed
	switch {
	case d.Passed:
		p.State = api.RunPassed
	case d.Infrastructure && d.Attempt <= p.node.Retries:
		p.State = api.RunWaiting
	default:
		p.State, p.Cause = api.RunFailed, causeOf(d)
	}
	w.advance()
	return r, w.ops
}

func causeOf(d api.NodeDone) api.Cause {
	switch {
	case d.Infrastructure:
		return api.CauseInfra
	case d.Unstable:
		return api.CauseUnstable
	}
	return api.CauseFailure
}

// shorten keeps the beginning of text, without what takes more room in JSON.
func shorten(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, shortenTo(text, maxError))
}

func shortenTo(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + " …"
}

// wake does what only time has brought about.
func wake(r api.Run, _ kit.Event, now time.Time) (api.Run, []kit.Op) {
	r.Wake = time.Time{}
	w := newWalk(&r, now)
	w.advance()
	return r, w.ops
}

func cancel(r api.Run, e kit.Event, now time.Time) (api.Run, []kit.Op) {
	w := newWalk(&r, now)
	for _, p := range w.top {
		if !p.State.Final() {
			w.stop(p, "")
			p.State, p.Finished = api.RunCancelled, now
		}
	}
	why := "cancelled by " + e.By
	if e.Name == "supersede" {
		why, r.Superseded = "a later patch set took its place", true
	}
	w.end(api.RunCancelled, why)
	w.setAlarm()
	return r, w.ops
}
