package pipeline

import (
	"strings"
	"testing"

	"landfall.dev/api"
)

func TestAPatchSetThatBreaksThePipelineFailsAndOneThatMendsItPasses(t *testing.T) {
	h := newHub(t)
	const good, broken = "def main(ctx): return [build(job = \"unit\")]\n", "def main(ctx:\n    return []\n"
	h.write("ledger/c0ffee1", "pipeline.star", good)
	const untested = "def main(ctx): return [] if ctx.event.type == \"patchset-created\" else [build(job = \"unit\")]\n"
	patch := func(id, commit, pipeline string) api.Run {
		h.write("ledger/"+commit, "pipeline.star", pipeline)
		create(h, api.Changes, id, api.Change{Project: "ledger", Branch: "main", Status: api.ChangeOpen, PatchSets: []api.PatchSet{{Number: 1, Commit: commit}}})
		return await(h, api.Runs, "change-"+id+"-1", "planned", func(r api.Run) bool { return r.State != "" && r.State != api.RunPlanning })
	}
	r := patch("7", "c0ffee7", broken)
	if want := "with the definitions of this patch set the event patchset-created has no plan: pipeline.star:1:14: got ':'"; r.State != api.RunFailed || !strings.Contains(r.Error, want) {
		t.Errorf("the run of what breaks the pipeline is %s, %q, want %q", r.State, r.Error, want)
	}
	r = patch("8", "c0ffee8", "def main(ctx):\n    return [build(job = \"unit\" if ctx.event.type != \"merged\" else \"unti\")]\n")
	if want := "with the definitions of this patch set the event merged has no plan: pipeline.star:2:"; r.State != api.RunFailed || !strings.Contains(r.Error, want) {
		t.Errorf("the run of what breaks the pipeline of what lands is %s, %q, want %q", r.State, r.Error, want)
	}
	r = patch("12", "c0ffeec", untested)
	if want := "with the definitions of this patch set the event patchset-created has no plan: pipeline.star has no build for a patch set"; r.State != api.RunFailed || !strings.Contains(r.Error, want) {
		t.Errorf("the run of what would test no patch set is %s, %q, want %q", r.State, r.Error, want)
	}
	if r = patch("9", "c0ffee9", good+"# more\n"); r.State != api.RunRunning {
		t.Errorf("the run of another pipeline is %s, %q, want that of the branch", r.State, r.Error)
	}

	h.write("ledger/c0ffee1", "pipeline.star", broken)
	h.write("ledger/c0ffeea", "README", "no pipeline is touched")
	create(h, api.Changes, "10", api.Change{Project: "ledger", Branch: "main", Status: api.ChangeOpen, PatchSets: []api.PatchSet{{Number: 1, Commit: "c0ffeea"}}})
	if r = await(h, api.Runs, "change-10-1", "at its end", func(r api.Run) bool { return r.State.Final() }); r.State != api.RunFailed {
		t.Errorf("with a broken pipeline the run is %s", r.State)
	}
	patch("11", "c0ffeeb", good)
	r = await(h, api.Runs, "change-11-1", "at its end", func(r api.Run) bool { return r.State.Final() })
	if want := "nothing is built: this patch set mends the pipeline, which has no plan: pipeline.star:1:14"; r.State != api.RunPassed || !strings.Contains(r.Log, want) {
		t.Errorf("the run of what mends the pipeline is %s, %q, with the log %q, want it passed, with %q", r.State, r.Error, r.Log, want)
	}

	h.write("ledger/c0ffeed", "main.go", "package main")
	r = patch("13", "c0ffeed", good)
	if want := "pipeline.star:1:14: got ':', want ')'; to mend it, change nothing but pipeline.star and what is in ci and jobs"; r.State != api.RunFailed || !strings.Contains(r.Error, want) {
		t.Errorf("the run of what mends the pipeline and changes more is %s, %q, want %q", r.State, r.Error, want)
	}
}

func TestAPatchSetThatTakesAJobFromThePipelineFailsAndOneThatBringsItBackPasses(t *testing.T) {
	h := newHub(t)
	h.write("ledger/c0ffee1", "pipeline.star", "def main(ctx): return [build(job = \"unit\")]\n")
	patch := func(id, commit, jobs string) api.Run {
		h.write("ledger/"+commit, "jobs/jobs.yml", jobs)
		h.write("ledger/"+commit, "pipeline.star", h.files["ledger/c0ffee1"]["pipeline.star"])
		create(h, api.Changes, id, api.Change{Project: "ledger", Branch: "main", Status: api.ChangeOpen, PatchSets: []api.PatchSet{{Number: 1, Commit: commit}}})
		return await(h, api.Runs, "change-"+id+"-1", "planned", func(r api.Run) bool { return r.State != "" && r.State != api.RunPlanning })
	}
	r := patch("7", "c0ffee7", "image")
	if want := "has no plan: pipeline.star:1:29: build: the project has no job \"unit\""; r.State != api.RunFailed || !strings.Contains(r.Error, want) {
		t.Errorf("the run of what takes the job away is %s, %q, want %q", r.State, r.Error, want)
	}
	h.write("ledger/c0ffee1", "jobs/jobs.yml", "image")
	if r = patch("8", "c0ffee8", "image unit"); r.State != api.RunPassed {
		t.Errorf("the run of what brings the job back is %s, %q, want it passed", r.State, r.Error)
	}
}

// What a pipeline refuses by itself it is not broken by, whoever brings another
// along.
func TestNobodyPassesAPipelineThatRefusesByBringingAnotherAlong(t *testing.T) {
	for name, refuses := range map[string]string{
		"the author":       "if ctx.event.author != \"users/rita\": fail(\"ask rita\")",
		"the files":        "if ctx.changed(\"pipeline.star\"): {}[\"ask rita\"]",
		"a file by a fail": "if ctx.changed(\"pipeline.star\"): fail(\"ask rita\")",
	} {
		h := newHub(t)
		h.write("ledger/c0ffee1", "pipeline.star", "def main(ctx):\n    "+refuses+"\n    return [build(job = \"unit\")]\n")
		h.write("ledger/c0ffee7", "pipeline.star", "def main(ctx): return [build(job = \"unit\")]\n")
		create(h, api.Changes, "7", api.Change{Owner: "users/mal", Project: "ledger", Branch: "main", Status: api.ChangeOpen, PatchSets: []api.PatchSet{{Number: 1, Commit: "c0ffee7"}}})
		r := await(h, api.Runs, "change-7-1", "at its end", func(r api.Run) bool { return r.State.Final() })
		if r.State != api.RunFailed || !strings.Contains(r.Error, "ask rita") {
			t.Errorf("refused for %s, and bringing another along, the run is %s, %q, want what the branch's pipeline says", name, r.State, r.Error)
		}
	}
}
