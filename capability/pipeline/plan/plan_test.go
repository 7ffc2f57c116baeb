package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"landfall.dev/api"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Command {
		os.Exit(Child(os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

const listener = `
load("@ci//lib.star", "pipeline_for")

def main(ctx):
    return pipeline_for(ctx)
`

func library(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/lib.star")
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"lib.star": string(text)}
}

func ledger(t *testing.T) Input {
	return Input{
		Event:   Event{Type: "merged", Change: 42, PatchSet: 3, Branch: "main", Author: "ada", Commit: "c0ffee"},
		Project: Project{Name: "ledger", Kind: "service", Attrs: map[string]string{"owner": "payments"}},
		Jobs:    []string{"ledger-image", "ledger-lint", "ledger-test"},
		Changed: []string{"README", "db/migrations/2026/7.sql"},
		Files:   map[string]string{mainFile: listener},
		Library: library(t),
	}
}

// mainOf returns the input of a project whose main has this body.
func mainOf(body ...string) Input {
	return Input{
		Jobs:  []string{"image", "test"},
		Files: map[string]string{mainFile: "def main(ctx):\n    " + strings.Join(body, "\n    ") + "\n"},
	}
}

// serveIn evaluates in in this process, through the child's protocol.
func serveIn(t *testing.T, in Input) (response, []byte) {
	t.Helper()
	input, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := serve(bytes.NewReader(input), &stdout, &stderr); code != 0 {
		t.Fatalf("the child ended with %d: %s", code, stderr.String())
	}
	var r response
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("answer %s: %v", stdout.String(), err)
	}
	return r, stdout.Bytes()
}

func planOf(t *testing.T, in Input) api.Plan {
	t.Helper()
	r, _ := serveIn(t, in)
	if r.Error != nil {
		t.Fatalf("evaluation: %v", r.Error)
	}
	if err := wellFormed(r.Plan); err != nil {
		t.Fatalf("plan: %v", err)
	}
	return r.Plan
}

// wellFormed checks what an executor relies on.
func wellFormed(p api.Plan) error {
	byID := map[string]api.Node{}
	for _, n := range p.Nodes {
		if _, twice := byID[n.ID]; twice || !idPattern.MatchString(n.ID) {
			return fmt.Errorf("the id %q is unfit or not unique", n.ID)
		}
		byID[n.ID] = n
	}
	begun, passed := map[string]bool{"": true}, map[string]bool{}
	ready := func(in string, waits ...string) bool {
		return begun[in] && !slices.ContainsFunc(waits, func(id string) bool { return !passed[id] })
	}
	for range len(p.Nodes) + len(p.Blocks) {
		for _, b := range p.Blocks {
			begun[b.ID] = begun[b.ID] || ready(b.In, slices.Concat(b.Needs, b.After)...)
			ends := begun[b.ID]
			for _, n := range p.Nodes {
				ends = ends && (n.In != b.ID || passed[n.ID])
			}
			for _, inner := range p.Blocks {
				ends = ends && (inner.In != b.ID || passed[inner.ID])
			}
			passed[b.ID] = ends
		}
		for _, n := range p.Nodes {
			if passed[n.ID] || !ready(n.In, slices.Concat(n.Needs, n.After)...) {
				continue
			}
			if n.Image != "" && !passed[n.Image] {
				return fmt.Errorf("%s starts before its image %s", n.ID, n.Image)
			}
			passed[n.ID] = true
		}
	}
	for _, n := range p.Nodes {
		if !passed[n.ID] {
			return fmt.Errorf("%s can never start: %v", n.ID, n.Needs)
		}
		if n.Image != "" && byID[n.Image].Type != api.NodeBuild {
			return fmt.Errorf("the image of %s is not a build", n.ID)
		}
	}
	return nil
}

// draw shows a plan, a line for each node.
func draw(p api.Plan) string {
	var lines []string
	for _, n := range p.Nodes {
		line := n.ID
		if n.Stage != "" {
			line = n.Stage + "/" + line
		}
		if len(n.Needs) > 0 {
			line += " < " + strings.Join(n.Needs, " ")
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func wantDrawn(t *testing.T, p api.Plan, want ...string) {
	t.Helper()
	if got := draw(p); got != strings.Join(want, "\n") {
		t.Errorf("got the plan\n%s\n\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestTwoKindsOfProjectGetDifferentGraphsFromOneLibrary(t *testing.T) {
	service := ledger(t)
	wantDrawn(t, planOf(t, service),
		"verify/ledger-lint",
		"verify/ledger-test",
		"build/ledger-image < ledger-lint ledger-test",
		"automation/deploy-automation < ledger-image",
		"staging/deploy-staging < deploy-automation",
		"dba/approve-schema-change < deploy-staging",
		"production/approve-go-live < approve-schema-change",
		"production/deploy-eu < approve-go-live",
		"production/deploy-us < approve-go-live",
		"production/notify < deploy-eu deploy-us",
	)
	client := ledger(t)
	client.Project = Project{Name: "client", Kind: "library"}
	client.Jobs = []string{"client-image", "client-test"}
	client.Params = map[string]string{"version": "1.2"}
	wantDrawn(t, planOf(t, client),
		"verify/client-test",
		"build/client-image < client-test",
		"publish/release < client-image",
	)
}

func TestNodesCarryAllThatTheirCallsSaid(t *testing.T) {
	nodes := map[string]api.Node{}
	for _, n := range planOf(t, ledger(t)).Nodes {
		nodes[n.ID] = n
	}
	want := []api.Node{
		{ID: "ledger-image", Type: api.NodeBuild, Stage: "build", Needs: []string{"ledger-lint", "ledger-test"},
			Job: "ledger-image", Params: map[string]string{"COMMIT": "c0ffee"}, Retries: 2, Position: "@ci//lib.star:10"},
		{ID: "deploy-staging", Type: api.NodeDeploy, Stage: "staging", Needs: []string{"deploy-automation"},
			Image: "ledger-image", Environment: "staging", Tests: []string{"smoke"}, Position: "@ci//lib.star:16"},
		{ID: "approve-go-live", Type: api.NodeApprove, Stage: "production", Needs: []string{"approve-schema-change"},
			By: "groups/payments", Position: "@ci//lib.star:21"},
		{ID: "notify", Type: api.NodeNotify, Stage: "production", Needs: []string{"deploy-eu", "deploy-us"},
			Text: "ledger c0ffee is live", Position: "@ci//lib.star:23"},
	}
	for _, w := range want {
		if got := nodes[w.ID]; !reflect.DeepEqual(got, w) {
			t.Errorf("%s: got %+v\nwant %+v", w.ID, got, w)
		}
	}
}

func TestAStepSaysItselfWhatItDoes(t *testing.T) {
	p := planOf(t, mainOf(`return [step("lint", ["make lint", "make vet"], image = "go:1", env = {"A": "b"}, services = {"db": "postgres:17"},`,
		`    cache = {"m2": "/root/.m2"}, artifacts = ["out/**"], reports = {"sarif": "lint.sarif"}, labels = ["big"], timeout = "10m"), build(job = "test")]`))
	want := api.Node{ID: "lint", Type: api.NodeBuild, Job: "lint", TimeoutSeconds: 600, Position: "pipeline.star:2", Step: &api.JobSpec{
		Name: "lint", Image: "go:1", Script: []string{"make lint", "make vet"}, Env: map[string]string{"A": "b"},
		Services: []api.Service{{Name: "db", Image: "postgres:17"}}, Cache: map[string]string{"m2": "/root/.m2"}, Artifacts: []string{"out/**"},
		Reports: &api.ReportPatterns{SARIF: []string{"lint.sarif"}}, Labels: []string{"big"}, Origin: []string{"pipeline.star:2"},
	}}
	if !reflect.DeepEqual(p.Nodes[0], want) {
		t.Errorf("got %+v\nwant %+v", p.Nodes[0], want)
	}
}

func TestShapesOfLists(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want []string
	}{
		"an empty list": {`return []`, []string{""}},
		"a list in parallel is one branch": {
			`return parallel([build("a", job = "test"), build("b", job = "test")], build("c", job = "test")), build("d", job = "test")`,
			[]string{"a", "b < a", "c", "d < b c"},
		},
		"what is empty is passed over": {
			`return [build("a", job = "test"), parallel(), stage("none"), parallel([], stage("none")), build("b", job = "test")]`,
			[]string{"a", "b < a"},
		},
		"ids are numbered when taken": {
			`return [build(job = "test"), build(job = "test"), build("test-2", job = "test"), notify("x"), notify("x")]`,
			[]string{"test", "test-3 < test", "test-2 < test-3", "notify < test-2", "notify-2 < notify"},
		},
		"a node waits for its image beside it": {
			"i = build(job = \"image\")\n    return [build(job = \"test\"), parallel(deploy(\"x\", image = i), deploy(\"y\", image = i), i)]",
			[]string{"test", "deploy-x < test image", "deploy-y < test image", "image < test"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			wantDrawn(t, planOf(t, mainOf(c.body)), c.want...)
		})
	}
}

func TestContextShowsTheInput(t *testing.T) {
	in := ledger(t)
	in.Params = map[string]string{"b": "2", "a": "1"}
	in.Files = map[string]string{mainFile: `
def main(ctx):
    e = ctx.event
    print(e.type, e.change, e.patchset, e.branch, e.author, e.commit)
    print(ctx.project.name, ctx.project.kind, ctx.project.attrs, ctx.params, ctx.jobs)
    print(ctx.changed("db/**"), ctx.changed("**/*.sql"), ctx.changed("db/*"), ctx.changed("*.go", "READ*"), ctx.changed("**"))
    return []
`}
	r, _ := serveIn(t, in)
	want := `merged 42 3 main ada c0ffee
ledger service {"owner": "payments"} {"a": "1", "b": "2"} ["ledger-image", "ledger-lint", "ledger-test"]
True True False True True
`
	if r.Log != want || r.Error != nil {
		t.Errorf("got log\n%s%v\nwant\n%s", r.Log, r.Error, want)
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"a", "a", true},
		{"a", "a/b", false},
		{"a/b", "a", false},
		{"**", "a/b", true},
		{"**/b", "b", true},
		{"a/**/b", "a/b", true},
		{"a/**/b", "a/x/y/b", true},
		{"a/**/b", "a/x/y/c", false},
		{"a/**", "a", true},
		{"a/**", "b", false},
		{"**/x/**/*.go", "x/x/y.go", true},
		{"a?/[bc]", "ax/c", true},
	} {
		if got := matches(strings.Split(c.pattern, "/"), strings.Split(c.name, "/")); got != c.want {
			t.Errorf("%s matches %s: got %v, want %v", c.pattern, c.name, got, c.want)
		}
	}
}

func TestEvaluationIsDeterministic(t *testing.T) {
	in := ledger(t)
	in.Params = map[string]string{"a": "1", "b": "2", "c": "3"}
	in.Files[mainFile] = `
load("@ci//lib.star", "pipeline_for")

def main(ctx):
    print(ctx.params, dir(ctx), set(ctx.jobs), pipeline_for)
    extra = [build(job = "ledger-test", params = ctx.params) for p in ctx.params]
    return pipeline_for(ctx) + [parallel(*extra)]
`
	_, first := serveIn(t, in)
	for i := range 99 {
		if _, again := serveIn(t, in); !bytes.Equal(first, again) {
			t.Fatalf("evaluation %d: got\n%s\nwant the same as at first\n%s", i+2, again, first)
		}
	}
}

func TestLoadsAreExecutedOnceAndTheLibraryStaysApart(t *testing.T) {
	in := mainOf("return []")
	in.Files[mainFile] = `
load("ci/a.star", "x")
load("ci/b.star", "y")
load("@ci//lib.star", "z")

def main(ctx):
    print(x, y, z)
    return []
`
	in.Files["ci/a.star"] = "print(\"once\")\nx = 1"
	in.Files["ci/b.star"] = "load(\"ci/a.star\", \"x\")\ny = x + 1"
	in.Files["shared.star"] = "z = \"of the project\""
	in.Library = map[string]string{
		"lib.star":    "load(\"shared.star\", s = \"z\")\nz = s",
		"shared.star": "z = \"of the library\"",
	}
	r, _ := serveIn(t, in)
	if want := "once\n1 2 of the library\n"; r.Log != want || r.Error != nil {
		t.Errorf("got log %q and error %v, want %q", r.Log, r.Error, want)
	}
}

func TestValuesCanBePrintedButAreNoKeys(t *testing.T) {
	r, _ := serveIn(t, mainOf(
		`n = build(job = "test")`,
		`print(n, stage("verify", n), parallel(n), type(n), bool(n))`,
		`return {n: 1}`,
	))
	if want := "<build at pipeline.star:2> stage \"verify\" parallel node True\n"; r.Log != want {
		t.Errorf("got log %q, want %q", r.Log, want)
	}
	if r.Error == nil || r.Error.Message != "unhashable: node" {
		t.Errorf("got error %v, want unhashable: node", r.Error)
	}
}

func TestLogIsKeptOnErrorAndBounded(t *testing.T) {
	r, _ := serveIn(t, mainOf(`print("before")`, `return 1 // 0`))
	if r.Log != "before\n" || r.Error == nil {
		t.Errorf("got log %q and error %v, want the log before the error", r.Log, r.Error)
	}
	r, _ = serveIn(t, mainOf(`print("first")`, `for i in range(10): print("é" * 20000)`, `return []`))
	if len(r.Log) > maxLog || !strings.HasPrefix(r.Log, "first\n") || !strings.HasSuffix(r.Log, "64 KB)\n") {
		t.Errorf("got a log of %d bytes that ends in %q", len(r.Log), r.Log[len(r.Log)-60:])
	}
	if n := strings.Count(r.Log, "dropped"); n != 1 {
		t.Errorf("the log says %d times that it is incomplete, want once", n)
	}
}

func TestChildRefusesWhatIsNoInput(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := serve(strings.NewReader("{"), &stdout, &stderr); code != 1 || !strings.HasPrefix(stderr.String(), "input: ") {
		t.Errorf("got exit code %d and %q, want 1 and the reason", code, stderr.String())
	}
}

func asError(t *testing.T, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want an *Error", err, err)
	}
	return e
}
