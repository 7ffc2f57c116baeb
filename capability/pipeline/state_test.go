package pipeline

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// trial is a run on its way through a plan.
type trial struct {
	t   *testing.T
	run api.Run
	now time.Time
	ops []kit.Op // of the last event
}

func newTrial(t *testing.T, nodes ...api.Node) *trial {
	t.Helper()
	return newTrialOf(t, api.Plan{Nodes: nodes})
}

func newTrialOf(t *testing.T, p api.Plan) *trial {
	t.Helper()
	w := &trial{t: t, now: begin, run: api.Run{Meta: kit.Meta{Link: "runs/r"}, Project: "ledger", Commit: "c1", Author: "users/ada"}}
	w.does("created", "services/pipeline", nil)
	if w.run.State != api.RunPlanning || len(w.ops) != 1 || w.ops[0].Do != "plan" {
		t.Fatalf("a new run is %s and wishes for %+v, want its plan", w.run.State, w.ops)
	}
	w.does("plan.done", "services/pipeline", planResult{Definitions: "c0", Plan: p})
	return w
}

// does sends an event and returns why it was refused; nothing if it was not.
func (w *trial) does(event, by string, args any) string {
	w.t.Helper()
	data, err := json.Marshal(args)
	if err != nil {
		w.t.Fatal(err)
	}
	run := w.run
	run.Nodes, run.Blocks = slices.Clone(run.Nodes), slices.Clone(run.Blocks)
	run, ops := next(run, kit.Event{Name: event, By: by, Data: data}, w.now)
	if len(ops) == 1 && ops[0].Do == kit.OpRefuse {
		var reason string
		_ = json.Unmarshal(ops[0].Data, &reason)
		return reason
	}
	w.run, w.ops = run, ops
	return ""
}

// ends tells the run of the end of a node's work.
func (w *trial) ends(node string, attempt int, change func(*api.NodeDone)) {
	w.t.Helper()
	d := api.NodeDone{Node: node, Attempt: attempt, Passed: true}
	for _, n := range w.run.Nodes {
		if n.ID == node {
			d.Link = n.Link
		}
	}
	change(&d)
	if reason := w.does("node", "services/pipeline", d); reason != "" {
		w.t.Fatalf("the end of %s: %s", node, reason)
	}
}

func passed(*api.NodeDone) {}

func withImage(d *api.NodeDone) { d.Image = "ledger@sha256:1" }

func failed(d *api.NodeDone) { d.Passed, d.Error = false, "exit 1" }

func lost(d *api.NodeDone) {
	d.Passed, d.Infrastructure, d.Error = false, true, "the runner fell silent"
}

// expect compares the states of the run and of its nodes.
func (w *trial) expect(what string, run api.RunState, nodes ...api.RunState) {
	w.t.Helper()
	var got []api.RunState
	for _, n := range w.run.Nodes {
		got = append(got, n.State)
	}
	if w.run.State != run || !slices.Equal(got, nodes) {
		w.t.Fatalf("%s: the run is %s with %v, %q, want %s with %v", what, w.run.State, got, w.run.Error, run, nodes)
	}
}

// wished are what the last event orders, as "do link".
func (w *trial) wished() []string {
	var all []string
	for _, op := range w.ops {
		all = append(all, strings.TrimSpace(op.Do+" "+string(op.Link)+" "+op.Event))
	}
	return all
}

func (w *trial) wishes(want ...string) {
	w.t.Helper()
	if got := w.wished(); !slices.Equal(got, want) {
		w.t.Fatalf("the run wishes for %q, want %q", got, want)
	}
}

func build(id string, needs ...string) api.Node {
	return api.Node{ID: id, Type: api.NodeBuild, Job: id, Needs: needs}
}

const (
	waiting   = api.RunWaiting
	running   = api.RunRunning
	pass      = api.RunPassed
	fail      = api.RunFailed
	cancelled = api.RunCancelled
)

func TestNodesRunSideBySideUnlessOneNeedsAnother(t *testing.T) {
	w := newTrial(t, build("a"), build("b"), build("c", "a", "b"))
	w.wishes("create builds/r.a.1", "create builds/r.b.1")
	w.expect("at first", running, running, running, waiting)
	w.ends("a", 1, passed)
	w.expect("after a", running, pass, running, waiting)
	w.wishes()
	w.ends("b", 1, passed)
	w.wishes("create builds/r.c.1")
	w.ends("c", 1, passed)
	w.expect("at last", pass, pass, pass, pass)
	if w.run.Definitions != "c0" || !w.run.Done.Equal(begin) {
		t.Errorf("the run is %+v, want it done, with its definitions", w.run)
	}
}

