package job

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// propose opens a change of a commit and returns its proposal once it is made.
func (h *hub) propose(ctx context.Context, id, parent, commit string) api.Proposal {
	h.t.Helper()
	change := api.Change{
		Project: "ledger", Branch: "main", Status: api.ChangeOpen,
		PatchSets: []api.PatchSet{{Number: 1, Parent: parent, Commit: commit}},
	}
	if _, err := api.Changes.Create(ctx, h.admin, id, change); err != nil {
		h.t.Fatal(err)
	}
	p, err := api.Proposals.Await(ctx, h.admin, id+"-1", func(p api.Proposal) bool { return p.State != api.ProposalPlanning })
	if err != nil {
		h.t.Fatalf("the proposal of change %s: %v", id, err)
	}
	return p
}

const templates = `- job-template:
    name: 'test-{part}'
    image: %s
    script: |
      set -e
      %s
      make {part}

- project:
    name: ledger
    part: [a, b, c, d]
    jobs: ['test-{part}']
`

func TestAPatchSetSaysWhatItChangesOfTheDeployedJobs(t *testing.T) {
	h := newHub(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h.write("c1", fmt.Sprintf(templates, "go:1", "true"))
	h.write("c2", fmt.Sprintf(templates, "go:1", "true")+"- job: {name: lint, script: [lint]}\n")
	h.move(ctx, "c2")
	h.generation(ctx, func(g api.Generation) bool { return g.State == api.GenerationDeployed })

	h.write("p1", fmt.Sprintf(templates, "go:2", "true")) // its author has not seen c2
	p := h.propose(ctx, "1", "c1", "p1")
	want := []string{"~ update  image: go:1 -> go:2 in 4 jobs: test-a, test-b, test-c, ...", "0 created, 4 updated, 0 deleted, 1 unchanged"}
	if got := p.Lines(10); !reflect.DeepEqual(got, want) || p.State != api.ProposalPlanned || p.Against != 1 || p.Source != "changes/1" {
		t.Errorf("the proposal is %+v:\n%s\nwant\n%s", p, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	status, body := h.call("users/admin", "GET", "/job/plan/ledger?commit=p1", "")
	var plan api.JobPlan
	if err := json.Unmarshal([]byte(body), &plan); err != nil || plan.Counts.Deleted != 1 {
		t.Errorf("deployed as it is, the commit would %d %s, want one job deleted", status, body)
	}
	h.write("p3", "- job: {name: ship, script: [ship], secrets: {TOKEN: deploy}}\n")
	p = h.propose(ctx, "3", "", "p3")
	if note := "jobs/jobs.yml:1: there is no secret deploy"; p.State != api.ProposalPlanned || len(p.Notes) != 1 || !strings.HasPrefix(p.Notes[0], note) {
		t.Errorf("a job with a secret that is not there: %s, %q, want %q", p.State, p.Notes, note)
	}
	h.write("p4", "- job:\n    name: start\n    builders:\n      - trigger-builds: [{project: gone}]\n")
	p = h.propose(ctx, "4", "", "p4")
	if note := `start is without builders: trigger-builds: there is no job "gone" in this project`; len(p.Notes) != 1 || !strings.HasSuffix(p.Notes[0], note) {
		t.Errorf("a job of which a part is not carried out: %q, want %q", p.Notes, note)
	}
	if p := h.propose(ctx, "2", "c2", "without definitions"); p.State != api.ProposalNone {
		t.Errorf("a patch set that touches no definition is %s", p.State)
	}
}

func TestAPatchSetWithMistakesIsToldTheirLines(t *testing.T) {
	h := newHub(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h.write("p1", "- jbo:\n    name: gate\n\n- job:\n    name: lint\n    scirpt: [lint]\n")
	h.write("p2", fmt.Sprintf(templates, "go:1", "if true; then {part}"))
	h.write("p3", "- job:\n    name: gate\n    builders:\n      - shell: |\n          #!/usr/bin/env python3\n          print(\"if\")\n      - shell: if\n")
	for _, test := range []struct {
		commit, note string
		want         []string
	}{
		{"p1", "", []string{`jobs/jobs.yml:1: unknown kind "jbo"; did you mean "job"?`, `jobs/jobs.yml:6: `}},
		{"p2", "", []string{"jobs/jobs.yml:7: shell step of 4 jobs: test-a, test-b, test-c, ..., its line 3: syntax error: unexpected end of file"}},
		{"p3", "not those for python3", []string{"jobs/jobs.yml:7: shell step of gate, its line 1: syntax error"}},
	} {
		p := h.propose(ctx, test.commit, "", test.commit)
		if p.State != api.ProposalWrong || len(p.Problems) != len(test.want) || !strings.Contains(strings.Join(p.Notes, ""), test.note) {
			t.Errorf("%s: %s, %+v, %q, want %q", test.commit, p.State, p.Problems, p.Notes, test.want)
			continue
		}
		for i, want := range test.want {
			if got := p.Problems[i].String(); !strings.HasPrefix(got, want) {
				t.Errorf("%s: problem %q, want %q", test.commit, got, want)
			}
		}
	}
}

func TestAJobIsTriedAsItsPatchSetDefinesIt(t *testing.T) {
	h := newHub(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h.define("c1", "old", "gate")
	h.define("p1", "new", "gate")
	h.propose(ctx, "1", "c1", "p1")
	for _, test := range []struct {
		name  string
		build api.Build
		want  string
	}{
		{"the patch set's", api.Build{Job: "gate", Commit: "p1"}, ""},
		{"of another commit", api.Build{Job: "gate", Commit: "c1"}, "patch set 1 of change 1 is not the commit c1"},
		{"not in the patch", api.Build{Job: "gatt", Commit: "p1"}, `ledger has no job "gatt" at p1; it has gate`},
	} {
		test.build.Project, test.build.Change, test.build.PatchSet = "ledger", "changes/1", 1
		b, err := api.Builds.Create(ctx, h.admin, "", test.build)
		if err != nil {
			t.Fatal(err)
		}
		b = h.await(b.Link.ID(), func(b api.Build) bool { return b.State != api.BuildCreated })
		if queued := b.State == api.BuildQueued; queued != (test.want == "") || !strings.Contains(b.Error, test.want) || queued && b.Spec.Script[0] != "new" {
			t.Errorf("%s: %s %q %+v, want %q", test.name, b.State, b.Error, b.Spec, test.want)
		}
		if class := classOf(b); class != api.ClassHand {
			t.Errorf("%s: it is of the class %s, want that of builds by hand", test.name, class)
		}
	}
}

func TestAProjectWithoutAGenerationGetsOne(t *testing.T) {
	h := newHub(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h.define("c1", "true", "gate")
	h.move(ctx, "c1")
	h.generation(ctx, func(g api.Generation) bool { return g.State == api.GenerationDeployed })
	if err := h.admin.Delete(ctx, "generations/ledger", 0); err != nil { // as if it was made by an older Landfall
		t.Fatal(err)
	}
	if _, err := api.Projects.Create(ctx, h.admin, "ledger", api.Project{}); err != nil {
		t.Fatal(err)
	}
	g := h.generation(ctx, func(g api.Generation) bool { return g.State == api.GenerationDeployed })
	if g.Jobs != 1 || g.Commit != "c1" || g.Source != kit.Link("refs/ledger~heads~main") {
		t.Errorf("the generation is %+v, want that of c1", g)
	}
}
