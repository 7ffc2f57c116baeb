package pipeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

const (
	skipped  = api.RunSkipped
	unstable = api.RunUnstable
)

func in(block string, nodes ...api.Node) []api.Node {
	for i := range nodes {
		nodes[i].In = block
	}
	return nodes
}

func exit(code int) func(*api.NodeDone) {
	return func(d *api.NodeDone) { d.Passed, d.ExitCode, d.Error = false, code, fmt.Sprintf("exit %d", code) }
}

func shaky(d *api.NodeDone) { d.Passed, d.Unstable, d.Error = false, true, "3 tests failed" }

// later lets the time pass and wakes the run, which must have asked for that.
func (w *trial) later(d time.Duration) {
	w.t.Helper()
	w.now = w.now.Add(d)
	if w.run.Wake.IsZero() || w.now.Before(w.run.Wake) {
		w.t.Fatalf("after %v the run is not woken: it asked for %v, now is %v", d, w.run.Wake, w.now)
	}
	w.does("wake", "services/pipeline", nil)
}

func TestOnlyWhatIsIgnoredMayFail(t *testing.T) {
	for _, test := range []struct {
		name string
		upto api.Cause
		end  func(*api.NodeDone)
		run  api.RunState
		node api.RunState
	}{
		{"unstable, which is ignored", api.CauseUnstable, shaky, running, unstable},
		{"a failure, when only unstable is ignored", api.CauseUnstable, failed, fail, fail},
		{"unstable, when failures are ignored", api.CauseFailure, shaky, running, unstable},
		{"a failure, which is ignored", api.CauseFailure, failed, running, unstable},
		{"a lost host, when failures are ignored", api.CauseFailure, lost, fail, fail},
		{"a lost host, which is ignored", api.CauseInfra, lost, running, unstable},
	} {
		nodes := append(in("#1", build("a")), build("b", "#1"))
		w := newTrialOf(t, api.Plan{Nodes: nodes, Blocks: []api.Block{{ID: "#1", Type: api.BlockIgnore, Upto: test.upto}}})
		w.ends("a", 1, test.end)
		after := running
		if test.run == fail {
			after = cancelled
		}
		w.expect(test.name, test.run, test.node, after)
	}
}

func TestABlockIsTriedAgainByItsCausesAfterAPause(t *testing.T) {
	nodes := append(in("#1", build("a"), build("b", "a")), build("c", "#1"))
	block := api.Block{ID: "#1", Type: api.BlockRetry, Retries: 2, On: []api.Cause{api.CauseInfra}, Exits: []int{137}, BackoffSeconds: 10, Position: "pipeline.star:3"}
	w := newTrialOf(t, api.Plan{Nodes: nodes, Blocks: []api.Block{block}})
	w.ends("a", 1, passed)
	w.ends("b", 1, exit(137))
	w.expect("in the first pause", running, waiting, waiting, waiting)
	w.wishes("send runs/r wake")
	if want := begin.Add(10 * time.Second); !w.ops[0].At.Equal(want) {
		t.Errorf("the run is to be woken at %v, want %v", w.ops[0].At, want)
	}
	w.later(10 * time.Second)
	w.wishes("create builds/r.a.2")
	w.ends("b", 1, passed) // late
	w.expect("in the second attempt", running, running, waiting, waiting)
	w.ends("a", 2, lost)
	w.later(20 * time.Second)
	w.wishes("create builds/r.a.3")
	w.ends("a", 3, passed)
	w.ends("b", 2, exit(137))
	w.expect("after the last attempt", fail, pass, fail, cancelled)
	if why := w.run.Nodes[2].Error; why != "retry at pipeline.star:3 did not pass" {
		t.Errorf("c says %q, want what did not pass", why)
	}

	w = newTrialOf(t, api.Plan{Nodes: nodes, Blocks: []api.Block{block}})
	w.ends("a", 1, exit(1))
	w.expect("after a failure of its own", fail, fail, cancelled, cancelled)
}

