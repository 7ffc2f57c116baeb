package pipeline

import (
	"fmt"
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
	case r.State.Final() && e.Name == "supersede":
		return supersede(r)
	case r.State.Final():
		return r, nil
	}
	switch e.Name {
	case "plan.done":
		return planned(r, e, now)
	case "plan.failed":
		var failure failure
		_ = e.Into(&failure)
		return end(r, api.RunFailed, failure.Error, now), nil
	case "node", "release.done":
		return nodeDone(r, e, now)
	case "approve":
		return approve(r, e, now)
	case "admit.done":
		return admitted(r, e, now)
	case "cancel", "supersede":
		return cancel(r, e, now)
	}
	return r, nil
}

// failure is the data of the event that an action has failed.
type failure struct {
	Error string `json:"error"`
}

// planResult is the outcome of the action plan.
type planResult struct {
	Definitions string   `json:"definitions"`
	Plan        api.Plan `json:"plan"`
	Log         string   `json:"log"`
}

func planned(r api.Run, e kit.Event, now time.Time) (api.Run, []kit.Op) {
	var p planResult
	if err := e.Into(&p); err != nil {
		return end(r, api.RunFailed, err.Error(), now), nil
	}
	r.Definitions, r.Plan, r.Log = p.Definitions, p.Plan, p.Log
	r.State = api.RunRunning
	r.Nodes = make([]api.NodeRun, len(p.Plan.Nodes))
	for i, n := range p.Plan.Nodes {
		r.Nodes[i] = api.NodeRun{ID: n.ID, State: api.RunWaiting}
	}
	return advance(r, now)
}

// nodeDone takes in the outcome of a node. One of an earlier attempt, of
// something that the run has not ordered, or that is known already, changes
// nothing.
func nodeDone(r api.Run, e kit.Event, now time.Time) (api.Run, []kit.Op) {
	var d api.NodeDone
	if err := e.Into(&d); err != nil {
		return r, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	i := find(r, d.Node)
	if i < 0 || r.Nodes[i].State != api.RunRunning || r.Nodes[i].Attempt != d.Attempt {
		return r, nil
	}
	n := &r.Nodes[i]
	if n.Link != "" && n.Link != d.Link {
		return r, nil
	}
	n.Link, n.Image, n.Error, n.Finished = d.Link, d.Image, d.Error, now
	switch {
	case d.Passed:
		n.State = api.RunPassed
	case d.Infrastructure && d.Attempt <= r.Plan.Nodes[i].Retries:
		n.State = api.RunWaiting
	default:
		n.State = api.RunFailed
	}
	return advance(r, now)
}

func cancel(r api.Run, e kit.Event, now time.Time) (api.Run, []kit.Op) {
	var ops []kit.Op
	for i := range r.Nodes {
		if r.Nodes[i].State == api.RunRunning && r.Plan.Nodes[i].Type == api.NodeBuild {
			ops = append(ops, kit.Send(r.Nodes[i].Link, "cancel", nil))
		}
		if !r.Nodes[i].State.Final() {
			r.Nodes[i].State, r.Nodes[i].Finished = api.RunCancelled, now
		}
	}
	why := "cancelled by " + e.By
	if e.Name == "supersede" {
		why, r.Superseded = "a later patch set took its place", true
	}
	return end(r, api.RunCancelled, why, now), ops
}

// advance starts every node whose needs have passed, and ends the run when
// none is left to wait for.
func advance(r api.Run, now time.Time) (api.Run, []kit.Op) {
	var ops []kit.Op
	for changed := true; changed; {
		changed = false
		for i := range r.Nodes {
			if r.Nodes[i].State != api.RunWaiting {
				continue
			}
			switch state, need := needs(r, i); state {
			case api.RunPassed:
				ops, changed = append(ops, start(&r, i, now)...), true
			case api.RunFailed:
				r.Nodes[i].State, r.Nodes[i].Error, changed = api.RunCancelled, need+" did not pass", true
			}
		}
	}
	if state := outcome(r); state.Final() {
		r = end(r, state, "", now)
	}
	return r, ops
}

// needs returns passed if all that node i needs has passed; failed, and which,
// if one of them never will; else running.
func needs(r api.Run, i int) (api.RunState, string) {
	state := api.RunPassed
	for _, id := range r.Plan.Nodes[i].Needs {
		j := find(r, id)
		switch {
		case j < 0 || r.Nodes[j].State == api.RunFailed || r.Nodes[j].State == api.RunCancelled:
			return api.RunFailed, id
		case r.Nodes[j].State != api.RunPassed:
			state = api.RunRunning
		}
	}
	return state, ""
}

// outcome returns what the nodes make of the run: running while one of them can
// still go on.
func outcome(r api.Run) api.RunState {
	state := api.RunPassed
	for _, n := range r.Nodes {
		switch n.State {
		case api.RunWaiting, api.RunRunning:
			return api.RunRunning
		case api.RunFailed, api.RunCancelled:
			state = api.RunFailed
		}
	}
	return state
}

func end(r api.Run, s api.RunState, why string, now time.Time) api.Run {
	r.State, r.Done = s, now
	if why != "" {
		r.Error = why
	}
	return r
}

func find(r api.Run, id string) int {
	for i := range r.Nodes {
		if r.Nodes[i].ID == id {
			return i
		}
	}
	return -1
}

// workID is the id of what a node orders: the run, the node, the attempt.
func workID(r api.Run, n api.NodeRun) string {
	return fmt.Sprintf("%s.%s.%d", r.Link.ID(), n.ID, n.Attempt)
}
