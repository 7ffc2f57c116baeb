package job

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// step is an event of a build's life and what it leads to.
type step struct {
	event, by string
	args      any
	after     time.Duration // since the step before
	want      api.BuildState
	refused   string // is in the reason; the state stays
}

func live(t *testing.T, b api.Build, steps []step) (api.Build, []kit.Op) {
	t.Helper()
	var ops []kit.Op
	now := start
	for i, s := range steps {
		now = now.Add(s.after)
		data, err := json.Marshal(s.args)
		if err != nil {
			t.Fatal(err)
		}
		var after api.Build
		after, ops = next(b, kit.Event{Name: s.event, By: s.by, Data: data}, now)
		if reason := refusal(ops); reason != "" || s.refused != "" {
			if s.refused == "" || !strings.Contains(reason, s.refused) {
				t.Fatalf("step %d, %s: refused with %q, want %q", i+1, s.event, reason, s.refused)
			}
			continue
		}
		if b = after; b.State != s.want {
			t.Fatalf("step %d, %s: the build is %s, %q, want %s", i+1, s.event, b.State, b.Error, s.want)
		}
	}
	return b, ops
}

func refusal(ops []kit.Op) string {
	for _, op := range ops {
		if op.Do == kit.OpRefuse {
			var reason string
			_ = json.Unmarshal(op.Data, &reason)
			return reason
		}
	}
	return ""
}

var order = api.Build{Meta: kit.Meta{Link: "builds/x.gate.1"}, Project: "ledger", Job: "gate", Commit: "c1", Definitions: "c0", Run: "runs/x", Node: "gate"}

func TestTheLifeOfABuild(t *testing.T) {
	made := step{event: "created", by: planner, want: api.BuildCreated}
	queued := step{event: "resolve.done", args: api.JobSpec{Name: "gate"}, want: api.BuildQueued}
	leased := step{event: "lease", args: api.LeaseArgs{Runner: "r1"}, want: api.BuildRunning}
	silent := step{event: "expire", after: Lease, want: api.BuildQueued}
	beat := func(attempt int, after time.Duration) step {
		return step{event: "heartbeat", args: api.HeartbeatArgs{Attempt: attempt}, after: after, want: api.BuildRunning}
	}
	finish := func(attempt int, s api.BuildState) step {
		return step{event: "finish", args: api.FinishArgs{Attempt: attempt, State: s}, want: s}
	}
	lost := func(attempt int, want api.BuildState) step {
		return step{event: "finish", args: api.FinishArgs{Attempt: attempt, State: api.BuildError, EngineLost: true}, want: want}
	}
	refused := func(s step, why string) step { s.refused = why; return s }
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"it passes", []step{made, queued, leased, beat(1, time.Second), finish(1, api.BuildPassed)}},
		{"it fails", []step{made, queued, leased, finish(1, api.BuildFailed)}},
		{"its end is told twice", []step{made, queued, leased, finish(1, api.BuildPassed), finish(1, api.BuildPassed)}},
		{"its end is told otherwise", []step{made, queued, leased, finish(1, api.BuildPassed), refused(finish(1, api.BuildFailed), "attempt 1 is over")}},
		{"it ends as nothing known", []step{made, queued, leased, refused(finish(1, "fine"), "passed, failed or error")}},
		{"its job is not known", []step{made, {event: "resolve.failed", args: map[string]string{"error": "no job"}, want: api.BuildError}}},
		{"it is leased before it is queued", []step{made, refused(leased, "only a queued one can be leased")}},
		{"it is leased twice", []step{made, queued, leased, refused(leased, "the build is running")}},
		{"it is leased by nobody", []step{made, queued, refused(step{event: "lease", args: api.LeaseArgs{}}, "the name of the runner")}},
		{"a heartbeat keeps the lease", []step{made, queued, leased, beat(1, Lease-time.Second), {event: "expire", after: Lease - time.Second, want: api.BuildRunning}}},
		{"a silent runner loses it", []step{made, queued, leased, silent, leased,
			refused(beat(1, 0), "attempt 1 is over: the build is running, attempt 2"),
			refused(finish(1, api.BuildPassed), "attempt 1 is over"), finish(2, api.BuildPassed)}},
		{"a hub that was away gives its runner time", []step{made, queued, leased, {event: "expire", after: 2 * Lease, want: api.BuildRunning}, silent}},
		{"what runs once only is not leased again", []step{made, {event: "resolve.done", args: api.JobSpec{Name: "gate", Once: true}, want: api.BuildQueued}, leased,
			{event: "expire", after: Lease, want: api.BuildFailed}}},
		{"three runners fall silent", []step{made, queued, leased, silent, leased, silent, leased, {event: "expire", after: Lease, want: api.BuildError}}},
		{"its engine is lost", []step{made, queued, leased, lost(1, api.BuildQueued), leased, finish(2, api.BuildPassed)}},
		{"three engines are lost", []step{made, queued, leased, lost(1, api.BuildQueued), leased, lost(2, api.BuildQueued), leased, lost(3, api.BuildError)}},
		{"what runs once only loses its engine", []step{made, {event: "resolve.done", args: api.JobSpec{Name: "gate", Once: true}, want: api.BuildQueued}, leased,
			lost(1, api.BuildFailed)}},
		{"cancelled before it is queued", []step{made, {event: "cancel", want: api.BuildCancelled}, {event: "resolve.done", args: api.JobSpec{}, want: api.BuildCancelled}}},
		{"cancelled before its job is not found", []step{made, {event: "cancel", want: api.BuildCancelled}, {event: "resolve.failed", want: api.BuildCancelled}}},
		{"cancelled while it runs", []step{made, queued, leased, {event: "cancel", want: api.BuildCancelled}, refused(finish(1, api.BuildPassed), "the build is cancelled")}},
		{"cancelled when it is over", []step{made, queued, leased, finish(1, api.BuildPassed), {event: "cancel", want: api.BuildPassed}}},
	} {
		t.Run(test.name, func(t *testing.T) { live(t, order, test.steps) })
	}
}