func TestTimeoutsCountAsFailuresForARetry(t *testing.T) {
	node := build("a")
	node.TimeoutSeconds = 60
	w := newTrialOf(t, api.Plan{Nodes: in("#1", node), Blocks: []api.Block{{ID: "#1", Type: api.BlockRetry, Retries: 1, On: []api.Cause{api.CauseFailure}}}})
	w.wishes("create builds/r.a.1", "send runs/r wake")
	w.later(time.Minute)
	w.wishes("send builds/r.a.1 cancel", "create builds/r.a.2", "send runs/r wake")
	w.later(time.Minute)
	w.expect("after the second time", fail, fail)
	if n := w.run.Nodes[0]; n.Error != "took longer than 1m0s" || n.Cause != api.CauseTimeout || !w.run.Wake.IsZero() {
		t.Errorf("the node says %q by %s, want that its time is up", n.Error, n.Cause)
	}
}

func TestAStageWhoseTimeIsUpEndsAllThatIsInIt(t *testing.T) {
	nodes := append(in("#1", build("a"), api.Node{ID: "go", Type: api.NodeApprove}, build("b", "a")), build("c", "#1"))
	w := newTrialOf(t, api.Plan{Nodes: nodes, Blocks: []api.Block{{ID: "#1", Type: api.BlockStage, Name: "x", TimeoutSeconds: 10}}})
	w.later(10 * time.Second)
	w.wishes("send builds/r.a.1 cancel")
	w.expect("after the time", fail, cancelled, cancelled, cancelled, cancelled)
	if why := w.run.Error; why != "stage x took longer than 10s" {
		t.Errorf("the run says %q, want which stage took too long", why)
	}
}

func TestRescueRunsAfterAFailureAndAlwaysInAnyCase(t *testing.T) {
	plan := api.Plan{
		Blocks: []api.Block{
			{ID: "#1", Type: api.BlockGuard}, {ID: "#2", Type: api.BlockStage, In: "#1"},
			{ID: "#3", Type: api.BlockRescue, In: "#1", After: []string{"#2"}},
			{ID: "#4", Type: api.BlockAlways, In: "#1", After: []string{"#2", "#3"}},
		},
		Nodes: slices.Concat(in("#2", build("a"), build("b", "a")), in("#3", build("rescue")), in("#4", build("clean")), []api.Node{build("next", "#1")}),
	}
	w := newTrialOf(t, plan)
	w.ends("a", 1, passed)
	w.ends("b", 1, passed)
	w.expect("all is well", running, pass, pass, skipped, running, waiting)
	w.ends("clean", 1, passed)
	w.expect("after all was well", running, pass, pass, skipped, pass, running)

	w = newTrialOf(t, plan)
	w.ends("a", 1, failed)
	w.expect("after a failure", running, fail, cancelled, running, waiting, waiting)
	w.ends("rescue", 1, passed)
	w.ends("clean", 1, passed)
	w.expect("after the rescue", fail, fail, cancelled, pass, pass, cancelled)
}

func TestAParallelKeepsToItsLimitAndEndsAtTheFirstFailure(t *testing.T) {
	plan := api.Plan{
		Blocks: []api.Block{{ID: "#1", Type: api.BlockParallel, Limit: 2, FailFast: true}, {ID: "#2", Type: api.BlockStage, In: "#1"}},
		Nodes:  slices.Concat(in("#2", build("a1"), build("a2", "a1")), in("#1", build("b"), build("c"), build("d"))),
	}
	w := newTrialOf(t, plan)
	w.expect("at first", running, running, waiting, running, waiting, waiting)
	w.ends("b", 1, passed)
	w.expect("after b", running, running, waiting, pass, running, waiting)
	w.ends("a1", 1, passed)
	w.expect("within the first branch", running, pass, running, pass, running, waiting)
	w.ends("c", 1, failed)
	w.wishes("send builds/r.a2.1 cancel")
	w.expect("after a failure", fail, pass, cancelled, pass, fail, cancelled)
	if why := w.run.Nodes[1].Error; why != "another branch failed" {
		t.Errorf("a2 says %q, want why it was cancelled", why)
	}
}

