package job

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/job/cron"
	"landfall.dev/kit"
)

// late is how old a time may be that does not count as missed: longer than it
// takes another node to lead.
const late = time.Minute

const (
	maxDue     = 1000 // times counted after an absence
	maxMissed  = 100  // builds for times that were missed, or wait
	maxHistory = 50
)

// nextSchedule returns s after e, and what must now happen. The time that fires
// is stored, and the document moves on to the one after it by the same event,
// so that a time that is told twice fires once:
//
//	created ─▶ active ──tick──▶ active, with a build ordered
//	            │  ▲
//	      pause ▼  │ resume
//	            paused                broken: its times cannot be read
func nextSchedule(s api.Schedule, e kit.Event, now time.Time) (api.Schedule, []kit.Op) {
	switch e.Name {
	case "created":
		return arm(api.Schedule{Meta: s.Meta, Project: s.Project, Job: s.Job, Spec: s.Spec}, now)
	case "define":
		return define(s, e, now)
	case "tick":
		return tick(s, now)
	case "order.done":
		var o ordered
		if err := e.Into(&o); err != nil || o.Error == "" {
			return s, nil
		}
		return ended(s, api.Build{Meta: kit.Meta{Link: o.Build}, State: api.BuildError, Error: o.Error}, now)
	case "ended":
		var b api.Build
		if err := e.Into(&b); err != nil {
			return s, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
		return ended(s, b, now)
	case "run":
		return run(s, e, now)
	case "pause":
		s.State, s.By, s.Next, s.Waiting = api.SchedulePaused, e.By, time.Time{}, nil
		return s, []kit.Op{cancelTick(s)}
	case "resume":
		if s.State != api.SchedulePaused {
			return s, nil
		}
		s.State, s.By = "", ""
		return arm(s, now)
	}
	return s, nil
}

func table(s api.Schedule) (cron.Table, error) { return cron.Parse(s.Job, s.Spec.Timed...) }

func tickAt(s api.Schedule) kit.Op { return kit.SendAt(s.Next, s.Link, "tick", nil) }

func cancelTick(s api.Schedule) kit.Op { return kit.Cancel(tickAt(s).ID) }

// arm sets the next time, unless s is paused.
func arm(s api.Schedule, now time.Time) (api.Schedule, []kit.Op) {
	t, err := table(s)
	s.Error, s.Next = "", time.Time{}
	switch {
	case err != nil:
		s.State, s.Error = api.ScheduleBroken, err.Error()
		return s, []kit.Op{cancelTick(s)}
	case s.State == api.SchedulePaused:
		return s, nil
	}
	s.State, s.Next = api.ScheduleActive, t.Next(now)
	return s, []kit.Op{tickAt(s)}
}

// define takes in what the job's definition says now.
func define(s api.Schedule, e kit.Event, now time.Time) (api.Schedule, []kit.Op) {
	var spec api.ScheduleSpec
	if err := e.Into(&spec); err != nil {
		return s, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if reflect.DeepEqual(spec, s.Spec) {
		return s, nil
	}
	s.Spec = spec
	return arm(s, now)
}

// tick fires for the times that are due. Told too early, or of a time that has
// fired, it only sets the timer again.
func tick(s api.Schedule, now time.Time) (api.Schedule, []kit.Op) {
	if s.State != api.ScheduleActive {
		return s, nil
	}
	if now.Before(s.Next) {
		return s, []kit.Op{tickAt(s)}
	}
	t, err := table(s)
	if err != nil {
		return arm(s, now)
	}
	var due []time.Time
	for at := s.Next; !at.After(now) && len(due) < maxDue; at = t.Next(at) {
		due = append(due, at)
	}
	s.Next = t.Next(now)
	ops := []kit.Op{tickAt(s)}
	firing := fire(s.Spec.Missed, due, now)
	if n := len(due) - len(firing); n > 0 {
		s = remember(s, api.Fire{Due: due[n-1], At: now, State: api.FireMissed, Times: n})
	}
	for _, at := range firing {
		var more []kit.Op
		s, more = begin(s, at, now)
		ops = append(ops, more...)
	}
	return s, ops
}

// fire returns the last of the due times: those that fire.
func fire(policy api.MissedPolicy, due []time.Time, now time.Time) []time.Time {
	switch policy {
	case api.MissedAll:
		return due[max(0, len(due)-maxMissed):]
	case api.MissedSkip:
		i := slices.IndexFunc(due, func(at time.Time) bool { return now.Sub(at) <= late })
		if i < 0 {
			return nil
		}
		return due[i:]
	}
	return due[len(due)-1:]
}

// begin orders the build for a due time, if the builds before allow it.
func begin(s api.Schedule, due, now time.Time) (api.Schedule, []kit.Op) {
	var ops []kit.Op
	switch {
	case len(s.Running) == 0 || s.Spec.Overlap == api.OverlapAllow:
	case s.Spec.Overlap == api.OverlapReplace:
		for _, b := range s.Running {
			ops = append(ops, kit.Send(b, "cancel", nil))
		}
	case s.Spec.Missed == api.MissedAll && len(s.Waiting) < maxMissed:
		s.Waiting = append(s.Waiting, due)
		return s, nil
	default:
		return remember(s, api.Fire{Due: due, At: now, State: api.FireSkipped, Error: fmt.Sprintf("%s still ran", s.Running[0])}), nil
	}
	s, op := place(s, due, "", now)
	return s, append(ops, op)
}

// place orders the build for a time. The build's id comes from the schedule and
// the time, so that there is one only.
func place(s api.Schedule, due time.Time, by string, now time.Time) (api.Schedule, kit.Op) {
	id := s.Link.ID() + "." + due.UTC().Format("20060102T150405Z")
	link := api.Builds.Link(id)
	s.Running = append(s.Running, link)
	s = remember(s, api.Fire{Due: due, At: now, By: by, Build: link, State: api.FireRunning})
	return s, kit.Call("order", id, ordered{Build: link, By: by})
}

func remember(s api.Schedule, f api.Fire) api.Schedule {
	s.History = append(s.History, f)
	s.History = s.History[max(0, len(s.History)-maxHistory):]
	return s
}

// ended notes how a build ended, and orders that of the next time that waits.
func ended(s api.Schedule, b api.Build, now time.Time) (api.Schedule, []kit.Op) {
	i := slices.Index(s.Running, b.Link)
	if i < 0 {
		return s, nil
	}
	s.Running = slices.Delete(s.Running, i, i+1)
	for i := range s.History {
		if s.History[i].Build == b.Link {
			s.History[i].State, s.History[i].Error = string(b.State), b.Error
		}
	}
	if len(s.Waiting) == 0 || len(s.Running) > 0 {
		return s, nil
	}
	due := s.Waiting[0]
	s.Waiting = s.Waiting[1:]
	s, op := place(s, due, "", now)
	return s, []kit.Op{op}
}

// run orders a build at once, whatever the times say.
func run(s api.Schedule, e kit.Event, now time.Time) (api.Schedule, []kit.Op) {
	overlaps := s.Spec.Overlap == api.OverlapAllow || s.Spec.Overlap == api.OverlapReplace
	if len(s.Running) > 0 && !overlaps {
		return s, kit.Refuse(kit.ErrConflict, "%s still runs, and the job is built one at a time: wait for it, or cancel it", s.Running[0])
	}
	due := now.Truncate(time.Second)
	if slices.ContainsFunc(s.History, func(f api.Fire) bool { return f.Due.Equal(due) && f.Build != "" }) {
		return s, kit.Refuse(kit.ErrConflict, "it was run in this second already")
	}
	var ops []kit.Op
	if s.Spec.Overlap == api.OverlapReplace {
		for _, b := range s.Running {
			ops = append(ops, kit.Send(b, "cancel", nil))
		}
	}
	s, op := place(s, due, e.By, now)
	return s, append(ops, op)
}

// ordered are the arguments of the action order, and its outcome.
type ordered struct {
	Build kit.Link `json:"build"`
	By    string   `json:"by,omitempty"`
	Error string   `json:"error,omitempty"`
}

// order makes the build that the schedule r wishes for, of the main branch's
// tip. A schedule whose job is gone goes, too.
func (d definitions) order(ctx context.Context, r kit.Record, op kit.Op) (any, error) {
	var o ordered
	s, err := api.Schedules.Decode(r)
	if err == nil {
		err = kit.Event{Name: "order", Data: op.Data}.Into(&o)
	}
	if err != nil {
		return nil, err
	}
	if _, err := d.client.Read(ctx, api.Jobs.Link(s.Link.ID()), kit.ReadOptions{}); errors.Is(err, kit.ErrNotFound) {
		return nil, d.client.Delete(ctx, s.Link, 0)
	}
	ref, err := api.Refs.Read(ctx, d.client, api.RefID(s.Project, mainBranch))
	if err == nil {
		_, err = api.Builds.Create(ctx, d.client, o.Build.ID(), api.Build{
			Meta: kit.Meta{Source: s.Link}, Project: s.Project, Job: s.Job, Commit: ref.Commit, Author: o.By,
		})
	}
	switch {
	case err == nil || errors.Is(err, kit.ErrConflict): // it was made before
		return o, nil
	case kit.Temporary(err):
		return nil, err
	}
	o.Error = reason(err)
	return o, nil
}

// onGeneration has a project's schedules made what its jobs say.
func onGeneration(g api.Generation, _ time.Time) []kit.Op {
	if g.State != api.GenerationDeployed {
		return nil
	}
	return []kit.Op{kit.Call("schedule", g.Project, nil)}
}

// schedule makes the schedules of the project of the generation r what its jobs
// say. Those of jobs that are gone, or name no times any more, go.
func (d definitions) schedule(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	g, err := api.Generations.Decode(r)
	if err != nil {
		return nil, err
	}
	wanted := map[kit.Link]bool{}
	for j, err := range api.Jobs.All(ctx, d.client, fmt.Sprintf("project == %q && has(spec.schedule)", g.Project), "") {
		if err != nil {
			return nil, err
		}
		link := api.Schedules.Link(j.Link.ID())
		wanted[link] = true
		_, err := api.Schedules.Create(ctx, d.client, link.ID(), api.Schedule{
			Meta: kit.Meta{Source: j.Link}, Project: j.Project, Job: j.Spec.Name, Spec: *j.Spec.Schedule,
		})
		if errors.Is(err, kit.ErrConflict) {
			_, err = api.Schedules.Send(ctx, d.client, link.ID(), "define", j.Spec.Schedule)
		}
		if err != nil {
			return nil, err
		}
	}
	for s, err := range api.Schedules.All(ctx, d.client, fmt.Sprintf("project == %q", g.Project), "") {
		if err != nil {
			return nil, err
		}
		if wanted[s.Link] {
			continue
		}
		if err := d.client.Delete(ctx, s.Link, 0); err != nil && !errors.Is(err, kit.ErrNotFound) {
			return nil, err
		}
	}
	return nil, nil
}
