package web_test

import (
	"strings"
	"testing"

	"landfall.dev/api"
)

func TestLongLogsAreShownInParts(t *testing.T) {
	h := start(t)
	h.logs.add(longLog(5000), true)
	put(h, api.Builds, "b1", api.Build{Project: "ledger", Job: "test", State: api.BuildPassed})
	b := h.as("users/admin")

	p := b.open("/builds/b1")
	p.shows(t, "lines 3001 to 5000 of 5000", "line 3001", "line 5000")
	p.leads(t, "?from=1#log-1", "?from=1001#log-1")
	if strings.Contains(p.source, ">line 3000<") {
		t.Error("the last part has line 3000, wanted it to begin after it")
	}
	p = b.open("/builds/b1?from=2001")
	p.shows(t, "lines 2001 to 4000 of 5000")
	p.leads(t, "?from=1#log-1", "?from=4001#log-1")
	if p = b.open("/builds/b1?from=first"); p.status != 400 {
		t.Errorf("?from=first: got %d, wanted 400", p.status)
	}
}

func TestLogsOfRunningBuildsGoOnWhereThePageEnds(t *testing.T) {
	h := start(t)
	h.logs.add("one\ntwo\nthr", false)
	put(h, api.Builds, "b1", api.Build{Project: "ledger", Job: "test", State: api.BuildRunning, Attempt: 2})
	p := h.as("users/admin").open("/builds/b1")
	p.shows(t, "lines 1 to 2 of 2", "live")
	for _, want := range []string{`id="log-2"`, `data-log="/logs/b1?from=1.8"`} {
		if !strings.Contains(p.source, want) {
			t.Errorf("got %s, wanted %s", p.source, want)
		}
	}
}

func TestLogsHaveTheirColours(t *testing.T) {
	h := start(t)
	h.logs.add("10%\r50%\rdone\n\x1b[1;31mred\x1b[0m plain\n\n"+strings.Repeat("x", 20_000), true)
	put(h, api.Builds, "b1", api.Build{Project: "ledger", Job: "test", State: api.BuildFailed})
	p := h.as("users/admin").open("/builds/b1")
	p.shows(t, "lines 1 to 4 of 4", "done", "red plain")
	p.shows(t, "… 11.8 kB more")
	p.hides(t, "50%", strings.Repeat("x", 9_000))
	if want := `<span class="term-fg31 term-fg1">red</span> plain`; !strings.Contains(p.source, want) {
		t.Errorf("got %.3000s, wanted %s", p.source, want)
	}
}

func TestLogsAreSearched(t *testing.T) {
	h := start(t)
	h.logs.add(longLog(5000)+"--- a <title>\n\x1b[31mwrong\x1b[0m: x\n", true)
	put(h, api.Builds, "b1", api.Build{Project: "ledger", Job: "test", State: api.BuildFailed, LogMissing: 3, Name: "1.2.3", Description: "of the release"})
	b := h.as("users/admin")
	p := b.open("/builds/b1?search=^wrong:.x$")
	p.shows(t, "--- a <title> wrong: x", "The log is incomplete: 3 lines are missing.", "1.2.3", "of the release")
	p.leads(t, "?line=5002#L5002")
	p = b.open("/builds/b1?search=line")
	p.shows(t, "Search on from line 101")
	p.leads(t, "?search=line&after=101#found")
	b.open("/builds/b1?search=nothing").shows(t, "Nothing matches.")
	if p = b.open("/builds/b1?search=("); p.status != 400 {
		t.Errorf("a wrong pattern: got %d, wanted 400", p.status)
	}
	p = b.open("/builds/b1?outline=1")
	p.leads(t, "?line=5001#L5001")
	p.shows(t, "a <title>")
	b.open("/builds").shows(t, "1.2.3", "of the release")
}

func TestSectionsOfLogsFold(t *testing.T) {
	h := start(t)
	h.logs.add("--- step 1: a\n"+longLog(100)+"--- step 2: b\nwrong\n--- step 2 exited with 3\n", true)
	put(h, api.Builds, "b1", api.Build{Project: "ledger", Job: "test", State: api.BuildFailed})
	b := h.as("users/admin")
	shape := func(path string) (folded, open int) {
		p := b.open(path)
		return strings.Count(p.source, "<details><summary id="), strings.Count(p.source, "<details open><summary id=")
	}
	for path, want := range map[string][2]int{
		"/builds/b1": {1, 1}, "/builds/b1?line=50": {0, 2}, "/builds/b1?from=1&unfold=1": {0, 2}, "/builds/b1?from=102": {0, 1},
	} {
		if folded, open := shape(path); folded != want[0] || open != want[1] {
			t.Errorf("%s: %d sections are folded and %d open, want %v", path, folded, open, want)
		}
	}
	b.open("/builds/b1").leads(t, "?unfold=1#log-1")
	b.open("/builds/b1?from=1").leads(t, "?from=1&unfold=1#log-1")
	if p := b.open("/builds/b1?line=0"); p.status != 400 {
		t.Errorf("?line=0: got %d, want 400", p.status)
	}
}