func TestConditions(t *testing.T) {
	unit := build("unit")
	isFailed := api.When{Result: &api.ResultIs{Node: "unit", States: []api.RunState{fail}}}
	for _, test := range []struct {
		name string
		when api.When
		want api.RunState
	}{
		{"the branch", api.When{Branch: []string{"rel-*", "main"}}, running},
		{"another branch", api.When{Branch: []string{"rel-*"}}, skipped},
		{"the event", api.When{Event: []string{"merged"}}, running},
		{"both", api.When{All: []api.When{{Event: []string{"merged"}}, {Branch: []string{"x"}}}}, skipped},
		{"one", api.When{Any: []api.When{{Event: []string{"merged"}}, {Branch: []string{"x"}}}}, running},
		{"not", api.When{Not: &api.When{Event: []string{"merged"}}}, skipped},
		{"a result", isFailed, running},
		{"another result", api.When{Not: &isFailed}, skipped},
	} {
		node := build("a")
		node.When, node.After = &test.when, []string{"unit"}
		w := newTrial(t, unit, node)
		w.run.Branch, w.run.Event = "main", "merged"
		w.expect(test.name+", before its time", running, running, waiting)
		w.ends("unit", 1, failed)
		if got := w.run.Nodes[1].State; got != test.want {
			t.Errorf("%s: the node is %s, want %s", test.name, got, test.want)
		}
	}
}

// hall is locks, and runs that want them, with nothing lost between them but
// what a test drops.
type hall struct {
	t     *testing.T
	locks map[kit.Link]api.RunLock
	runs  map[kit.Link]*trial
}

func (h *hall) enter(id string, plan api.Plan) *trial {
	w := &trial{t: h.t, now: begin, run: api.Run{Meta: kit.Meta{Link: api.Runs.Link(id)}}}
	h.runs[w.run.Link] = w
	w.does("created", "services/pipeline", nil)
	h.does(w, "plan.done", planResult{Plan: plan})
	return w
}

// does sends an event to a run and carries out all that this leads to.
func (h *hall) does(w *trial, event string, args any) {
	h.t.Helper()
	if reason := w.does(event, "users/ada", args); reason != "" {
		h.t.Fatalf("%s: %s", event, reason)
	}
	h.carry(w.ops)
}

func (h *hall) carry(ops []kit.Op) {
	for _, op := range ops {
		switch {
		case op.Do == kit.OpCreate && op.Link.Kind() == "run-locks":
			if _, known := h.locks[op.Link]; !known {
				h.locks[op.Link], _ = nextLock(api.RunLock{Meta: kit.Meta{Link: op.Link}}, kit.Event{Name: "created", Data: op.Data}, begin)
			}
		case op.Do == kit.OpSend && op.Link.Kind() == "run-locks":
			l, more := nextLock(h.locks[op.Link], kit.Event{Name: op.Event, Data: op.Data}, begin)
			h.locks[op.Link] = l
			h.carry(more)
		case op.Do == kit.OpSend && op.Event == "locked":
			var g granted
			if err := json.Unmarshal(op.Data, &g); err != nil {
				h.t.Fatal(err)
			}
			h.does(h.runs[op.Link], "locked", g)
		}
	}
}

func TestLocksAreHeldByOneRunAtATimeAndGivenBackWhateverHappens(t *testing.T) {
	plan := api.Plan{Blocks: []api.Block{{ID: "#1", Type: api.BlockLock, Locks: []string{"a", "b"}}}, Nodes: in("#1", build("x"))}
	h := &hall{t: t, locks: map[kit.Link]api.RunLock{}, runs: map[kit.Link]*trial{}}
	first, second, third, fourth := h.enter("r1", plan), h.enter("r2", plan), h.enter("r3", plan), h.enter("r4", plan)
	first.expect("the first", running, running)
	second.expect("the second", running, waiting)
	h.does(first, "node", api.NodeDone{Node: "x", Attempt: 1, Link: "builds/r1.x.1", Error: "exit 1"})
	first.expect("the first, which failed", fail, fail)
	second.expect("the second, after the first", running, running)
	h.does(third, "cancel", nil) // while it waits
	h.does(second, "cancel", nil)
	fourth.expect("the fourth, after two that were cancelled", running, running)
	h.does(fourth, "node", api.NodeDone{Node: "x", Attempt: 1, Link: "builds/r4.x.1", Passed: true})
	fourth.expect("at last", pass, pass)
	for link, l := range h.locks {
		if len(l.Holders) > 0 {
			t.Errorf("%s is held by %+v, want by nobody", link, l.Holders)
		}
	}
}

