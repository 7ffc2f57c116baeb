package web_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"landfall.dev/api"
)

// testJob puts a job that a template and a macro make.
func testJob(h *hub) {
	id := api.JobID("ledger", "test/a")
	put(h, api.Jobs, id, api.Job{
		Project: "ledger", Commit: commit1, Formerly: []string{"check"}, Spec: api.JobSpec{
			Name: "test/a", Description: "Tests <a>", Image: "go:1", Parameters: []api.Parameter{{Name: "LEVEL", Default: "2", Description: "How much"}},
		},
	})
	put(h, api.Generations, "ledger", api.Generation{
		Project: "ledger", State: api.GenerationDeployed, Deployed: api.Deployed{Number: 3, Commit: commit2, Jobs: 2, By: "users/ada", At: began},
		Earlier: []api.Deployed{{Number: 2, Commit: commit1, Jobs: 1, By: "users/bob", At: began}},
	})
	put(h, api.Schedules, id, api.Schedule{Project: "ledger", Job: "test/a", State: api.ScheduleActive, Spec: api.ScheduleSpec{Timed: []string{"H 3 * * *"}}, Next: began.Add(time.Hour)})
	put(h, api.Builds, "b7", api.Build{Project: "ledger", Job: "check", State: api.BuildFailed, Commit: commit1})
	text, err := json.Marshal(api.JobExplanation{
		Job: "test/a", Origin: []string{"jobs/ledger.yml:12", "jobs/templates.yml:3"},
		Parts: []api.JobPart{
			{Name: "description", At: "jobs/templates.yml:5:18", Text: "Tests <a>"},
			{Name: "builders shell", At: "jobs/macros.yml:8:9", Line: 9, Text: "set -e\nmake test", Via: []string{`in builder "tests" (jobs/macros.yml:6:5), called at jobs/templates.yml:7:9`}},
		},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.files["/job/explain/ledger/"+commit2+"?job=test%2Fa"] = string(text)
	h.files["/source/ledger/file/"+commit2+"/jobs/macros.yml"] = "# macros\n- builder: <b>\n"
}

func TestAJobShowsWhereEachLineComesFrom(t *testing.T) {
	h := start(t)
	ledgerHub(h)
	testJob(h)
	b := h.as("users/admin")
	p := b.open("/projects/ledger/jobs/test/a")
	p.shows(t, "test/a ledger · Tests <a> · was called check", "LEVEL 2 How much", "H 3 * * *", "active", "3 b2b2b2b2b2b2 ada 2", "2 a1a1a1a1a1a1 bob 1",
		"failed b7 check", "Made by jobs/ledger.yml:12 → jobs/templates.yml:3", `in builder "tests" ( jobs/macros.yml:6:5 ), called at jobs/templates.yml:7:9 9 set -e 10 make test`)
	files := "/projects/ledger/files/" + commit2
	p.leads(t, files+"/jobs/ledger.yml#L12", files+"/jobs/macros.yml#L6", files+"/jobs/macros.yml#L10", "/builds/b7", "/projects/ledger")

	file := b.open(files + "/jobs/macros.yml")
	file.shows(t, "jobs/macros.yml", "1 # macros 2 - builder: <b>")
	file.leads(t, "#L2", "/source/ledger/file/"+commit2+"/jobs/macros.yml")

	b.open("/jobs/"+api.JobID("ledger", "test/a")).shows(t, "Made by jobs/ledger.yml:12")
	b.open("/projects/ledger").leads(t, "/projects/ledger/jobs/test/a")
	if none := b.open("/projects/ledger/jobs/nothing"); none.status != http.StatusNotFound {
		t.Errorf("a job that is not: %d, want 404", none.status)
	}
	b.open("/projects/ledger/jobs/ledger-image").shows(t, "Where it comes from is not shown: there is no /job/explain/ledger/"+commit2)
}

func TestAChangeShowsWhatItMakesOfTheJobs(t *testing.T) {
	h := start(t)
	ledgerHub(h)
	put(h, api.Proposals, "1-2", api.Proposal{
		Project: "ledger", Change: "changes/1", PatchSet: 2, State: api.ProposalWrong, Counts: api.JobChanges{Updated: 200, Unchanged: 3},
		Confirm: "11 of 20 jobs would be deleted", Problems: []api.Problem{{File: "jobs/a.yml", Line: 7, Text: "unknown <kind>"}},
		Groups: []api.JobGroup{{Action: api.JobUpdate, Title: "image: gradle:8 -> gradle:9", Jobs: []string{"a", "b", "c"}, Count: 200}, {Action: api.JobUpdate, Title: "script", Lines: []string{"- make", "+ make all"}, Jobs: []string{"a"}, Count: 1}},
		Notes:  []string{"only shell steps were checked"},
	})
	put(h, api.Builds, "b9", api.Build{Project: "ledger", Job: "a", State: api.BuildRunning, Change: "changes/1", PatchSet: 2, Author: "users/ada"})
	b := h.as("users/admin")
	p := b.open("/changes/1")
	p.shows(t, "Jobs wrong 0 created, 200 updated, 0 deleted, 3 unchanged", "11 of 20 jobs would be deleted", "jobs/a.yml:7 unknown <kind>",
		"~ update image: gradle:8 -> gradle:9 in 200 jobs: a, b, c, ...", "- make + make all", "only shell steps were checked.", "Tried jobs running b9 a ada")
	p.leads(t, "/projects/ledger/files/"+commit2+"/jobs/a.yml#L7", "/builds/b9")
}
