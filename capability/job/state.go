package job

import (
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// Lease is how long a runner may be silent before its build is given to
// another.
const Lease = 15 * time.Second

// away is how late a timer comes at most while the hub is at work. One that is
// later tells that the hub was away, and that the runner could not be heard.
const away = time.Second

// attempts is how often a build is leased before it is given up.
const attempts = 3

// next returns b after e, and what must now happen. The schedule that ordered it
// is told of its end.
func next(b api.Build, e kit.Event, now time.Time) (api.Build, []kit.Op) {
	after, ops := advance(b, e, now)
	if after.State.Done() && !b.State.Done() && after.Source.Kind() == api.Schedules.Name {
		end := api.Build{Meta: kit.Meta{Link: after.Link}, State: after.State, Error: after.Error}
		ops = append(ops, kit.Send(after.Source, "ended", end))
	}
	return after, ops
}

func advance(b api.Build, e kit.Event, now time.Time) (api.Build, []kit.Op) {
	switch e.Name {
	case "created":
		return create(b, e)
	case "resolve.done":
		return queue(b, e, now)
	case "resolve.failed":
		return unresolved(b, e, now), nil
	case "lease":
		return lease(b, e, now)
	case "heartbeat":
		return heartbeat(b, e, now)
	case "expire":
		return expire(b, now)
	case "finish":
		return finish(b, e, now)
	case "cancel":
		return cancel(b, e, now)
	case "seal.done":
		return sealed(b, e)
	}
	return b, nil
}

// planner is who alone orders the builds of runs, self those of schedules.
const (
	planner = "services/pipeline"
	self    = "services/job"
)

// create takes the order in; what comes of the build is not for the one who
// orders to say. A person's build is of no run: it would pass for what gates a
// change.
func create(b api.Build, e kit.Event) (api.Build, []kit.Op) {
	order := api.Build{
		Meta: b.Meta, State: api.BuildCreated,
		Project: b.Project, Job: b.Job, Commit: b.Commit, Definitions: b.Definitions, Params: b.Params,
		Author: b.Author, Run: b.Run, Node: b.Node, Change: b.Change, PatchSet: b.PatchSet,
	}
	if b.Project == "" || b.Job == "" || b.Commit == "" {
		return b, kit.Refuse(kit.ErrInvalid, "a build needs a project, a job and a commit")
	}
	if order.Definitions == "" {
		order.Definitions = b.Commit
	}
	switch {
	case e.By == self && b.Source.Kind() == api.Schedules.Name:
	case e.By != planner:
		if b.Source.Kind() == api.Schedules.Name {
			return b, kit.Refuse(kit.ErrForbidden, "builds of schedules are ordered by them only: run the schedule instead")
		}
		if b.Run != "" || b.Node != "" || b.Change != "" || strings.Contains(b.Link.ID(), ".") {
			return b, kit.Refuse(kit.ErrForbidden, "builds of runs are ordered by pipelines only: leave out the id, run, node and change")
		}
		order.Author = e.By
	}
	return order, []kit.Op{kit.Call("resolve", "1", nil)}
}

func unresolved(b api.Build, e kit.Event, now time.Time) api.Build {
	var f struct {
		Error string `json:"error"`
	}
	_ = e.Into(&f) // without a reason it fails all the same
	if b.State != api.BuildCreated {
		return b // cancelled meanwhile
	}
	return fail(b, f.Error, now)
}

func fail(b api.Build, why string, now time.Time) api.Build {
	b.State, b.Error, b.Finished = api.BuildError, why, now
	return b
}

func queue(b api.Build, e kit.Event, now time.Time) (api.Build, []kit.Op) {
	if b.State != api.BuildCreated {
		return b, nil
	}
	var spec api.JobSpec
	if err := e.Into(&spec); err != nil {
		return fail(b, err.Error(), now), nil
	}
	b.State, b.Spec, b.Queued = api.BuildQueued, &spec, now
	return b, nil
}

func lease(b api.Build, e kit.Event, now time.Time) (api.Build, []kit.Op) {
	var a api.LeaseArgs
	if err := e.Into(&a); err != nil {
		return b, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if b.State != api.BuildQueued {
		return b, kit.Refuse(kit.ErrConflict, "the build is %s: only a queued one can be leased", b.State)
	}
	if a.Runner == "" {
		return b, kit.Refuse(kit.ErrInvalid, "a lease needs the name of the runner")
	}
	b.State, b.Runner, b.Attempt, b.Started = api.BuildRunning, a.Runner, b.Attempt+1, now
	return renew(b, now)
}

func renew(b api.Build, now time.Time) (api.Build, []kit.Op) {
	b.LeaseUntil = now.Add(Lease)
	return b, []kit.Op{kit.SendAt(b.LeaseUntil, b.Link, "expire", nil)}
}

func heartbeat(b api.Build, e kit.Event, now time.Time) (api.Build, []kit.Op) {
	var a api.HeartbeatArgs
	if err := e.Into(&a); err != nil {
		return b, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if refused := fenced(b, a.Attempt); refused != nil {
		return b, refused
	}
	return renew(b, now)
}

// fenced refuses what a runner says of an attempt that is not at work any
// more.
func fenced(b api.Build, attempt int) []kit.Op {
	if b.State == api.BuildRunning && b.Attempt == attempt {
		return nil
	}
	return kit.Refuse(kit.ErrConflict, "attempt %d is over: the build is %s, attempt %d", attempt, b.State, b.Attempt)
}

// expire gives the build of a silent runner to another, a few times, unless it
// is to run once only: then it fails, which the run does not try again either.
func expire(b api.Build, now time.Time) (api.Build, []kit.Op) {
	if b.State != api.BuildRunning || now.Before(b.LeaseUntil) {
		return b, nil
	}
	if now.Sub(b.LeaseUntil) > away {
		return renew(b, now)
	}
	if b.Spec != nil && b.Spec.Once {
		b.State, b.Finished = api.BuildFailed, now
		b.Error = "its runner " + b.Runner + " fell silent, and the job is to run once only: see how far it came, then build it again"
		return b, []kit.Op{kit.Call("seal", "1", nil)}
	}
	if b.Attempt >= attempts {
		return fail(b, "three runners in turn fell silent: look at their logs", now), []kit.Op{kit.Call("seal", "1", nil)}
	}
	b.State, b.Runner, b.LeaseUntil = api.BuildQueued, "", time.Time{}
	return b, nil
}

func finish(b api.Build, e kit.Event, now time.Time) (api.Build, []kit.Op) {
	var a api.FinishArgs
	if err := e.Into(&a); err != nil {
		return b, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if b.State.Done() && b.Attempt == a.Attempt && b.State == a.State {
		return b, nil // said again
	}
	if refused := fenced(b, a.Attempt); refused != nil {
		return b, refused
	}
	if a.State != api.BuildPassed && a.State != api.BuildFailed && a.State != api.BuildError {
		return b, kit.Refuse(kit.ErrInvalid, "a build ends as passed, failed or error, not %q", a.State)
	}
	b.State, b.ExitCode, b.Error, b.Finished = a.State, a.ExitCode, a.Error, now
	b.LogSize, b.Artifacts, b.Reports, b.Image = a.LogSize, a.Artifacts, a.Reports, a.Image
	b.Name, b.Description = a.Name, a.Description
	return b, []kit.Op{kit.Call("seal", "1", nil)}
}

func cancel(b api.Build, e kit.Event, now time.Time) (api.Build, []kit.Op) {
	if b.State.Done() {
		return b, nil
	}
	ran := b.State == api.BuildRunning
	b.State, b.Error, b.Finished = api.BuildCancelled, "cancelled by "+e.By, now
	if !ran {
		return b, nil
	}
	return b, []kit.Op{kit.Call("seal", "1", nil)}
}

// sealResult is the outcome of the action seal.
type sealResult struct {
	Digest kit.Digest `json:"digest"`
	Size   int64      `json:"size"`
}

func sealed(b api.Build, e kit.Event) (api.Build, []kit.Op) {
	var s sealResult
	if err := e.Into(&s); err != nil {
		return b, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	b.LogDigest, b.LogSize = s.Digest, s.Size
	return b, nil
}
