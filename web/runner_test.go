package web_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
)

func TestRunnersSayHowTheirEnginesAre(t *testing.T) {
	h := start(t)
	now := time.Now().UTC()
	put(h, api.Runners, "r1", api.Runner{Reported: now, RunnerReport: api.RunnerReport{DiskFree: 7_500_000_000, Engines: []api.RunnerEngine{
		{Name: "near", Type: "docker", Labels: []string{"big"}, Slots: 4, Used: 1, Health: api.EngineAnswers},
		{Name: "far", Type: "docker", Slots: 2, Health: api.EngineLost, Since: now.Add(-3 * time.Minute), Error: "no route to <host>"},
	}}})
	put(h, api.Runners, "r2", api.Runner{Reported: now.Add(-time.Hour)})
	put(h, api.Builds, "b1", api.Build{Project: "ledger", Job: "check", State: api.BuildRunning, Attempt: 1, Runner: "r1", Engine: "near"})
	put(h, api.Builds, "b2", api.Build{Project: "ledger", Job: "image", State: api.BuildPassed, Attempt: 1, Runner: "r1", Engine: "far"})
	h.queue = []api.QueuePlace{{Build: "builds/b3", Project: "ledger", Job: "slow", Class: api.ClassHand, Position: 1, Since: now, Labels: []string{"gpu"}, Why: "for a free engine with gpu"}}
	b := h.as("users/admin")
	p := b.open("/runners")
	p.shows(t, "r1 reports last heard of", "7.5 GB of disk free", "answers near docker big 1 of 4 check b1",
		"lost far docker 0 of 2 does not answer since 3 min ago : no route to <host>", "r2 silent last heard of 1 h ago", "1 b3 ledger slow hand gpu for a free engine with gpu")
	p.leads(t, "/runners/r1", "/builds/b1", "/builds/b3", "/projects/ledger/jobs/slow")
	p = b.open("/runners/r1")
	p.shows(t, "Runner r1", "answers near docker big 1 of 4 check b1", "passed b2 ledger image")
	p.leads(t, "/builds?runner=r1")
	h.Allow("users/guest", look("jobs"))
	h.as("users/guest").open("/runners").shows(t, "No runner has reported yet.", "No build waits")
}

func TestListsOfManyAreNarrowedAndGoOn(t *testing.T) {
	h := start(t)
	for n := range 60 {
		name := fmt.Sprintf("Check-%03d", n)
		put(h, api.Jobs, api.JobID("ledger", name), api.Job{Project: "ledger", Spec: api.JobSpec{Name: name}})
	}
	put(h, api.Jobs, api.JobID("shop", "other"), api.Job{Project: "shop", Spec: api.JobSpec{Name: "other"}})
	put(h, api.Builds, "old", api.Build{Project: "ledger", Job: "Check-007", State: api.BuildPassed, Runner: "r1"})
	put(h, api.Builds, "new", api.Build{Project: "ledger", Job: "Check-007", State: api.BuildFailed, Runner: "r1"})
	put(h, api.Builds, "b3", api.Build{Project: "shop", Job: "other", State: api.BuildFailed, Runner: "r2"})
	b := h.as("users/admin")
	p := b.open("/jobs")
	p.shows(t, "failed Check-007 ledger", "Check-049", "Next page")
	p.hides(t, "Check-050")
	p.leads(t, "/builds/new", "/projects/ledger/jobs/Check-049")
	p = b.open("/jobs?name=check-05&project=ledger")
	p.shows(t, "Check-050", "Check-059")
	p.hides(t, "Check-049", "Next page")
	b.open("/jobs?name=.").shows(t, "There is no such job.")
	for query, want := range map[string][]string{"state=failed": {"/builds/new", "/builds/b3"}, "runner=r1&state=passed": {"/builds/old"}, "name=OTH": {"/builds/b3"}, "project=shop": {"/builds/b3"}} {
		p := b.open("/builds?" + query)
		p.leads(t, want...)
		if n := countOf(p.links, "/builds/"); n != len(want) {
			t.Errorf("/builds?%s has %d builds, want %d", query, n, len(want))
		}
	}
	for _, query := range []string{"runner=a/b", "project=*"} {
		if p := b.open("/builds?" + query); p.status != 400 {
			t.Errorf("/builds?%s: got %d, want 400", query, p.status)
		}
	}
}

// countOf returns how many of the links lead below path.
func countOf(links []string, path string) int {
	n := 0
	for _, l := range links {
		if strings.HasPrefix(l, path) {
			n++
		}
	}
	return n
}
