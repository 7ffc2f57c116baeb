package job

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

func spec(name, image string, origin ...string) api.JobSpec {
	return api.JobSpec{Name: name, Image: image, Script: []string{"make"}, Origin: origin}
}

func TestAPlanSaysWhatWouldChange(t *testing.T) {
	deployed := []api.Job{
		{Meta: kit.Meta{Link: "jobs/p~same", Version: 1}, Project: "p", Folder: "jobs", Spec: spec("same", "go:1")},
		{Meta: kit.Meta{Link: "jobs/p~moved", Version: 2}, Project: "p", Folder: "jobs", Spec: spec("moved", "go:1", "jobs/a.yml:1")},
		{Meta: kit.Meta{Link: "jobs/p~changed", Version: 3}, Project: "p", Folder: "jobs", Spec: spec("changed", "go:1")},
		{Meta: kit.Meta{Link: "jobs/p~gone", Version: 4}, Project: "p", Folder: "jobs", Spec: spec("gone", "go:1")},
	}
	ref := api.Ref{Meta: kit.Meta{Link: "refs/p~heads~main"}, Project: "p", Commit: "c2"}
	p, err := newJobPlan(ref, deployed, []api.JobSpec{
		spec("same", "go:1"), spec("moved", "go:1", "jobs/a.yml:2"), spec("changed", "go:2"), spec("made", "go:1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range p.edits {
		got = append(got, fmt.Sprint(e.Action, " ", e.Job, " ", e.Fields))
	}
	want := []string{"update changed [{image go:1 go:2}]", "delete gone []", "create made []"}
	if !slices.Equal(got, want) {
		t.Errorf("the plan is %q, want %q", got, want)
	}
	if (p.counts != api.JobChanges{Created: 1, Updated: 1, Deleted: 1, Unchanged: 2}) {
		t.Errorf("it counts %+v", p.counts)
	}
	var writes []string
	for _, w := range p.writes {
		writes = append(writes, fmt.Sprint(w.Verb, " ", w.Link, " ", w.IfMatch))
	}
	want = []string{"update jobs/p~moved 2", "update jobs/p~changed 3", "create jobs/p~made 0", "delete jobs/p~gone 4"}
	if !slices.Equal(writes, want) {
		t.Errorf("it writes %q, want %q", writes, want)
	}
	if patch := string(p.writes[1].Body); patch != `{"commit":"c2","spec":{"image":"go:2"}}` {
		t.Errorf("the update is %s, want what differs", patch)
	}
}

func TestARenamedJobKeepsItsHistory(t *testing.T) {
	old := api.Job{Meta: kit.Meta{Link: "jobs/p~b", Version: 3}, Project: "p", Spec: spec("b", "go:1"), Formerly: []string{"a"}}
	moved := spec("c", "go:2")
	moved.MovedFrom = "b"
	p, err := newJobPlan(api.Ref{Project: "p"}, []api.Job{old}, []api.JobSpec{moved})
	if err != nil {
		t.Fatal(err)
	}
	want := []api.JobEdit{{Job: "c", Action: api.JobRename, From: "b", Fields: []api.FieldEdit{{Field: "image", Before: "go:1", After: "go:2"}}}}
	if !reflect.DeepEqual(p.edits, want) || p.counts != (api.JobChanges{Renamed: 1}) {
		t.Errorf("the plan is %+v, %+v, want %+v", p.edits, p.counts, want)
	}
	if len(p.writes) != 2 || p.writes[0].Link != "jobs/p~b" || !strings.Contains(string(p.writes[1].Body), `"formerly":["a","b"]`) {
		t.Errorf("it writes %+v, want that c takes the place of b and was a and b before", p.writes)
	}
}

func TestManyChangesAreSeveralWrites(t *testing.T) {
	var wanted []api.JobSpec
	for i := range 2*maxWrites + 1 {
		wanted = append(wanted, spec(fmt.Sprintf("job %d", i), "go:1"))
	}
	wanted[0].Script = []string{strings.Repeat("x", maxWriteBytes)}
	p, err := newJobPlan(api.Ref{Project: "p"}, nil, wanted)
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for _, b := range p.batches() {
		sizes = append(sizes, len(b))
	}
	if !slices.Equal(sizes, []int{1, maxWrites, maxWrites}) {
		t.Errorf("the writes have %d documents, want a large one and %d each", sizes, maxWrites)
	}
	if err := p.check(); kit.FaultOf(err) != kit.ErrTooLarge {
		t.Errorf("a job of 6 MiB: %v, want a refusal", err)
	}
	p.writes = p.writes[1:]
	if err := p.check(); err != nil {
		t.Errorf("jobs whose names have spaces: %v", err)
	}
}

func TestManyDeletionsMustBeConfirmed(t *testing.T) {
	for _, test := range []struct {
		deleted, of int
		want        bool
	}{{9, 10, false}, {10, 20, false}, {10, 19, true}, {400, 430, true}, {200, 430, false}} {
		p := jobPlan{counts: api.JobChanges{Deleted: test.deleted}}
		if got := p.confirm(test.of) != ""; got != test.want {
			t.Errorf("deleting %d of %d must be confirmed: %t, want %t", test.deleted, test.of, got, test.want)
		}
	}
}

func TestOneDeploymentIsCarriedOutAtATime(t *testing.T) {
	now := time.Unix(1, 0)
	g := api.Generation{Project: "p"}
	step := func(name string, data any) int {
		t.Helper()
		b, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		var ops []kit.Op
		g, ops = nextGeneration(g, kit.Event{Name: name, Data: b}, now)
		return len(ops)
	}
	done := func(asked int, specs kit.Digest) redeployed {
		return redeployed{Asked: asked, State: api.GenerationDeployed, Deployed: api.Deployed{Commit: "c", Specs: specs, Jobs: 1}}
	}
	if n := step("created", nil); n != 1 {
		t.Errorf("created: %d operations, want a deployment", n)
	}
	if n := step("deploy", nil); n != 0 {
		t.Errorf("asked for while one is carried out: %d operations, want none yet", n)
	}
	if n := step("redeploy.done", done(1, "one")); n != 1 || g.State != api.GenerationDeploying {
		t.Errorf("the first is done: %d operations, %s, want the second", n, g.State)
	}
	if n := step("redeploy.done", done(2, "one")); n != 0 || g.State != api.GenerationDeployed || g.Number != 1 {
		t.Errorf("the second is done: %d operations, %+v, want the first generation", n, g)
	}
	step("deploy", nil)
	step("redeploy.done", done(3, "two"))
	if g.Number != 2 || len(g.Earlier) != 1 || g.Earlier[0].Specs != "one" {
		t.Errorf("after other definitions: %+v, want a second generation that keeps the first", g)
	}
	if n := step("deploy", api.DeployJobsArgs{Commit: "c"}); n != 0 {
		t.Errorf("told of a commit that is deployed: %d operations, want none", n)
	}
	step("deploy", nil)
	step("redeploy.failed", map[string]string{"error": "no disk"})
	if g.State != api.GenerationFailed || g.Error != "no disk" || g.Number != 2 {
		t.Errorf("after a failure: %+v, want the reason, and what was there", g)
	}
}

// all returns the scripts of the jobs that there are, by id.
func (h *hub) all(ctx context.Context) string {
	h.t.Helper()
	var list []string
	for j, err := range api.Jobs.All(ctx, h.admin, "", "") {
		if err != nil {
			h.t.Fatal(err)
		}
		list = append(list, j.Link.ID()+" "+strings.Join(j.Spec.Script, ";"))
	}
	return strings.Join(list, ", ")
}

func (h *hub) deploy(ctx context.Context, a api.DeployJobsArgs) api.Generation {
	h.t.Helper()
	if _, err := api.Generations.Send(ctx, h.admin, "ledger", "deploy", a); err != nil {
		h.t.Fatal(err)
	}
	return h.generation(ctx, func(g api.Generation) bool { return g.State != api.GenerationDeploying })
}

func TestEveryDeploymentRepairsWhatWasChangedByHand(t *testing.T) {
	h := newHub(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	h.define("c1", "one", "gate", "image", "lint")
	h.move(ctx, "c1")
	first := h.generation(ctx, func(g api.Generation) bool { return g.State == api.GenerationDeployed })
	want := "ledger~gate one, ledger~image one, ledger~lint one"
	if got := h.all(ctx); got != want || first.Number != 1 || first.Jobs != 3 || first.Last.Created != 3 {
		t.Errorf("deployed %s, %+v, want three jobs", got, first)
	}
	if _, err := h.admin.Update(ctx, "jobs/ledger~gate", []byte(`{"spec":{"script":["by hand"]}}`), 0); err != nil {
		t.Fatal(err)
	}
	if err := h.admin.Delete(ctx, "jobs/ledger~image", 0); err != nil {
		t.Fatal(err)
	}
	before, err := h.admin.Read(ctx, "jobs/ledger~lint", kit.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	g := h.deploy(ctx, api.DeployJobsArgs{})
	if got := h.all(ctx); got != want || g.Number != 1 || g.Last.Repaired != 2 || g.Last.Unchanged != 1 {
		t.Errorf("after changes by hand: %s, %+v, want %s, two repaired", got, g, want)
	}
	if after, err := h.admin.Read(ctx, "jobs/ledger~lint", kit.ReadOptions{}); err != nil || after.Version != before.Version {
		t.Errorf("a job that nobody changed was written: version %d, %v, want %d", after.Version, err, before.Version)
	}
}

func TestAMassDeletionIsHeldAndAGenerationCanBeGoneBackTo(t *testing.T) {
	h := newHub(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("job-%02d", i))
	}
	h.define("c1", "one", names...)
	h.define("c2", "one", names[:9]...)
	other := api.Job{Project: "web", Folder: "jobs", Spec: spec("page", "go:1")}
	if _, err := api.Jobs.Create(ctx, h.admin, "web~page", other); err != nil {
		t.Fatal(err)
	}
	h.move(ctx, "c1")
	h.generation(ctx, func(g api.Generation) bool { return g.State == api.GenerationDeployed })
	h.move(ctx, "c2")
	held := h.generation(ctx, func(g api.Generation) bool { return g.State == api.GenerationHeld })
	if held.Held != "c2" || !strings.Contains(held.Error, "11 of 20 jobs would be deleted") || strings.Count(h.all(ctx), ",") != 20 {
		t.Errorf("a mass deletion: %+v and %s, want that it is held", held, h.all(ctx))
	}
	var p api.JobPlan
	status, body := h.call("users/admin", http.MethodGet, "/job/plan/ledger", "")
	if err := json.Unmarshal([]byte(body), &p); err != nil || status != http.StatusOK || p.Counts.Deleted != 11 || p.Confirm == "" || p.Commit != "c2" {
		t.Errorf("its plan: %d %s, %v", status, body, err)
	}
	if g := h.deploy(ctx, api.DeployJobsArgs{Confirm: "c1"}); g.State != api.GenerationHeld {
		t.Errorf("confirmed for another commit: %s, want held", g.State)
	}
	g := h.deploy(ctx, api.DeployJobsArgs{Confirm: "c2"})
	if g.State != api.GenerationDeployed || g.Number != 2 || strings.Count(h.all(ctx), "ledger~") != 9 {
		t.Errorf("confirmed: %+v and %s, want 9 jobs", g, h.all(ctx))
	}
	g = h.deploy(ctx, api.DeployJobsArgs{Back: 1})
	if g.Number != 3 || g.Commit != "c1" || g.Last.Created != 11 || strings.Count(h.all(ctx), "ledger~") != 20 {
		t.Errorf("gone back: %+v and %s, want 20 jobs", g, h.all(ctx))
	}
	if !strings.Contains(h.all(ctx), "web~page make") {
		t.Errorf("there are %s: the job of another project is gone", h.all(ctx))
	}
	if _, err := api.Generations.Send(ctx, h.admin, "ledger", "deploy", api.DeployJobsArgs{Back: 9}); kit.FaultOf(err) != kit.ErrInvalid {
		t.Errorf("going back to what there never was: %v, want a refusal", err)
	}
}

func TestADeploymentInSeveralWritesSaysSoUntilTheLast(t *testing.T) {
	h := newHub(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	// Together they are more than fits into a write.
	h.write("c1", "- job-template: {name: 'job-{n}', script: ["+strings.Repeat("x", 900<<10)+"]}\n- project: {name: p, n: [0, 1, 2, 3, 4, 5, 6, 7], jobs: ['job-{n}']}\n")
	said := make(chan api.Generation, 1)
	go func() {
		g, err := api.Generations.Await(ctx, h.admin, "ledger", func(g api.Generation) bool { return g.Writing > 0 || g.State != api.GenerationDeploying })
		if err != nil {
			t.Errorf("the generation: %v", err)
		}
		said <- g
	}()
	h.move(ctx, "c1")
	if g := <-said; g.State == api.GenerationDeploying && (g.Writing != 1 || g.Last.Created != 8) {
		t.Errorf("while it is written the generation is %+v, want the counts of request 1", g)
	}
	g := h.generation(ctx, func(g api.Generation) bool { return g.State != api.GenerationDeploying })
	if g.State != api.GenerationDeployed || g.Writing != 0 || g.Last.Created != 8 || strings.Count(h.all(ctx), "ledger~") != 8 {
		t.Errorf("%s %s: writing %d, %+v, want 8 jobs", g.State, g.Error, g.Writing, g.Last)
	}

	cut := g // as if it was cut off after the first write
	cut.State, cut.Specs, cut.Writing, cut.Last = api.GenerationDeploying, "", cut.Asked, api.JobChanges{Created: 8}
	if err := h.admin.Delete(ctx, "jobs/ledger~job-7", 0); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(cut)
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.definitions.redeploy(ctx, kit.Record{Meta: cut.Meta, Body: body}, kit.Op{})
	if r, _ := out.(redeployed); err != nil || r.Changes.Created != 8 || strings.Count(h.all(ctx), "ledger~") != 8 {
		t.Errorf("the rest of it: %+v, %v, want 8 jobs, all counted", out, err)
	}
}