func TestALockThatComesTooLateIsGivenBack(t *testing.T) {
	plan := api.Plan{Blocks: []api.Block{{ID: "#1", Type: api.BlockLock, Locks: []string{"a"}}}, Nodes: in("#1", build("x"))}
	w := newTrialOf(t, plan)
	w.wishes("create run-locks/a", "send run-locks/a acquire")
	w.does("cancel", "users/ada", nil)
	w.does("locked", "services/pipeline", granted{Lock: "a", Block: "#1", Attempt: 1})
	w.wishes("send run-locks/a release")
}

func TestAPersonCanTakeALockAway(t *testing.T) {
	one, two := api.Holder{Run: "runs/one", Block: "#1", Attempt: 1}, api.Holder{Run: "runs/two", Block: "#1", Attempt: 1}
	l := api.RunLock{Holders: []api.Holder{one, two}}
	l, ops := nextLock(l, kit.Event{Name: "release"}, begin)
	if len(l.Holders) != 1 || len(ops) != 1 || ops[0].Link != "runs/two" {
		t.Errorf("the lock is held by %+v and tells %+v, want the second run", l.Holders, ops)
	}
	l, _ = nextLock(l, kit.Event{Name: "release"}, begin)
	if _, ops = nextLock(l, kit.Event{Name: "release"}, begin); len(ops) != 1 || ops[0].Do != kit.OpRefuse {
		t.Errorf("a free lock was taken away: %+v", ops)
	}
}

func TestAGateJudgesTheReportsOfBuilds(t *testing.T) {
	number := func(n int) *int { return &n }
	good := api.Verdict{State: api.ReportPassed, NewCoverage: number(85), NewIssues: number(1)}
	bad := api.Verdict{State: api.ReportFailed, NewCoverage: number(85), NewIssues: number(1), Conditions: []api.Condition{
		{Name: "issues", State: api.ConditionFailed, Text: "1 new issue"}, {Name: "tests", State: api.ConditionFailed, Text: "TestX failed"},
	}}
	kept := func(d *api.NodeDone) { d.Reported = true }
	listed := func(d *api.NodeDone) { d.Listed = true }
	review := api.Verdict{State: api.ReportFailed, Conditions: []api.Condition{{Name: "licences", State: api.ConditionReview, Text: "MPL-2.0 is for a person to decide"}}}
	for _, test := range []struct {
		name    string
		verdict *api.Verdict
		end     func(*api.NodeDone)
		rules   *api.NodeRules
		want    api.RunState
		err     string
	}{
		{"reports that do", &good, kept, nil, pass, ""},
		{"reports that do not", &bad, kept, nil, fail, "a: 1 new issue; a: TestX failed"},
		{"rules of its own, which are stricter", &good, kept, &api.NodeRules{NewCoverage: number(90)}, fail, "a: its tests cover 85 % of the added lines, not 90 %"},
		{"rules of its own, which are laxer", &bad, kept, &api.NodeRules{NewIssues: number(1)}, fail, "a: TestX failed"},
		{"reports that nobody could judge", &api.Verdict{State: api.ReportError, Error: "no blob"}, kept, nil, fail, "a: its reports could not be judged: no blob"},
		{"reports that are not judged yet", nil, kept, nil, running, ""},
		{"dependencies that do not do", &review, listed, nil, fail, "a: MPL-2.0 is for a person to decide"},
		{"dependencies that are not judged yet", nil, listed, nil, running, ""},
		{"no reports", nil, passed, nil, fail, "no build that has ended before has kept reports"},
	} {
		gate := api.Node{ID: "gate", Type: api.NodeGate, Needs: []string{"a"}, Rules: test.rules}
		w := newTrial(t, build("a"), gate)
		tell := func() {
			if test.verdict != nil {
				v := api.NodeVerdict{Node: "a", Build: "builds/r.a.1", Verdict: *test.verdict, Inventory: test.verdict == &review}
				w.does("report", "services/pipeline", v)
			}
		}
		w.does("report", "services/pipeline", api.NodeVerdict{Node: "a", Build: "builds/evil", Verdict: good})
		w.ends("a", 1, test.end)
		tell()
		if n := w.run.Nodes[1]; n.State != test.want || !strings.HasPrefix(n.Error, test.err) {
			t.Errorf("%s: the gate is %s, %q, want %s, %q", test.name, n.State, n.Error, test.want, test.err)
		}
		// The verdict may come before the run hears of the build's end.
		w = newTrial(t, build("a"), gate)
		tell()
		w.ends("a", 1, test.end)
		if n := w.run.Nodes[1]; n.State != test.want {
			t.Errorf("%s, told first: the gate is %s, want %s", test.name, n.State, test.want)
		}
	}
}

