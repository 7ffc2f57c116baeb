package notify

import (
	"encoding/json"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// runOf returns a run of the nodes a and b, in a block of the type, which is in
// the state.
func runOf(block api.BlockType, state, a, b api.RunState) api.Run {
	return api.Run{
		Meta: kit.Meta{Link: "runs/r"}, Project: "ledger", Author: "users/ada", State: api.RunRunning,
		Plan: api.Plan{
			Blocks: []api.Block{{ID: "#1", Type: block}, {ID: "#2", Type: api.BlockStage, In: "#1"}},
			Nodes:  []api.Node{{ID: "a", Job: "unit", In: "#2"}, {ID: "b", In: "#1"}},
		},
		Blocks: []api.NodeRun{{ID: "#1", State: state}, {ID: "#2", State: api.RunFailed}},
		Nodes: []api.NodeRun{
			{ID: "a", State: a, Error: "exit 1", Link: "builds/r.a.2", Attempt: 2}, {ID: "b", State: b, Error: "no"},
		},
	}
}

func TestOnlyTheFinalVerdictOfARunIsTold(t *testing.T) {
	const running, failed, passed = api.RunRunning, api.RunFailed, api.RunPassed
	changed := func(r api.Run, change func(*api.Run)) api.Run {
		change(&r)
		return r
	}
	for _, test := range []struct {
		name string
		run  api.Run
		want string // text and link
	}{
		{"a failure while others are at work", runOf(api.BlockGuard, running, failed, running), "unit of ledger failed: exit 1 builds/r.a.2"},
		{"one that may be tried again", runOf(api.BlockRetry, running, failed, running), ""},
		{"one that is tried again", runOf(api.BlockRetry, running, api.RunWaiting, passed), ""},
		{"one that passed in the end", runOf(api.BlockRetry, passed, passed, passed), ""},
		{"one that was tried too often", runOf(api.BlockRetry, failed, failed, passed), "unit of ledger failed: exit 1 builds/r.a.2"},
		{"one that may be ignored", runOf(api.BlockIgnore, running, failed, running), ""},
		{"one that is ignored", runOf(api.BlockIgnore, api.RunUnstable, api.RunUnstable, passed), ""},
		{"one by too bad a cause to be ignored", runOf(api.BlockIgnore, failed, failed, passed), "unit of ledger failed: exit 1 builds/r.a.2"},
		{"one that is no build", runOf(api.BlockGuard, failed, passed, failed), "b of ledger failed: no runs/r"},
		{"a patch set", changed(runOf(api.BlockGuard, failed, failed, passed), func(r *api.Run) { r.Change, r.PatchSet = "changes/7", 2 }), "unit failed on change 7, patch set 2: exit 1 builds/r.a.2"},
		{"a pipeline without a plan", api.Run{Meta: kit.Meta{Link: "runs/r"}, Project: "ledger", Author: "users/ada", State: failed, Error: "pipeline.star:3:1: no"}, "the pipeline of ledger failed: pipeline.star:3:1: no runs/r"},
		{"a later patch set's place", changed(runOf(api.BlockGuard, failed, failed, passed), func(r *api.Run) { r.Superseded = true }), ""},
		{"a part of another run", changed(runOf(api.BlockGuard, failed, failed, passed), func(r *api.Run) { r.Upstream = &api.Upstream{} }), ""},
		{"nobody", changed(runOf(api.BlockGuard, failed, failed, passed), func(r *api.Run) { r.Author = "" }), ""},
		{"a schedule's", changed(runOf(api.BlockGuard, failed, failed, passed), func(r *api.Run) { r.Author, r.Source = "", "builds/ledger~nightly.1" }), "unit of ledger failed: exit 1 builds/r.a.2"},
		{"one that was cancelled", changed(runOf(api.BlockGuard, api.RunCancelled, api.RunCancelled, passed), func(r *api.Run) { r.State = api.RunCancelled }), ""},
	} {
		got := ""
		if ops := onRun(test.run, time.Time{}); len(ops) > 0 {
			var n api.Notice
			if err := json.Unmarshal(ops[0].Data, &n); err != nil {
				t.Fatal(err)
			}
			got = n.Text + " " + string(n.About)
			if ops[0].Link != "notices/run-r" || n.To != "users/ada" && n.To != "#ledger" {
				t.Errorf("%s: the notice is %s to %s, want one of the run to its author", test.name, ops[0].Link, n.To)
			}
		}
		if got != test.want {
			t.Errorf("%s: told %q, want %q", test.name, got, test.want)
		}
	}
}

// A job's own messages wait until its run knows whether the build counts.
func TestABuildIsAnnouncedOnceItCounts(t *testing.T) {
	h := newWebhook(t)
	c := start(t, h.URL)
	spec := &api.JobSpec{Messages: []api.Announcement{{To: []string{"#builds"}, When: []api.Occasion{api.WhenFailure, api.WhenFixed}}}}
	run := func(id string, r api.Run) {
		t.Helper()
		r.Meta = kit.Meta{}
		if _, err := api.Runs.Create(t.Context(), c.Admin(), id, r); err != nil {
			t.Fatal(err)
		}
	}
	build := func(run, id string, state api.BuildState) {
		t.Helper()
		b := api.Build{Project: "ledger", Job: "unit", Run: api.Runs.Link(run), Node: "a", State: state, Error: "exit 1", Spec: spec}
		if _, err := api.Builds.Create(t.Context(), c.Admin(), id, b); err != nil {
			t.Fatal(err)
		}
	}
	run("r", runOf(api.BlockRetry, api.RunRunning, api.RunRunning, api.RunPassed))
	build("r", "r.a.1", api.BuildFailed) // an earlier attempt
	build("r", "r.a.2", api.BuildFailed)
	_, err := api.Runs.Modify(t.Context(), c.Admin(), "r", func(r *api.Run) error {
		r.Nodes[0].State, r.Blocks[0].State = api.RunFailed, api.RunFailed
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	await(t, c, "message-r.a.2-0")
	ignored := runOf(api.BlockIgnore, api.RunUnstable, api.RunUnstable, api.RunPassed)
	ignored.Nodes[0].Link = "builds/r.a.3"
	run("s", ignored)
	build("s", "r.a.3", api.BuildFailed)
	build("gone", "gone.a.1", api.BuildFailed)
	await(t, c, "message-gone.a.1-0") // a run that is not there any more says nothing
	build("t", "r.a.4", api.BuildPassed)
	if n := await(t, c, "message-r.a.4-0"); n.Text != "unit of ledger: successful: exit 1" {
		t.Errorf("after a failure that passed in the end: %q, want that it is fixed", n.Text)
	}
	for _, id := range []string{"message-r.a.1-0", "message-r.a.3-0"} {
		if n, err := api.Notices.Read(t.Context(), c.Admin(), id); err == nil {
			t.Errorf("announced %+v, which does not count", n)
		}
	}
}