func TestTheOrderOfThePlanDoesNotMatter(t *testing.T) {
	w := newTrial(t, build("c", "b"), build("b", "a"), build("a"))
	w.wishes("create builds/r.a.1")
	w.ends("a", 1, failed)
	w.expect("after the failure", fail, cancelled, cancelled, fail)
}

func TestAFailureCancelsWhatNeedsItAndNothingElse(t *testing.T) {
	w := newTrial(t, build("a"), build("b"), build("c", "a"), build("d", "c"), build("e", "b"))
	w.ends("a", 1, failed)
	w.expect("after the failure", running, fail, running, cancelled, cancelled, waiting)
	if w.run.Nodes[2].Error != "a did not pass" {
		t.Errorf("c says %q, want why it was cancelled", w.run.Nodes[2].Error)
	}
	w.ends("b", 1, passed)
	w.ends("e", 1, passed)
	w.expect("at last", fail, fail, pass, cancelled, cancelled, pass)
}

func TestOnlyFailuresOfTheInfrastructureAreTriedAgain(t *testing.T) {
	retried := build("a")
	retried.Retries = 1
	w := newTrial(t, retried)
	w.ends("a", 1, lost)
	w.wishes("create builds/r.a.2")
	w.ends("a", 1, passed) // late
	w.expect("after the end of an earlier attempt", running, running)
	w.ends("a", 2, lost)
	w.expect("after the last attempt", fail, fail)

	w = newTrial(t, retried)
	w.ends("a", 1, failed)
	w.expect("after a failed script", fail, fail)
}

func TestWhatTheRunHasNotOrderedDoesNotCount(t *testing.T) {
	w := newTrial(t, build("a"))
	w.ends("a", 1, func(d *api.NodeDone) { d.Link = "builds/evil.1" })
	w.ends("b", 1, passed)
	w.expect("after both", running, running)
}

func TestApprovals(t *testing.T) {
	w := newTrial(t,
		build("a"),
		api.Node{ID: "go", Type: api.NodeApprove, By: "users/rita", Needs: []string{"a"}},
		api.Node{ID: "any", Type: api.NodeApprove, Needs: []string{"go"}},
		build("b", "any"),
	)
	approve := func(node, by, want string) {
		t.Helper()
		reason := w.does("approve", by, api.ApproveArgs{Node: node})
		if (want == "") != (reason == "") || !strings.Contains(reason, want) {
			t.Errorf("%s approves %s: %q, want %q", by, node, reason, want)
		}
	}
	approve("go", "users/rita", `approval "go" is waiting: it cannot be given now`)
	w.ends("a", 1, passed)
	w.expect("before the approval", running, pass, running, waiting, waiting)
	approve("go", "users/ada", "users/rita is to approve this, not users/ada")
	approve("a", "users/rita", `the run has no approval "a"`)
	approve("go", "users/rita", "")
	approve("go", "users/rita", "is passed")
	approve("any", "users/ada", "")
	w.wishes("create builds/r.b.1")
}

func TestSeveralPeopleApprove(t *testing.T) {
	w := newTrial(t, api.Node{ID: "go", Type: api.NodeApprove, By: "groups/dba", Approvals: 2, NotAuthor: true}, build("b", "go"))
	approves := func(by, want string) {
		t.Helper()
		if reason := w.does("approve", by, api.ApproveArgs{Node: "go"}); reason != want {
			t.Fatalf("%s approves: %q, want %q", by, reason, want)
		}
		if want != "" {
			return
		}
		var a admission
		if err := json.Unmarshal(w.ops[0].Data, &a); err != nil || !a.NotAuthor || a.Group != "groups/dba" || a.Attempt != 1 {
			t.Fatalf("%s approves: the run asks for %+v, %v, want whether they are of the group and no author", by, a, err)
		}
		w.does("admit.done", "services/pipeline", a)
	}
	approves("users/rita", "")
	w.expect("after the first", running, running, waiting)
	w.does("admit.done", "services/pipeline", admission{Node: "go", Attempt: 1, By: "users/rita"})
	w.expect("after the first is told again", running, running, waiting)
	approves("users/rita", "users/rita has approved this already: 1 of 2 have, the others must be other people")
	w.now = begin.Add(time.Hour)
	approves("users/bob", "")
	w.expect("after the second", running, pass, running)
	want := []api.Approval{{By: "users/rita", At: begin}, {By: "users/bob", At: w.now}}
	if n := w.run.Nodes[0]; n.By != "users/rita, users/bob" || !slices.Equal(n.Approved, want) {
		t.Errorf("approved by %q, %+v, want both with their times", n.By, n.Approved)
	}
}

