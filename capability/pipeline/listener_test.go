package pipeline

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

func TestACommentRunsTheGateAgainOnce(t *testing.T) {
	uploaded := begin
	change := func(texts ...string) []kit.Op {
		c := api.Change{Meta: kit.Meta{Link: "changes/7"}, Status: api.ChangeOpen, PatchSets: []api.PatchSet{{Number: 1, Created: uploaded}}}
		for i, text := range texts {
			c.Messages = append(c.Messages, api.Message{At: uploaded.Add(time.Duration(i+1) * time.Hour), By: "users/ada", Text: text})
		}
		return onChange(c, begin)[1:]
	}
	if ops := change("looks good", "please recheck this"); len(ops) > 0 {
		t.Errorf("other comments wish for %+v, want nothing", ops)
	}
	recheck := func(w *trial, after time.Duration) []string {
		w.does("recheck", "services/pipeline", recheckArgs{At: begin.Add(after)})
		return w.wished()
	}
	ops := change(" recheck\n", "thanks")
	var a recheckArgs
	if len(ops) != 1 || ops[0].Link != "runs/change-7-1" || json.Unmarshal(ops[0].Data, &a) != nil || !a.At.Equal(uploaded.Add(time.Hour)) {
		t.Fatalf("the comment wishes for %+v, want a recheck as of its time", ops)
	}
	uploaded = begin.Add(-2 * time.Hour)
	if ops := change("recheck"); len(ops) != 1 {
		t.Errorf("after the patch set: %+v, want a recheck", ops)
	}

	w := newTrial(t, build("a"))
	w.run.Link, w.run.Change = "runs/change-7-1", "changes/7"
	if got := recheck(w, time.Hour); got != nil {
		t.Errorf("while it runs: %q, want nothing", got)
	}
	w.now = begin.Add(2 * time.Hour)
	w.ends("a", 1, failed)
	if got := recheck(w, time.Hour); got != nil {
		t.Errorf("a comment from before its end: %q, want nothing", got)
	}
	if got := recheck(w, 3*time.Hour); !reflect.DeepEqual(got, []string{"create runs/change-7-1-r1"}) {
		t.Errorf("a comment after its end: %q, want one more run", got)
	}
	if got := recheck(w, 3*time.Hour); !reflect.DeepEqual(got, []string{"send runs/change-7-1-r1 recheck"}) {
		t.Errorf("the same comment again: %q, want the later run told", got)
	}
	w = newTrial(t, build("a"))
	w.ends("a", 1, passed)
	if got := recheck(w, time.Hour); got != nil {
		t.Errorf("of what has passed: %q, want nothing", got)
	}
}

func TestATimedJobStartsThePipeline(t *testing.T) {
	b := api.Build{
		Meta: kit.Meta{Link: "builds/ledger~nightly.20260102T030000Z", Source: "schedules/ledger~nightly"}, Project: "ledger", Job: "nightly",
		Commit: "c1", Definitions: "c1", Params: map[string]string{"FULL": "yes"}, State: api.BuildPassed, Spec: &api.JobSpec{Pipeline: true},
	}
	var run api.Run
	ops := onBuild(b, begin)
	if len(ops) != 1 || ops[0].Link != "runs/ledger~nightly.20260102T030000Z" || json.Unmarshal(ops[0].Data, &run) != nil {
		t.Fatalf("the build wishes for %+v, want a run", ops)
	}
	want := map[string]string{"job": "nightly", "FULL": "yes"}
	if run.Event != "timer" || run.Commit != "c1" || run.Branch != "main" || run.Project != "ledger" || !reflect.DeepEqual(run.Params, want) {
		t.Errorf("the run is %+v, want it of the timer, with %v", run, want)
	}
	if spec := buildOf(run, build("a")); !spec.Tip {
		t.Error("a build of it passes for what has landed")
	}
	for name, change := range map[string]func(*api.Build){
		"a person's build":    func(b *api.Build) { b.Source = "" },
		"one that has failed": func(b *api.Build) { b.State = api.BuildFailed },
		"another job's":       func(b *api.Build) { b.Spec = &api.JobSpec{} },
	} {
		other := b
		change(&other)
		if ops := onBuild(other, begin); len(ops) > 0 {
			t.Errorf("%s wishes for %+v, want nothing", name, ops)
		}
	}
	err := checkReviewed(api.Plan{Nodes: []api.Node{{Type: api.NodeDeploy, Position: "pipeline.star:1"}}}, run, api.Project{Protected: []string{"release"}})
	says(t, "a deployment from a branch that takes direct pushes", err, "branch main takes direct pushes")
}
