package quality

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// The limits of a history.
const (
	maxBuilds = 50
	maxTests  = 300
	maxFresh  = 100 // that one build adds
)

// tested is the event "tested" of a TestHistory: a build has run its tests.
type tested struct {
	Build api.TestedBuild `json:"build"`
	// Outcomes are those of the tests that failed, and of those that the history
	// has: P, F, S.
	Outcomes map[string]string `json:"outcomes,omitempty"`
	// Before are tests that failed now and had passed in earlier builds of the
	// same commit.
	Before map[kit.Link][]string `json:"before,omitempty"`
	// Release is how many passes in a row end the suspicion of a test.
	Release int            `json:"release"`
	Slowest []api.TestTime `json:"slowest,omitempty"`
}

// nextTests returns h after e.
func nextTests(h api.TestHistory, e kit.Event, _ time.Time) (api.TestHistory, []kit.Op) {
	if e.Name != "tested" {
		return h, nil
	}
	var x tested
	if err := e.Into(&x); err != nil {
		return h, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	return after(h, x), nil
}

// after returns h with one more build. One that it has already changes
// nothing.
func after(h api.TestHistory, x tested) api.TestHistory {
	if slices.ContainsFunc(h.Builds, func(b api.TestedBuild) bool { return b.Build == x.Build.Build }) {
		return h
	}
	h.Tests = slices.Clone(h.Tests)
	known := map[string]bool{}
	for i := range h.Tests {
		t := &h.Tests[i]
		known[t.Name] = true
		t.Outcomes += cmp.Or(x.Outcomes[t.Name], "-")
	}
	for _, name := range slices.Sorted(maps.Keys(x.Outcomes)) {
		if x.Outcomes[name] == "F" && !known[name] {
			h.Tests = append(h.Tests, api.TestRecord{Name: name, Outcomes: before(h, x, name) + "F"})
		}
	}
	h.Builds = append(slices.Clone(h.Builds), x.Build)
	for i := range h.Tests {
		suspect(&h.Tests[i], h.Builds, x.Release)
	}
	h.Slowest = x.Slowest
	return bounded(h)
}

// before returns what is known of a test in the builds until now.
func before(h api.TestHistory, x tested, name string) string {
	var outcomes strings.Builder
	for _, b := range h.Builds {
		if slices.Contains(x.Before[b.Build], name) {
			outcomes.WriteByte('P')
		} else {
			outcomes.WriteByte('-')
		}
	}
	return outcomes.String()
}

// suspect finds out whether t is flaky, from its last outcome.
func suspect(t *api.TestRecord, builds []api.TestedBuild, release int) {
	last := len(builds) - 1
	for i, b := range builds[:last] {
		pair := string(t.Outcomes[i]) + string(t.Outcomes[last])
		if b.Commit == builds[last].Commit && (pair == "PF" || pair == "FP") {
			t.Flaky = b.Commit
		}
	}
	passes := t.Outcomes[strings.LastIndexByte(t.Outcomes, 'F')+1:]
	if strings.Count(passes, "P") >= max(release, 1) {
		t.Flaky = ""
	}
}

// bounded returns h without what is too old, or too much.
func bounded(h api.TestHistory) api.TestHistory {
	old := max(0, len(h.Builds)-maxBuilds)
	h.Builds = h.Builds[old:]
	for i := range h.Tests {
		h.Tests[i].Outcomes = h.Tests[i].Outcomes[old:]
	}
	h.Tests = slices.DeleteFunc(h.Tests, func(t api.TestRecord) bool { return !strings.Contains(t.Outcomes, "F") })
	failed := func(t api.TestRecord) int { return strings.LastIndexByte(t.Outcomes, 'F') }
	slices.SortStableFunc(h.Tests, func(a, b api.TestRecord) int {
		return cmp.Or(cmp.Compare(failed(b), failed(a)), cmp.Compare(a.Name, b.Name))
	})
	h.Tests = h.Tests[:min(len(h.Tests), maxTests)]
	return h
}

// flaky returns the tests of h that are under suspicion, with the commit that
// tells of it.
func flaky(h api.TestHistory) map[string]string {
	names := map[string]string{}
	for _, t := range h.Tests {
		if t.Flaky != "" {
			names[t.Name] = t.Flaky
		}
	}
	return names
}