func TestWhetherAGroupMayApproveIsFoundOut(t *testing.T) {
	w := newTrial(t, api.Node{ID: "go", Type: api.NodeApprove, By: "groups/release-managers"}, build("b", "go"))
	for _, test := range []struct {
		by, refusal string
		want        api.RunState
	}{
		{"users/ada", "users/ada cannot approve this", running},
		{"users/rita", "", pass},
	} {
		if reason := w.does("approve", test.by, api.ApproveArgs{Node: "go"}); reason != "" {
			t.Fatalf("%s approves: refused with %q", test.by, reason)
		}
		w.wishes("admit")
		var a admission
		if err := json.Unmarshal(w.ops[0].Data, &a); err != nil || a.By != test.by || a.Group != "groups/release-managers" {
			t.Fatalf("%s approves: the run asks for %+v, %v, want whether they are a release manager", test.by, a, err)
		}
		a.Refusal = test.refusal
		w.does("admit.done", "services/pipeline", a)
		if n := w.run.Nodes[0]; n.State != test.want || n.Error != test.refusal {
			t.Errorf("%s approves: the node is %+v, want it %s with %q", test.by, n, test.want, test.refusal)
		}
	}
	if by := w.run.Nodes[0].By; by != "users/rita" {
		t.Errorf("approved by %q, want users/rita", by)
	}
	w.wishes("create builds/r.b.1")
	w.does("admit.done", "services/pipeline", admission{Node: "go", Attempt: 1, By: "users/ada", Refusal: "late"})
	if n := w.run.Nodes[0]; n.State != pass || n.Error != "" {
		t.Errorf("after a late refusal the node is %+v, want it as it was", n)
	}
}

func TestARunThatDidNotPassCanBeRunAgain(t *testing.T) {
	w := newTrial(t, build("a"))
	w.run.Link, w.run.Change, w.run.PatchSet = "runs/change-7-1", "changes/7", 1
	if reason := w.does("rerun", "users/ada", nil); !strings.Contains(reason, "the run is running: cancel it or wait") {
		t.Errorf("run again what is running: %q, want a refusal", reason)
	}
	w.ends("a", 1, lost)
	if reason := w.does("rerun", "users/ada", nil); reason != "" {
		t.Fatalf("run again: %s", reason)
	}
	w.wishes("create runs/change-7-1-r1")
	var again api.Run
	if err := json.Unmarshal(w.ops[0].Data, &again); err != nil {
		t.Fatal(err)
	}
	if again.Commit != "c1" || again.Definitions != "c0" || again.Change != "changes/7" || again.PatchSet != 1 || again.Author != "users/ada" || again.Source != "runs/change-7-1" || again.State != "" {
		t.Errorf("the new run is %+v, want it of the same commit and definitions", again)
	}
	if reason := w.does("rerun", "users/ada", nil); !strings.Contains(reason, "run again already: see runs/change-7-1-r1") {
		t.Errorf("run again twice: %q, want a refusal", reason)
	}
	w.does("supersede", "services/pipeline", nil)
	w.wishes("send runs/change-7-1-r1 supersede")
	w.does("supersede", "services/pipeline", nil)
	w.wishes()

	again.Link = "runs/change-7-1-r1"
	w.run = again
	w.does("created", "services/pipeline", nil)
	w.does("cancel", "users/ada", nil)
	w.does("rerun", "users/ada", nil)
	w.wishes("create runs/change-7-1-r2")

	w = newTrial(t, build("a"))
	w.does("supersede", "services/pipeline", nil)
	if reason := w.does("rerun", "users/ada", nil); !strings.Contains(reason, "a later patch set took its place") {
		t.Errorf("run again what was superseded: %q, want a refusal", reason)
	}
	w = newTrial(t, build("a"))
	w.ends("a", 1, passed)
	if reason := w.does("rerun", "users/ada", nil); !strings.Contains(reason, "nothing to run again") {
		t.Errorf("run again what has passed: %q, want a refusal", reason)
	}
}

