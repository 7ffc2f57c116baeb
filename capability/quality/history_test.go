package quality

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// run is a build of a commit, and what some of its tests came to: "a:F b:P".
func run(n int, commit, outcomes string) tested {
	x := tested{Build: api.TestedBuild{Build: kit.Link(fmt.Sprintf("builds/%d", n)), Commit: commit}, Outcomes: map[string]string{}, Release: 2}
	for _, o := range strings.Fields(outcomes) {
		name, outcome, _ := strings.Cut(o, ":")
		x.Outcomes[name] = outcome
	}
	return x
}

func TestTheHistoryOfTests(t *testing.T) {
	before := run(2, "c1", "a:F")
	before.Before = map[kit.Link][]string{"builds/1": {"a"}}
	for _, test := range []struct {
		name string
		runs []tested
		want string // name outcomes commit
	}{
		{"nothing failed", []tested{run(1, "c1", ""), run(2, "c2", "")}, ""},
		{"failed, and mended by a commit", []tested{run(1, "c1", "a:F"), run(2, "c2", "a:P")}, "a FP "},
		{"failed twice on one commit", []tested{run(1, "c1", "a:F"), run(2, "c1", "a:F")}, "a FF "},
		{"failed, then passed on one commit", []tested{run(1, "c1", "a:F"), run(2, "c1", "a:P")}, "a FP c1"},
		{"passed, then failed on one commit", []tested{run(1, "c1", ""), before}, "a PF c1"},
		{"not run the second time", []tested{run(1, "c1", "a:F"), run(2, "c1", "")}, "a F- "},
		{"skipped the second time", []tested{run(1, "c1", "a:F"), run(2, "c1", "a:S")}, "a FS "},
		{"flaky, then released", []tested{run(1, "c1", "a:F"), run(2, "c1", "a:P"), run(3, "c2", "a:S"), run(4, "c3", "a:P")}, "a FPSP "},
		{"flaky, and failed again", []tested{run(1, "c1", "a:F"), run(2, "c1", "a:P"), run(3, "c2", "a:F"), run(4, "c3", "a:P")}, "a FPFP c1"},
		{"told twice", []tested{run(1, "c1", "a:F"), run(1, "c1", "a:F")}, "a F "},
		{"the last to fail is the first", []tested{run(1, "c1", "a:F b:F"), run(2, "c2", "a:P b:F"), run(3, "c3", "a:P b:P c:F")}, "c --F , b FFP , a FPP "},
	} {
		var h api.TestHistory
		for _, x := range test.runs {
			h = after(h, x)
		}
		var got []string
		for _, r := range h.Tests {
			got = append(got, r.Name+" "+r.Outcomes+" "+r.Flaky)
		}
		if strings.Join(got, ", ") != test.want {
			t.Errorf("%s: the history has %q, want %q", test.name, got, test.want)
		}
	}
}

func TestAHistoryIsBounded(t *testing.T) {
	var h api.TestHistory
	for n := range 2 * maxBuilds {
		x := run(n, fmt.Sprint("c", n), "")
		for i := range maxFresh {
			if n < 5 {
				x.Outcomes[fmt.Sprintf("t%d-%d", n, i)] = "F"
			}
		}
		h = after(h, x)
		if len(h.Builds) > maxBuilds || len(h.Tests) > maxTests {
			t.Fatalf("the history has %d builds and %d tests", len(h.Builds), len(h.Tests))
		}
		for _, r := range h.Tests {
			if len(r.Outcomes) != len(h.Builds) {
				t.Fatalf("a test has %d outcomes in %d builds", len(r.Outcomes), len(h.Builds))
			}
		}
		if n == 5 && (len(h.Tests) != maxTests || !strings.HasPrefix(h.Tests[0].Name, "t4-")) {
			t.Errorf("the history has %d tests, the first is %s, want those that failed last", len(h.Tests), h.Tests[0].Name)
		}
	}
	if len(h.Tests) > 0 || h.Builds[0].Build != kit.Link(fmt.Sprintf("builds/%d", maxBuilds)) {
		t.Errorf("the history begins with %s and has %d tests, want what is old forgotten", h.Builds[0].Build, len(h.Tests))
	}
}

func TestAnOutcomeIsMadeToFit(t *testing.T) {
	x := run(1, "c", "")
	var failures []api.TestFailure
	for i := range 1000 {
		name := strings.Repeat("<", 200) + fmt.Sprint(i)
		x.Outcomes[name] = "F"
		failures = append(failures, api.TestFailure{Name: name})
	}
	o, err := fit(outcome{Tested: &x, verdict: verdict{Tests: &api.TestsReport{Failed: 1000, Failures: failures}}})
	if err != nil || len(o.Tests.Failures) == 0 || len(o.Tests.Failures) > 250 || len(o.Tested.Outcomes) == 0 || o.Tests.Failed != 1000 {
		t.Errorf("it has %d failures and %d outcomes, %v, want some of them", len(o.Tests.Failures), len(o.Tested.Outcomes), err)
	}
	if small, err := fit(outcome{Tested: &tested{Outcomes: map[string]string{"a": "F"}}}); err != nil || !slices.Equal([]string{small.Tested.Outcomes["a"]}, []string{"F"}) {
		t.Errorf("what is small is %+v, %v, want it left alone", small.Tested, err)
	}
}
