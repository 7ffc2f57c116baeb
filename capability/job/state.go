package job

import (
	"cmp"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/job/chain"
	"landfall.dev/kit"
)

// Lease is how long a runner may be silent before its build is given to
// another.
const Lease = 15 * time.Second

// away is how late a timer comes at most while the hub is at work. One that is
// later tells that the hub was away, and that the runner could not be heard.
const away = time.Second

// fadeTime is how long a runner may take to end a build that was cancelled: more
// than its grace and its steps for afterwards.
const fadeTime = 3 * time.Minute

// attempts is how often a build is leased before it is given up.
const attempts = 3

// next returns b after e, and what must now happen. Whoever waits for its end is
// told of it: the schedule that ordered it, the build whose cell it is, and the
// locks that it holds.
func next(b api.Build, e kit.Event, now time.Time) (api.Build, []kit.Op) {
	after, ops := advance(b, e, now)
	if !after.State.Done() || b.State.Done() {
		return after, ops
	}
	end := api.Build{Meta: kit.Meta{Link: after.Link}, State: after.State, Result: after.Result, Error: after.Error}
	if after.Source.Kind() == api.Schedules.Name {
		ops = append(ops, kit.Send(after.Source, "ended", end))
	}
	if after.Cell != "" {
		ops = append(ops, kit.Send(after.Upstream, "cell", end))
	}
	return after, append(ops, chain.Free(after)...)
}