func TestVerdictsAreToldToTheRunThatOrderedTheBuild(t *testing.T) {
	conditions := []api.Condition{{Name: "tests", State: api.ConditionPassed}, {Name: "issues", State: api.ConditionFailed, Text: "1 new issue"}, {Name: "licences", State: api.ConditionReview}}
	report := api.Report{
		Meta: kit.Meta{Link: "reports/r.a.1"}, Run: "runs/r", Node: "a", State: api.ReportFailed, Conditions: conditions, Parent: "c0",
		Coverage: &api.CoverageReport{NewLines: 3, NewCovered: 2}, Findings: &api.FindingsReport{New: 1},
	}
	judging, person, listing := report, report, api.Inventory{Meta: kit.Meta{Link: "inventories/r.a.1"}, Run: "runs/r", Node: "a", State: api.InventoryDenied, Conditions: conditions}
	judging.State, person.Run = api.ReportJudging, ""
	for _, test := range []struct {
		name string
		ops  []kit.Op
		want string
	}{
		{"a report", onReport(report, begin), `{"node":"a","build":"builds/r.a.1","verdict":{"state":"failed","conditions":[{"name":"issues","state":"failed","text":"1 new issue"},{"name":"licences","state":"review","text":""}],"newCoverage":66,"newIssues":1}}`},
		{"a report that is not there yet", onReport(judging, begin), ""},
		{"a report on a person's build", onReport(person, begin), ""},
		{"an inventory", onInventory(listing, begin), `{"node":"a","build":"builds/r.a.1","verdict":{"state":"failed","conditions":[{"name":"issues","state":"failed","text":"1 new issue"},{"name":"licences","state":"review","text":""}]},"inventory":true}`},
	} {
		got := ""
		if len(test.ops) > 0 {
			got = string(test.ops[0].Data)
		}
		if got != test.want {
			t.Errorf("%s tells %s, want %s", test.name, got, test.want)
		}
	}
}

