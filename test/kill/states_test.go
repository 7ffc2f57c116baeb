package kill_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"

	"landfall.dev/kit"
)

// place is where documents keep a state: the kind and the states of one
// document. Its name is that of the kind, or tells what of it.
type place struct {
	name, kind string
	typ        string // of the states, in the code
	states     func(kit.Record) []string
	// never are the states that this path does not come to, and why.
	never map[string]string
	// often are the states that it is killed at more than once.
	often map[string]int
	// maybe says why it is not certain that a state is seen.
	maybe string
}

// What the jobs of the platform on this path do not ask for.
const (
	noTimes   = "no job is timed, and a build that is due is one write with the next time"
	noReports = "no job has reports, and judging is repeated until it is acknowledged, as all actions are"
)

// The hub's places.
var hubPlaces = []place{
	{name: "changes", kind: "changes", typ: "ChangeStatus", states: status},
	{name: "landings", kind: "landings", typ: "LandingState", states: state},
	{name: "builds", kind: "builds", typ: "BuildState", states: state, never: map[string]string{
		"waiting": "no job has locks, a matrix or is tried again",
		"failed":  "the scripts pass", "error": "the infrastructure works", "cancelled": "no patch set replaces another",
	}},
	{name: "runs", kind: "runs", typ: "RunState", states: state, never: map[string]string{
		"waiting": "nodes wait, not runs", "failed": "all nodes pass", "cancelled": "no patch set replaces another",
		"skipped": "nodes are skipped, not runs", "unstable": "nodes are ignored, not runs",
	}},
	{name: "nodes of runs", kind: "runs", typ: "RunState", states: nodeStates, never: map[string]string{
		"planning": "runs are planned, not nodes", "failed": "all nodes pass", "cancelled": "all nodes pass",
		"skipped": "no node has a condition", "unstable": "all nodes pass",
	}},
	{name: "deployments", kind: "deployments", typ: "DeploymentState", states: state, never: map[string]string{
		"failed": "staging takes every version",
	}},
	{name: "statuses", kind: "statuses", typ: "DeploymentState", states: state, never: map[string]string{
		"queued": "an agent says nothing of what it has not taken on", "failed": "nothing fails that the hub's death could make fail",
	}},
	{name: "generations", kind: "generations", typ: "GenerationState", states: state, never: map[string]string{
		"held": "no version deletes jobs", "failed": "the definitions can be expanded",
	}},
	{name: "proposals", kind: "proposals", typ: "ProposalState", states: state, never: map[string]string{
		"planned": "no version changes the definitions", "wrong": "no version changes the definitions",
	}},
	{name: "schedules", kind: "schedules", typ: "ScheduleState", states: state, never: map[string]string{
		"active": noTimes, "paused": noTimes, "broken": noTimes,
	}},
	{name: "reports", kind: "reports", typ: "ReportState", states: state, never: map[string]string{
		"judging": noReports, "passed": noReports, "failed": noReports, "error": noReports,
	}},
	{name: "inventories", kind: "inventories", typ: "InventoryState", states: state, never: map[string]string{
		"judging": noReports, "passed": noReports, "review": noReports, "denied": noReports, "error": noReports,
	}},
	{name: "releases", kind: "releases", typ: "ReleaseState", states: state, never: map[string]string{
		"failed": "the notes can be made",
	}},
	{name: "notices", kind: "notices", typ: "NoticeState", states: state, never: map[string]string{
		"given-up": "the webhook takes all",
	}},
	{name: "copies of upgrades", kind: "upgrades", typ: "UpgradeState", states: state,
		maybe: "the hub gets the latest state only, and not each"},
}

// The places of unknown's agent.
var agentPlaces = []place{
	{name: "orders", kind: "orders", typ: "orderState", states: state, never: map[string]string{
		"testing":  "releases bring no tests: staging's agent is killed there",
		"cleaning": "only throw-away groups are cleaned away: site/agent has a test that kills there",
	}},
	{name: "groups", kind: "instance-groups", typ: "groupState", states: state},
	// An upgrade that was killed three times after blue was fenced is given up.
	{name: "upgrades", kind: "upgrades", typ: "UpgradeState", states: liveState, often: map[string]int{"fenced": 3}, never: map[string]string{
		"planned":   "it is written together with provision, as a moment of the history",
		"released":  "it is written together with soak, as a moment of the history",
		"rehearsed": "only rehearsals end there: site/upgrade has a test that kills them at every call",
	}},
}

// The places of staging's agent. An upgrade that the kills make it give up is
// a failed deployment, which the pipeline does not order again; so it is
// killed at the states of its orders alone.
var stagingPlaces = []place{
	{name: "orders of staging", kind: "orders", typ: "orderState", states: state, never: map[string]string{
		"cleaning": "only throw-away groups are cleaned away", "failed": "staging takes every version",
	}},
}

func state(r kit.Record) []string  { return stringField(r, "state") }
func status(r kit.Record) []string { return stringField(r, "status") }

func stringField(r kit.Record, name string) []string {
	var doc map[string]json.RawMessage
	var s string
	if json.Unmarshal(r.Body, &doc) != nil || json.Unmarshal(doc[name], &s) != nil {
		return nil // a tombstone
	}
	return []string{s}
}

func nodeStates(r kit.Record) (all []string) {
	var run struct{ Nodes []struct{ State string } }
	_ = json.Unmarshal(r.Body, &run) // a tombstone has none
	for _, n := range run.Nodes {
		all = append(all, n.State)
	}
	return all
}

// liveState is that of an upgrade from a running group, not of a first
// deployment.
func liveState(r kit.Record) []string {
	var u struct{ Blue struct{ Group string } }
	if json.Unmarshal(r.Body, &u) != nil || u.Blue.Group == "" {
		return nil
	}
	return state(r)
}

// declaredStates returns the constants of the types of states in the packages
// that keep some, by type.
func declaredStates(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, dir := range []string{"../../api", "../../site/agent"} {
		notTests := func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }
		packages, err := parser.ParseDir(token.NewFileSet(), dir, notTests, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range packages {
			ast.Inspect(p, func(n ast.Node) bool {
				if v, ok := n.(*ast.ValueSpec); ok {
					addState(t, found, v)
				}
				return true
			})
		}
	}
	return found
}

// addState adds the constant, if its type is one of states.
func addState(t *testing.T, found map[string][]string, v *ast.ValueSpec) {
	t.Helper()
	typ, ok := v.Type.(*ast.Ident)
	if !ok || !strings.HasSuffix(typ.Name, "State") && !strings.HasSuffix(typ.Name, "Status") {
		return
	}
	for _, value := range v.Values {
		lit, ok := value.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			continue
		}
		s, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		found[typ.Name] = append(found[typ.Name], s)
	}
}

func TestEveryTypeOfStateHasAPlace(t *testing.T) {
	declared := declaredStates(t)
	places := slices.Concat(hubPlaces, agentPlaces, stagingPlaces)
	for typ := range declared {
		if !slices.ContainsFunc(places, func(p place) bool { return p.typ == typ }) {
			t.Errorf("no test kills at the states of the type %s: add a place", typ)
		}
	}
	for _, p := range places {
		if len(declared[p.typ]) == 0 {
			t.Errorf("%s: the code has no states of the type %s", p.name, p.typ)
		}
		for s := range p.never {
			if !slices.Contains(declared[p.typ], s) {
				t.Errorf("%s: the code has no state %q any more", p.name, s)
			}
		}
	}
}
