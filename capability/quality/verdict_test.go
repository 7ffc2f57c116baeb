package quality

import (
	"fmt"
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/capability/quality/coverage"
	"landfall.dev/capability/quality/junit"
	"landfall.dev/capability/quality/patch"
)

// adding is a patch that adds the lines 1 to n of a.go.
func adding(t *testing.T, n int) *patch.Patch {
	t.Helper()
	diff := fmt.Sprintf("diff --git a/a.go b/a.go\nnew file mode 100644\n--- /dev/null\n+++ b/a.go\n@@ -0,0 +1,%d @@\n%s", n, strings.Repeat("+x\n", n))
	p, err := patch.Parse([]byte(diff))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// covering is a profile of the lines 1 to n of a.go, of which the first hit are
// covered, and of another file.
func covering(n, hit int) []coverage.Profile {
	lines := coverage.Lines{}
	for i := 1; i <= n; i++ {
		lines[i] = 0
		if i <= hit {
			lines[i] = 1
		}
	}
	return []coverage.Profile{{"example.com/m/a.go": lines, "example.com/m/b.go": {1: 0}}}
}

func results(t *testing.T, cases string) *junit.Results {
	t.Helper()
	var r junit.Results
	if err := r.Read("r", []byte("<testsuite>"+cases+"</testsuite>")); err != nil {
		t.Fatal(err)
	}
	return &r
}

func TestVerdicts(t *testing.T) {
	const a, b, skipped = "<testcase name='a'/>", "<testcase name='b'><failure message='no'/></testcase>", "<testcase name='s'><skipped/></testcase>"
	finding := func(level, file string, line int) api.Finding {
		return api.Finding{Level: level, File: file, Line: line, Message: "bad"}
	}
	strict := api.DefaultGate
	strict.Level, strict.NewIssues = "error", 1
	lax := api.DefaultGate
	lax.NewCoverage, lax.Quarantine = 0, 0
	cut := adding(t, 100)
	cut.Cut = true
	for _, test := range []struct {
		name string
		e    evidence
		want string // name state text
	}{
		{"a report that is none", evidence{rules: lax, problems: []string{"a:1: no"}}, "reports failed a:1: no"},
		{"many of them", evidence{rules: lax, problems: strings.Split("a b c d e f g", " ")}, "reports failed a; b; c; d; e and 2 more"},
		{"tests that passed", evidence{rules: lax, tests: results(t, a+skipped)}, "tests passed 1 test passed; 1 skipped"},
		{"a test that failed", evidence{rules: lax, tests: results(t, a+b)}, "tests failed 1 of 2 tests failed: b"},
		{"a flaky one", evidence{rules: api.DefaultGate, tests: results(t, a+b), flaky: map[string]string{"b": "0123456789abcdef"}},
			"tests passed 1 test passed; 1 flaky test in quarantine, until it has passed 5 times in a row, failed and does not count: b (passed and failed on 0123456789ab)"},
		{"a flaky one where these count", evidence{rules: lax, tests: results(t, a+b), flaky: map[string]string{"b": "c"}}, "tests failed 1 of 2 tests failed: b"},
		{"no test", evidence{rules: lax, tests: results(t, "")}, "tests unjudged no test ran"},
		{"enough coverage", evidence{rules: api.DefaultGate, patch: adding(t, 30), profiles: covering(20, 16)}, "coverage passed 16 of 20 new lines covered (80 %)"},
		{"too little", evidence{rules: api.DefaultGate, patch: adding(t, 30), profiles: covering(20, 15)}, "coverage failed 15 of 20 new lines covered (75 %): at least 80 % must be"},
		{"under the minimum", evidence{rules: api.DefaultGate, patch: adding(t, 4), profiles: covering(20, 3)}, "coverage unjudged 3 of 4 new lines covered: under the 20-line minimum, not judged"},
		{"coverage that nobody asks for", evidence{rules: lax, patch: adding(t, 30), profiles: covering(20, 3)}, "coverage unjudged 3 of 20 new lines covered: the gate asks for none"},
		{"nothing to cover", evidence{rules: lax, patch: adding(t, 30), profiles: []coverage.Profile{{"b.go": {1: 1}}}}, "coverage unjudged the patch adds no line that can be covered"},
		{"coverage of no patch", evidence{rules: api.DefaultGate, profiles: covering(30, 3)}, "coverage unjudged it is not known which lines are new"},
		{"a difference that is cut", evidence{rules: api.DefaultGate, patch: cut, profiles: covering(20, 20)},
			"coverage passed 20 of 20 new lines covered (100 %); the difference is too large to be judged as a whole: its last files are left out"},
		{"copies", evidence{rules: api.DefaultGate, patch: adding(t, 100), copies: &api.DuplicationReport{NewLines: 100, Duplicated: 4, List: []api.MissedLines{{File: "a.go", Lines: "3-6"}}}},
			"duplication failed 4 of 100 new lines in blocks that are there twice (4 %): at most 3 % may be: a.go: 3-6"},
		{"few copies", evidence{rules: api.DefaultGate, patch: adding(t, 100), copies: &api.DuplicationReport{NewLines: 100, Duplicated: 3}}, "duplication passed 3 of 100 new lines in blocks that are there twice (3 %)"},
		{"copies under the minimum", evidence{rules: api.DefaultGate, patch: adding(t, 30), copies: &api.DuplicationReport{NewLines: 19, Duplicated: 19}}, "duplication unjudged 19 of 19 new lines in blocks that are there twice: under the 20-line minimum, not judged"},
		{"too much to compare", evidence{rules: api.DefaultGate, patch: adding(t, 30), copies: &api.DuplicationReport{}, uncompared: "the sources have more than 1000000 lines"}, "duplication unjudged the sources have more than 1000000 lines: they are not compared"},
		{"no finding", evidence{rules: lax, analysed: true, patch: adding(t, 3)}, "issues passed 0 new issues on added lines"},
		{"findings", evidence{rules: lax, analysed: true, patch: adding(t, 3), findings: []api.Finding{finding("note", "a.go", 3), finding("error", "a.go", 4), finding("error", "a.go", 2)}},
			"issues failed 2 new issues on added lines, 0 allowed: a.go:2: bad; 1 finding elsewhere or below the gate's level"},
		{"findings below the level", evidence{rules: strict, analysed: true, patch: adding(t, 3), findings: []api.Finding{finding("warning", "/b/a.go", 3), finding("error", "/b/a.go", 2)}},
			"issues passed 1 new issue on added lines; 1 finding elsewhere or below the gate's level"},
		{"findings in no patch", evidence{rules: lax, analysed: true, findings: []api.Finding{finding("error", "a.go", 1)}}, "issues unjudged 1 finding in all: it is not known which lines are new"},
	} {
		v := test.e.verdict()
		var got []string
		for _, c := range v.Conditions {
			got = append(got, fmt.Sprintf("%s %s %s", c.Name, c.State, c.Text))
		}
		if strings.Join(got, "\n") != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestMissedLinesAreListed(t *testing.T) {
	e := evidence{rules: api.DefaultGate, patch: adding(t, 10), profiles: covering(10, 3)}
	e.profiles = append(e.profiles, coverage.Profile{"a.go": {6: 1}}) // by another test
	r := e.coverageReport()
	if r.Lines != 12 || r.NewLines != 10 || r.NewCovered != 4 || len(r.Missed) != 1 || r.Missed[0] != (api.MissedLines{File: "a.go", Lines: "4-5, 7-10"}) {
		t.Errorf("the coverage is %+v, want lines 4, 5 and 7 to 10 of a.go missed", r)
	}
}