func TestAPlanGrowsByWhatIsExpanded(t *testing.T) {
	plan := api.Plan{
		Blocks: []api.Block{{ID: "#1", Type: api.BlockExpand}},
		Nodes: []api.Node{
			build("list"), {ID: "expand", Type: api.NodeExpand, In: "#1", Of: "list", Artifact: "x.json", Function: "pipeline.star:f", Stage: "s"}, build("end", "#1"),
		},
	}
	plan.Blocks[0].Needs = []string{"list"}
	w := newTrialOf(t, plan)
	w.ends("list", 1, passed)
	w.wishes("expand")
	var a expandArgs
	if err := json.Unmarshal(w.ops[0].Data, &a); err != nil || a.Build != "builds/r.list.1" || a.Artifact != "x.json" {
		t.Fatalf("the run asks for %+v, %v, want the artifact of its build", a, err)
	}
	more := api.Plan{Blocks: []api.Block{{ID: "#2", Type: api.BlockRetry}}, Nodes: append(in("#2", build("a")), build("b"))}
	w.does("expand.done", "services/pipeline", expansion{errand: errand{"expand", 2}, Plan: more})
	w.expect("after an outcome of no attempt", running, pass, running, waiting)
	w.does("expand.done", "services/pipeline", expansion{errand: errand{"expand", 1}, Plan: more, Log: "hello\n"})
	w.wishes("create builds/r.a.1", "create builds/r.b.1")
	w.does("expand.done", "services/pipeline", expansion{errand: errand{"expand", 1}, Plan: more})
	w.expect("after the same outcome again", running, pass, pass, waiting, running, running)
	if n := w.run.Plan.Nodes[4]; n.In != "#1" || n.Stage != "s" || w.run.Log != "hello\n" {
		t.Errorf("b is %+v in the plan, want it in the block and stage of what was expanded", n)
	}
	w.ends("a", 1, passed)
	w.ends("b", 1, passed)
	w.expect("after what was added", running, pass, pass, running, pass, pass)

	w = newTrialOf(t, plan)
	w.ends("list", 1, passed)
	w.does("expand.done", "services/pipeline", expansion{errand: errand{"expand", 1}, Error: "ci/x.star:3:1: no"})
	w.expect("after a fault of the function", fail, pass, fail, cancelled)
}

func TestATriggeredRunTellsWhoTriggeredIt(t *testing.T) {
	w := newTrial(t, api.Node{ID: "t", Type: api.NodeTrigger, Project: "other", Params: map[string]string{"a": "b"}}, api.Node{ID: "j", Type: api.NodeTrigger, Project: "other", Job: "test"})
	w.wishes("trigger", "trigger")
	link := w.run.Nodes[0].Link
	if link.Kind() != "runs" || !strings.HasPrefix(link.ID(), "other-by-") || w.run.Nodes[1].Link != "builds/r.j.1" {
		t.Fatalf("the nodes are for %s and %s, want a run and a build", link, w.run.Nodes[1].Link)
	}
	w.does("trigger.done", "services/pipeline", nil) // it is ordered
	below := newTrial(t, build("a"))
	below.run.Link, below.run.Upstream = link, &api.Upstream{Run: "runs/r", Node: "t", Attempt: 1}
	below.ends("a", 1, failed)
	below.wishes("send runs/r node")
	var d api.NodeDone
	if err := json.Unmarshal(below.ops[0].Data, &d); err != nil {
		t.Fatal(err)
	}
	w.does("node", "services/pipeline", d)
	if n := w.run.Nodes[0]; n.State != fail || n.Error != "a of "+string(link)+": exit 1" {
		t.Errorf("the trigger is %s, %q, want what failed below", n.State, n.Error)
	}
	w.does("cancel", "users/ada", nil)
	w.wishes("send builds/r.j.1 cancel")
}

func TestAPlanOf500NodesFitsInADocument(t *testing.T) {
	var nodes []api.Node
	for i := range 500 {
		n := build(fmt.Sprintf("a-job-with-a-long-name-%d", i))
		n.Position, n.Stage, n.In = "@ci//lib/pipelines.star:1234", "integration", "#1"
		nodes = append(nodes, n)
	}
	w := newTrialOf(t, api.Plan{Nodes: nodes, Blocks: []api.Block{{ID: "#1", Type: api.BlockParallel}}})
	if len(w.ops) != 500 {
		t.Fatalf("the run orders %d builds, want 500", len(w.ops))
	}
	for _, n := range nodes {
		w.ends(n.ID, 1, func(d *api.NodeDone) { d.Passed, d.Error = false, strings.Repeat("\x1bé", 1000) })
	}
	text, err := json.Marshal(w.run)
	if err != nil || len(text) > kit.MaxDocument || w.run.State != fail {
		t.Errorf("the run is %s, with %d bytes, %v, want it failed within %d bytes", w.run.State, len(text), err, kit.MaxDocument)
	}
}