func TestDeployingReleasingAndNotifying(t *testing.T) {
	w := newTrial(t,
		build("image"),
		api.Node{ID: "staging", Type: api.NodeDeploy, Environment: "staging", Image: "image", Needs: []string{"image"}},
		api.Node{ID: "one", Type: api.NodeRelease, Image: "image", Version: "1.0.0", Needs: []string{"staging"}},
		api.Node{ID: "two", Type: api.NodeRelease, Image: "image", Version: "2.0.0", Needs: []string{"staging"}},
		api.Node{ID: "tell", Type: api.NodeNotify, Text: "done", Needs: []string{"one"}},
	)
	w.ends("image", 1, withImage)
	w.wishes("create deployments/r.staging.1")
	var d api.Deployment
	if err := json.Unmarshal(w.ops[0].Data, &d); err != nil || d.Image != "ledger@sha256:1" || d.Environment != "staging" || d.Run != "runs/r" {
		t.Errorf("the deployment is %+v, %v, want the image for staging", d, err)
	}
	w.ends("staging", 1, passed)
	w.wishes("release", "release")
	w.does("release.done", "services/pipeline", nil) // it is being made
	w.expect("while the releases are made", running, pass, pass, running, running, waiting)
	w.does("release.done", "services/pipeline", api.NodeDone{Node: "two", Attempt: 1, Error: "2.0.0 was released already"})
	w.expect("after the second failed", running, pass, pass, running, fail, waiting)
	w.ends("one", 1, func(d *api.NodeDone) { d.Link = "releases/ledger-1.0.0" })
	w.wishes("create notices/r.tell.1")
	w.expect("at last", fail, pass, pass, pass, fail, pass)
}

func TestABuildWithoutAnImageCannotBeDeployed(t *testing.T) {
	for _, kind := range []api.NodeType{api.NodeDeploy, api.NodeRelease} {
		w := newTrial(t, build("image"), api.Node{ID: "next", Type: kind, Image: "image", Needs: []string{"image"}})
		w.ends("image", 1, passed)
		w.expect(string(kind), fail, pass, fail)
		if why := w.run.Nodes[1].Error; why != "node image has made no image: give its job a pack" {
			t.Errorf("%s: the node says %q, want what to do", kind, why)
		}
	}
}

func TestARunThatIsEndedCancelsItsBuilds(t *testing.T) {
	for event, why := range map[string]string{
		"supersede": "a later patch set took its place",
		"cancel":    "cancelled by users/ada",
	} {
		w := newTrial(t, build("a"), build("b"), build("c", "a"), api.Node{ID: "go", Type: api.NodeApprove})
		w.ends("b", 1, passed)
		w.does(event, "users/ada", nil)
		w.wishes("send builds/r.a.1 cancel")
		w.expect(event, cancelled, cancelled, pass, cancelled, cancelled)
		if w.run.Error != why {
			t.Errorf("%s: the run says %q, want %q", event, w.run.Error, why)
		}
		w.ends("a", 1, passed)
		w.expect("after its end", cancelled, cancelled, pass, cancelled, cancelled)
	}
}

func TestARunWithoutAPlanFailsAndOneThatIsSupersededBeforeTakesNone(t *testing.T) {
	run := api.Run{Meta: kit.Meta{Link: "runs/r"}}
	run, _ = next(run, kit.Event{Name: "created"}, begin)
	broken, _ := next(run, kit.Event{Name: "plan.failed", Data: []byte(`{"error":"pipeline.star:3:1: no"}`)}, begin)
	if broken.State != fail || broken.Error != "pipeline.star:3:1: no" {
		t.Errorf("the run is %s, %q, want it failed with the reason", broken.State, broken.Error)
	}
	old, _ := next(run, kit.Event{Name: "supersede"}, begin)
	old, ops := next(old, kit.Event{Name: "plan.done", Data: []byte(`{"plan":{"nodes":[{"id":"a","type":"build"}]}}`)}, begin)
	if old.State != cancelled || len(ops) > 0 || len(old.Nodes) > 0 {
		t.Errorf("the superseded run is %+v and wishes for %+v, want nothing", old, ops)
	}
	if w := newTrial(t); w.run.State != pass {
		t.Errorf("a run of an empty plan is %s, want passed", w.run.State)
	}
}

