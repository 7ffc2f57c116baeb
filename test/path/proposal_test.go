package path_test

import (
	"slices"
	"strings"
	"testing"

	"landfall.dev/api"
)

// judged waits for the verdict on the definitions of a patch set.
func (h *hub) judged(change string, patchSet, value int) api.Change {
	h.t.Helper()
	return await(h, api.Changes, change, func(c api.Change) bool {
		return len(c.PatchSets) >= patchSet && slices.ContainsFunc(c.PatchSets[patchSet-1].Votes, func(v api.Vote) bool {
			return v.Label == api.LabelJobs && v.Value == value
		})
	})
}

func TestAChangeOfDefinitionsShowsItsPlanAndWrongOnesCannotLand(t *testing.T) {
	h := newHub(t, passes)
	await(h, api.Generations, "ledger", func(g api.Generation) bool { return g.State == api.GenerationDeployed })
	c := h.clone()
	is := definitions("ledger")["jobs/jobs.yml"]
	broken := strings.Replace(is, "script: [make check]", "script:\n      - |\n        for f in *; do\n          make $f", 1)
	c.push("jobs/jobs.yml", broken, "-m", "Check file by file")

	change := h.judged("1", 1, -1)
	const line = 10 // the last of the script
	inline := func(m api.Message) bool {
		return m.File == "jobs/jobs.yml" && m.Line == line && m.PatchSet == 1 && strings.Contains(m.Text, "shell step of ledger-check, its line 2: syntax error")
	}
	if !slices.ContainsFunc(change.Messages, inline) {
		t.Errorf("the change says %+v, want what is wrong at line %d", change.Messages, line)
	}
	h.verified("1", 1, 1)
	h.vote("bob", "1", 1, 2)
	if err := h.submit("1", 1); err == nil || !strings.Contains(err.Error(), "Jobs -1 by proposals/1-1 stands against it: jobs/jobs.yml:10:") {
		t.Errorf("submit: %v, want it refused for the mistake", err)
	}

	c.push("jobs/jobs.yml", strings.ReplaceAll(is, "make", "make -s"), "--amend", "--no-edit")
	change = h.judged("1", 2, 1)
	plan := func(m api.Message) bool {
		return m.Link == "proposals/1-2" && strings.Contains(m.Text, "~ update  script: make check -> make -s check in ledger-check\n") &&
			strings.HasSuffix(m.Text, "\n0 created, 3 updated, 0 deleted, 0 unchanged")
	}
	if !slices.ContainsFunc(change.Messages, plan) {
		t.Errorf("the change says %+v, want the plan", change.Messages)
	}
	h.verified("1", 2, 1)
	h.vote("bob", "1", 2, 2)
	if err := h.submit("1", 2); err != nil {
		t.Fatalf("submit: %v", err)
	}
	merged := await(h, api.Changes, "1", merged).Merged
	g := await(h, api.Generations, "ledger", func(g api.Generation) bool { return g.State == api.GenerationDeployed && g.Commit == merged })
	if g.Number != 2 || g.Last.Updated != 3 {
		t.Errorf("the generation is %+v, want the second, with three jobs updated", g)
	}
}