func advance(b api.Build, e kit.Event, now time.Time) (api.Build, []kit.Op) {
	switch e.Name {
	case "created":
		return create(b, e)
	case "granted":
		return chain.Granted(b, e, now)
	case "again":
		return chain.Again(b, now)
	case "cell":
		return chain.CellEnded(b, e, now)
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
	case "keep":
		return keep(b)
	case "close":
		if b.LogDigest == "" {
			b.LogMissing = -1 // its runner has not sent the end
		}
		return closeLog(b)
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
// change. With a change it tries a job as that patch set defines it: as for all
// builds of patch sets, nobody has reviewed what it does.
func create(b api.Build, e kit.Event) (api.Build, []kit.Op) {
	order := api.Build{
		Meta: b.Meta, State: api.BuildCreated,
		Project: b.Project, Job: b.Job, Commit: b.Commit, Definitions: b.Definitions, Params: b.Params,
		Author: b.Author, Run: b.Run, Node: b.Node, Change: b.Change, PatchSet: b.PatchSet,
		Upstream: b.Upstream, Depth: b.Depth, Cell: b.Cell, Keep: b.Keep, Step: b.Step, Tip: b.Tip,
	}
	if b.Project == "" || b.Job == "" || b.Commit == "" {
		return b, kit.Refuse(kit.ErrInvalid, "a build needs a project, a job and a commit")
	}
	if order.Definitions == "" {
		order.Definitions = b.Commit
	}
	switch {
	case e.By == self && (b.Source.Kind() == api.Schedules.Name || b.Upstream != ""):
	case b.Upstream != "" || b.Cell != "":
		return b, kit.Refuse(kit.ErrForbidden, "builds are started by others only as their jobs say: leave out upstream and cell")
	case e.By != planner:
		if b.Source.Kind() == api.Schedules.Name {
			return b, kit.Refuse(kit.ErrForbidden, "builds of schedules are ordered by them only: run the schedule instead")
		}
		if b.Run != "" || b.Node != "" || strings.Contains(b.Link.ID(), ".") {
			return b, kit.Refuse(kit.ErrForbidden, "builds of runs are ordered by pipelines only: leave out the id, run and node")
		}
		if b.Step != nil {
			return b, kit.Refuse(kit.ErrForbidden, "only pipelines have steps without a job: leave out the step, and name a job")
		}
		if b.Change != "" && order.Definitions != b.Commit {
			return b, kit.Refuse(kit.ErrForbidden, "who tries a job of a patch set builds its commit by its own definitions: leave out the definitions")
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
	var r resolved
	if err := e.Into(&r); err != nil {
		return fail(b, err.Error(), now), nil
	}
	spec := &r.JobSpec
	b.Spec, b.Trusted, b.Step = spec, r.Trusted, nil
	if b.Cell != "" { // its build has all that is not the cell's alone
		spec.Matrix, spec.Downstream, spec.Locks, spec.Messages = nil, nil, nil, nil
	}
	return chain.Claim(b, now)
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
	b.State, b.Runner, b.Attempt, b.Started, b.Engine = api.BuildRunning, a.Runner, b.Attempt+1, now, ""
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
	b.Engine = cmp.Or(a.Engine, b.Engine)
	if a.Step == 0 {
		return renew(b, now)
	}
	if err := chain.MayStart(b, a.Starts); err != nil {
		return b, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	b, ops := renew(b, now)
	b, starts := chain.StartAll(b, a.Step, a.Starts)
	return b, append(ops, starts...)
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
	if once(b) {
		b.State, b.Finished, b.LogMissing = api.BuildFailed, now, -1
		b.Error = "its runner " + b.Runner + " fell silent, and the job is to run once only: see how far it came, then build it again"
		return b, []kit.Op{kit.Call("seal", "1", nil)}
	}
	if worn(b) {
		b.LogMissing = -1
		return fail(b, "three runners in turn fell silent: look at their logs", now), []kit.Op{kit.Call("seal", "1", nil)}
	}
	return again(b), nil
}

// once tells whether a build must not run a second time.
func once(b api.Build) bool { return b.Spec != nil && b.Spec.Once }

// worn tells whether it was given to runners often enough.
func worn(b api.Build) bool { return b.Attempt-b.Retries >= attempts }

// again has the next runner take it.
func again(b api.Build) api.Build {
	b.State, b.Runner, b.LeaseUntil = api.BuildQueued, "", time.Time{}
	return b
}

func finish(b api.Build, e kit.Event, now time.Time) (api.Build, []kit.Op) {
	var a api.FinishArgs
	if err := e.Into(&a); err != nil {
		return b, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if b.State.Done() && b.Attempt == a.Attempt && b.State == a.State {
		if !fading(b) {
			return b, nil // said again
		}
		b.LogSize, b.LogDigest, b.LogMissing = a.LogSize, a.LogDigest, a.LogMissing
		return closeLog(b)
	}
	if refused := fenced(b, a.Attempt); refused != nil {
		return b, refused
	}
	if a.State != api.BuildPassed && a.State != api.BuildFailed && a.State != api.BuildError {
		return b, kit.Refuse(kit.ErrInvalid, "a build ends as passed, failed or error, not %q", a.State)
	}
	if a.EngineLost && a.State == api.BuildError {
		switch {
		case once(b):
			a.State = api.BuildFailed // which the run does not try again either
		case !worn(b):
			return again(b), nil
		}
	}
	if a.Again && b.Spec != nil && b.Spec.Retry != nil && b.Retries < b.Spec.Retry.Max {
		return chain.Later(b, a, now)
	}
	b.State, b.ExitCode, b.Error, b.Finished, b.Result = a.State, a.ExitCode, a.Error, now, a.Result
	b.LogSize, b.LogDigest, b.LogMissing = a.LogSize, a.LogDigest, a.LogMissing
	b.Artifacts, b.Reports, b.Image = a.Artifacts, a.Reports, a.Image
	b.Name, b.Description = a.Name, a.Description
	b.Engine, b.BuildImage = a.Engine, a.BuildImage
	b, ops := chain.Follow(b, a.Starts)
	ops = append(ops, chain.CancelStarted(b)...) // it may have run out of time while it waited
	b, last := closeLog(b)
	return b, append(ops, last...)
}

// closeLog seals the log, unless the runner has had it sealed.
func closeLog(b api.Build) (api.Build, []kit.Op) {
	if b.LogDigest != "" {
		return b, nil
	}
	return b, []kit.Op{kit.Call("seal", "1", nil)}
}

// keep tells the runner to keep the container if the build fails.
func keep(b api.Build) (api.Build, []kit.Op) {
	if b.State.Done() {
		return b, kit.Refuse(kit.ErrConflict, "the build is %s: its container is gone; order it again with landfall build run --keep", b.State)
	}
	b.Keep = true
	return b, nil
}

func cancel(b api.Build, e kit.Event, now time.Time) (api.Build, []kit.Op) {
	if b.State.Done() {
		return b, nil
	}
	ran := b.State == api.BuildRunning
	b.State, b.Error, b.Finished = api.BuildCancelled, "cancelled by "+e.By, now
	ops := chain.CancelStarted(b)
	if ran {
		ops = append(ops, kit.SendAt(now.Add(fadeTime), b.Link, "close", nil))
	}
	return b, ops
}

func sealed(b api.Build, e kit.Event) (api.Build, []kit.Op) {
	var s api.LogSeal
	if err := e.Into(&s); err != nil {
		return b, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if b.LogDigest == "" && s.Size < b.LogSize && b.LogMissing == 0 {
		b.LogMissing = -1 // the runner has sent more
	}
	b.LogDigest, b.LogSize = s.Digest, s.Size
	return b, nil
}