func TestTheEndOfABuildSealsItsLog(t *testing.T) {
	b, ops := live(t, order, []step{
		{event: "created", by: planner, want: api.BuildCreated},
		{event: "resolve.done", args: api.JobSpec{}, want: api.BuildQueued},
		{event: "lease", args: api.LeaseArgs{Runner: "r1"}, want: api.BuildRunning},
		{event: "finish", args: api.FinishArgs{Attempt: 1, State: api.BuildPassed, Image: "ledger@sha256:1"}, want: api.BuildPassed},
	})
	if len(ops) != 1 || ops[0].Do != "seal" || b.Image != "ledger@sha256:1" || b.Runner != "r1" || !b.Finished.Equal(start) {
		t.Errorf("the end wishes for %+v of %+v, want the log sealed", ops, b)
	}
}

func TestWhoOrdersABuildDoesNotSayWhatComesOfIt(t *testing.T) {
	b := order
	b.State, b.Attempt, b.LogDigest, b.Image, b.Runner = api.BuildPassed, 3, "sha256:secret", "ledger@sha256:1", "r9"
	b.Step = &api.JobSpec{Name: "gate", Script: []string{"make"}}
	b, _ = live(t, b, []step{{event: "created", by: planner, want: api.BuildCreated}})
	if b.Step == nil {
		t.Error("the pipeline's step is gone")
	}
	if b.Attempt != 0 || b.LogDigest != "" || b.Image != "" || b.Runner != "" || b.Run != "runs/x" {
		t.Errorf("the build is %+v, want nothing but the order", b)
	}

	own := api.Build{Meta: kit.Meta{Link: "builds/0123"}, Project: "ledger", Job: "gate", Commit: "c1", Author: "users/bob"}
	b, _ = live(t, own, []step{{event: "created", by: "users/ada", want: api.BuildCreated}})
	if b.Author != "users/ada" || b.Definitions != "c1" {
		t.Errorf("the build is %+v, want ada's by its own definitions", b)
	}
	for name, change := range map[string]func(*api.Build){
		"a build of a run":           func(b *api.Build) { b.Run = "runs/change-1-1" },
		"a try by other definitions": func(b *api.Build) { b.Change, b.Definitions = "changes/1", "c0" },
		"a build in a run's place":   func(b *api.Build) { b.Link = "builds/change-1-1.gate.1" },
		"a build of nothing at all":  func(b *api.Build) { b.Commit = "" },
		"a step without a job":       func(b *api.Build) { b.Step = &api.JobSpec{} },
		"a build of no job":          func(b *api.Build) { b.Job = "" },
		"a build of a node of a run": func(b *api.Build) { b.Node = "gate" },
	} {
		b := own
		change(&b)
		if _, ops := next(b, kit.Event{Name: "created", By: "users/ada"}, start); refusal(ops) == "" {
			t.Errorf("%s: a person may order it, want a refusal", name)
		}
	}
}