func TestWhatARunIsMadeFrom(t *testing.T) {
	links := func(ops []kit.Op) []string {
		w := &trial{ops: ops}
		return w.wished()
	}
	change := api.Change{Meta: kit.Meta{Link: "changes/7"}, Status: api.ChangeOpen, PatchSets: []api.PatchSet{{Number: 1}, {Number: 2}, {Number: 3, Commit: "c3"}}}
	merged := change
	merged.Status = api.ChangeMerged
	const commit = "0123456789abcdef"
	landing := api.Landing{Project: "ledger", Branch: "release/1", Commit: commit, State: api.LandingLanded, Protected: true}
	wanted := landing
	wanted.State = api.LandingWanted
	open := landing
	open.Protected = false
	ref := api.Ref{Meta: kit.Meta{Source: "projects/ledger"}, Project: "ledger", Name: "refs/heads/main", Commit: commit}
	pushed, moved, deleted := ref, ref, ref
	pushed.Source, moved.Before, deleted.Commit = "", "c0", ""
	for _, test := range []struct {
		name string
		ops  []kit.Op
		want []string
	}{
		{"a patch set", onChange(change, begin), []string{"create runs/change-7-3", "send runs/change-7-1 supersede", "send runs/change-7-2 supersede"}},
		{"a merged change", onChange(merged, begin), nil},
		{"what landed", onLanding(landing, begin), []string{"create runs/ledger-release~1-0123456789ab"}},
		{"what is to land", onLanding(wanted, begin), nil},
		{"what landed on a branch that takes direct pushes", onLanding(open, begin), nil},
		{"the first commit", onRef(ref, begin), []string{"create runs/ledger-main-0123456789ab"}},
		{"a branch that was pushed", onRef(pushed, begin), nil},
		{"a branch that moved on", onRef(moved, begin), nil},
		{"a branch that is gone", onRef(deleted, begin), nil},
	} {
		if got := links(test.ops); !slices.Equal(got, test.want) {
			t.Errorf("%s makes %q, want %q", test.name, got, test.want)
		}
	}
}

func TestTheEndOfWorkIsToldToItsRun(t *testing.T) {
	for _, test := range []struct {
		name string
		ops  []kit.Op
		want api.NodeDone // zero: nothing is told
	}{
		{"a passed build", onBuild(api.Build{Meta: kit.Meta{Link: "builds/r.a.2"}, Run: "runs/r", Node: "a", State: api.BuildPassed, Image: "i"}, begin),
			api.NodeDone{Node: "a", Attempt: 2, Link: "builds/r.a.2", Passed: true, Image: "i"}},
		{"a build that could not be run", onBuild(api.Build{Meta: kit.Meta{Link: "builds/r.a.1"}, Run: "runs/r", Node: "a", State: api.BuildError, Error: "no"}, begin),
			api.NodeDone{Node: "a", Attempt: 1, Link: "builds/r.a.1", Infrastructure: true, Error: "no"}},
		{"a running build", onBuild(api.Build{Run: "runs/r", State: api.BuildRunning}, begin), api.NodeDone{}},
		{"a person's build", onBuild(api.Build{State: api.BuildPassed}, begin), api.NodeDone{}},
		{"a failed deployment", onDeployment(api.Deployment{Meta: kit.Meta{Link: "deployments/r.d.1"}, Run: "runs/r", Node: "d", State: api.DeploymentFailed, Error: "no"}, begin),
			api.NodeDone{Node: "d", Attempt: 1, Link: "deployments/r.d.1", Error: "no"}},
		{"an unsigned release", onRelease(api.Release{Meta: kit.Meta{Link: "releases/ledger-1"}, Run: "runs/r", Node: "x", Attempt: 1, State: api.ReleaseUnsigned}, begin),
			api.NodeDone{Node: "x", Attempt: 1, Link: "releases/ledger-1", Passed: true}},
		{"a draft of a release", onRelease(api.Release{Run: "runs/r", State: api.ReleaseDraft}, begin), api.NodeDone{}},
	} {
		var got api.NodeDone
		if len(test.ops) > 0 {
			if err := json.Unmarshal(test.ops[0].Data, &got); err != nil {
				t.Fatal(err)
			}
		}
		if got != test.want {
			t.Errorf("%s tells %+v, want %+v", test.name, got, test.want)
		}
	}
}
