package plan

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// examples is the code base that makes the pipelines of three kinds of
// projects.
const examples = "../../../examples/pipelines"

var jobName = regexp.MustCompile(`(?m)^    name: (\S+)$`)

// example returns the input of one of the example's projects, whose kind is its
// name, for a commit that landed.
func example(t *testing.T, kind string) Input {
	t.Helper()
	read := func(path ...string) string {
		text, err := os.ReadFile(filepath.Join(append([]string{examples}, path...)...))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	in := Input{
		Event:   Event{Type: "merged", Branch: "main", Commit: "c0ffee"},
		Project: Project{Name: kind, Kind: kind},
		Params:  map[string]string{"version": "1.2.3"},
		Files:   map[string]string{mainFile: read(kind, mainFile)},
		Library: map[string]string{"lib.star": read("ci", "lib.star")},
	}
	for _, m := range jobName.FindAllStringSubmatch(read(kind, "jobs", "jobs.yml"), -1) {
		in.Jobs = append(in.Jobs, m[1])
	}
	return in
}

// stagesOf returns the stages of a plan, in order.
func stagesOf(t *testing.T, in Input) []string {
	t.Helper()
	var stages []string
	for _, n := range planOf(t, in).Nodes {
		stages = append(stages, n.Stage)
	}
	return slices.Compact(stages)
}

func TestOneCodeBaseMakesThreePipelines(t *testing.T) {
	for kind, want := range map[string]string{
		"library": "verify build publish",
		"web":     "verify build rnd",
		"service": "verify build automation rnd staging dba production release",
	} {
		in := example(t, kind)
		in.Changed = []string{"db/7.sql"}
		if got := strings.Join(stagesOf(t, in), " "); got != want {
			t.Errorf("%s: the stages are %s, want %s", kind, got, want)
		}
		in.Event.Type = "patchset-created"
		if got := strings.Join(stagesOf(t, in), " "); got != "verify" {
			t.Errorf("a patch for %s: the stages are %s, want verify alone", kind, got)
		}
	}
	in := example(t, "service")
	if stages := stagesOf(t, in); slices.Contains(stages, "dba") {
		t.Errorf("without a change to the schema the stages are %v, want no approval of it", stages)
	}
	in.Project.Kind = "servcie"
	wantError(t, in, `@ci//lib.star:13:13: fail: project service is of the type "servcie"; want one of library, web, service, called from pipeline.star:4:24 in main`)
}

func TestTheShardsOfAServiceAreTestedFourAtATime(t *testing.T) {
	in := example(t, "service")
	in.Expansion = &Expansion{Function: "@ci//lib.star:integration", Value: []byte(`{"names": ["a", "b"]}`), Plan: planOf(t, in), Node: "expand-integration"}
	r, _ := serveIn(t, in)
	if r.Error != nil {
		t.Fatal(r.Error)
	}
	want := `integration-a-postgres: build job=service-integration params={"DATABASE":"postgres","SHARD":"a"} in (retry exits=[137] on=["infra"] retries=1) in (parallel limit=4)`
	if got := Draw(r.Plan); len(got) != 2 || strings.TrimSpace(got[0]) != want {
		t.Errorf("got\n%s\nwant two like\n%s", strings.Join(got, "\n"), want)
	}
}

// One line of the library changes many plans.
func TestAChangeOfTheCodeBaseShowsInThePlanOfEachProject(t *testing.T) {
	for kind, want := range map[string]int{"library": 0, "web": 2, "service": 6} {
		before := example(t, kind)
		after := example(t, kind)
		lib := after.Library["lib.star"]
		after.Library["lib.star"] = strings.Replace(lib, `tests = ["smoke"]`, `tests = ["smoke", "load"]`, 1)
		if after.Library["lib.star"] == lib {
			t.Fatal("the library has no smoke tests to change")
		}
		if got := Compare(planOf(t, before), planOf(t, after)); len(got) != want && want == 0 || len(got) < want {
			t.Errorf("%s: the plan differs in %d lines, want %d:\n%s", kind, len(got), want, strings.Join(got, "\n"))
		}
	}
}

func BenchmarkPlanOf500Nodes(b *testing.B) {
	in := mainOf(`return [stage("s%d" % s, parallel(*[build("b-%d-%d" % (s, i), job = "test", params = {"N": str(i)}) for i in range(50)])) for s in range(10)]`)
	for b.Loop() {
		r, err := Evaluate(b.Context(), in)
		if err != nil || len(r.Plan.Nodes) != maxNodes {
			b.Fatalf("%d nodes, %v", len(r.Plan.Nodes), err)
		}
	}
}
