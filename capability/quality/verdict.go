package quality

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/quality/coverage"
	"landfall.dev/capability/quality/junit"
	"landfall.dev/capability/quality/patch"
	"landfall.dev/capability/quality/sonar"
)

// How much a report lists of what there may be any number of.
const (
	maxFailures = 100
	maxSlowest  = 20
	maxMissed   = 50
	maxRanges   = 20
	maxListed   = 100
	maxNamed    = 5 // in a text
)

// evidence is all that a build's reports say, and what they are judged by.
type evidence struct {
	rules api.GateRules
	// problems are reports that are missing or not what they say.
	problems []string
	// tests, profiles and findings are nil where there was no report of the kind.
	tests    *junit.Results
	profiles []coverage.Profile
	findings []api.Finding
	analysed bool
	// tasks are analyses of SonarQube, and sonar what its gate says of them.
	tasks []sonar.Task
	sonar []api.Condition
	// known tells of findings on added lines that were there before; nil if
	// nobody knows.
	known []bool
	// patch is nil if it is not known which lines are new.
	patch *patch.Patch
	// copies is nil where nobody asks for them; uncompared is why they are not
	// known.
	copies     *api.DuplicationReport
	uncompared string
	// flaky are the tests under suspicion, with the commit that tells of it.
	flaky map[string]string
}

// verdict is what evidence comes to.
type verdict struct {
	Rules      api.GateRules       `json:"rules"`
	Conditions []api.Condition     `json:"conditions"`
	Tests      *api.TestsReport    `json:"tests,omitempty"`
	Coverage   *api.CoverageReport `json:"coverage,omitempty"`
	Findings   *api.FindingsReport `json:"findings,omitempty"`

	Duplication *api.DuplicationReport `json:"duplication,omitempty"`
}

// verdict judges e.
func (e evidence) verdict() verdict {
	v := verdict{Rules: e.rules}
	add := func(c api.Condition) { v.Conditions = append(v.Conditions, c) }
	if len(e.problems) > 0 {
		add(api.Condition{Name: "reports", State: api.ConditionFailed, Text: few(e.problems, len(e.problems), "; ")})
	}
	if e.tests != nil {
		v.Tests = e.testsReport()
		add(e.judgeTests(v.Tests))
	}
	if e.profiles != nil {
		v.Coverage = e.coverageReport()
		add(e.judgeCoverage(v.Coverage))
	}
	if e.copies != nil {
		v.Duplication = e.copies
		add(e.judgeCopies(e.copies))
	}
	if e.analysed {
		v.Findings = e.findingsReport()
		add(e.judgeFindings(v.Findings))
	}
	for _, c := range e.sonar {
		add(c)
	}
	return v
}

// few joins the first of n things; the list may have fewer than n.
func few(list []string, n int, separator string) string {
	named := list[:min(len(list), maxNamed)]
	text := strings.Join(named, separator)
	if n > len(named) {
		text += fmt.Sprintf(" and %d more", n-len(named))
	}
	return text
}

// count returns a number of things: "1 test", "2 tests".
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

func (e evidence) testsReport() *api.TestsReport {
	r := &api.TestsReport{Slowest: slowest(e.tests.Tests)}
	for _, t := range e.tests.Tests {
		r.Seconds += t.Seconds
		switch t.Outcome {
		case junit.Passed:
			r.Passed++
		case junit.Skipped:
			r.Skipped++
		case junit.Failed:
			r.Failed++
			f := api.TestFailure{Name: t.Name, Message: t.Message, Quarantined: e.quarantines(t.Name)}
			if f.Quarantined {
				r.Quarantined++
			}
			r.Failures = append(r.Failures, f)
		}
	}
	// What counts comes first.
	slices.SortStableFunc(r.Failures, func(a, b api.TestFailure) int {
		return cmp.Compare(b2i(a.Quarantined), b2i(b.Quarantined))
	})
	r.Failures = r.Failures[:min(len(r.Failures), maxFailures)]
	return r
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (e evidence) quarantines(test string) bool {
	return e.rules.Quarantine > 0 && e.flaky[test] != ""
}

func slowest(tests []junit.Test) []api.TestTime {
	var times []api.TestTime
	for _, t := range tests {
		if t.Seconds > 0 {
			times = append(times, api.TestTime{Name: t.Name, Seconds: t.Seconds})
		}
	}
	slices.SortStableFunc(times, func(a, b api.TestTime) int { return cmp.Compare(b.Seconds, a.Seconds) })
	return slices.Clip(times[:min(len(times), maxSlowest)])
}

func (e evidence) judgeTests(r *api.TestsReport) api.Condition {
	c := api.Condition{Name: "tests", State: api.ConditionPassed}
	ran := r.Passed + r.Failed
	var failed, excused []string
	for _, f := range r.Failures {
		if f.Quarantined {
			excused = append(excused, fmt.Sprintf("%s (passed and failed on %.12s)", f.Name, e.flaky[f.Name]))
		} else {
			failed = append(failed, f.Name)
		}
	}
	switch counts := r.Failed - r.Quarantined; {
	case ran == 0:
		c.State, c.Text = api.ConditionUnjudged, "no test ran"
	case counts > 0:
		c.State = api.ConditionFailed
		c.Text = fmt.Sprintf("%d of %s failed: %s", counts, count(ran, "test"), few(failed, counts, ", "))
	default:
		c.Text = count(r.Passed, "test") + " passed"
	}
	if r.Skipped > 0 {
		c.Text += fmt.Sprintf("; %d skipped", r.Skipped)
	}
	if r.Quarantined > 0 {
		c.Text += fmt.Sprintf("; %s in quarantine, until it has passed %d times in a row, failed and does not count: %s",
			count(r.Quarantined, "flaky test"), e.rules.Quarantine, few(excused, r.Quarantined, ", "))
	}
	return c
}

func (e evidence) coverageReport() *api.CoverageReport {
	r := &api.CoverageReport{}
	all, added := coverage.Profile{}, coverage.Profile{}
	for _, p := range e.profiles {
		var names patch.Names
		if e.patch != nil {
			names = e.patch.Names(slices.Collect(maps.Keys(p)))
		}
		for name, lines := range p {
			all.Add(name, lines, nil)
			if e.patch == nil {
				continue
			}
			if file := names.File(name); file != "" {
				added.Add(file, lines, func(line int) bool { return e.patch.Adds(file, line) })
			}
		}
	}
	r.Lines, r.Covered = all.Count()
	r.NewLines, r.NewCovered = added.Count()
	for _, file := range slices.Sorted(maps.Keys(added)) {
		if missed := added[file].Missed(); len(missed) > 0 && len(r.Missed) < maxMissed {
			r.Missed = append(r.Missed, api.MissedLines{File: file, Lines: ranges(missed)})
		}
	}
	return r
}

// ranges writes sorted numbers as "3-7, 9".
func ranges(lines []int) string {
	var parts []string
	for i := 0; i < len(lines); {
		j := i
		for j+1 < len(lines) && lines[j+1] == lines[j]+1 {
			j++
		}
		if len(parts) == maxRanges {
			return strings.Join(parts, ", ") + " and more"
		}
		if i == j {
			parts = append(parts, fmt.Sprint(lines[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", lines[i], lines[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ", ")
}

const unknown = "it is not known which lines are new"

func (e evidence) judgeCoverage(r *api.CoverageReport) api.Condition {
	c := api.Condition{Name: "coverage", State: api.ConditionUnjudged}
	switch {
	case e.patch == nil:
		c.Text = unknown
	case r.NewLines == 0:
		c.Text = "the patch adds no line that can be covered"
	default:
		c.Text = fmt.Sprintf("%d of %s covered", r.NewCovered, count(r.NewLines, "new line"))
		switch {
		case e.rules.NewCoverage == 0:
			c.Text += ": the gate asks for none"
		case r.NewLines < e.rules.MinimumLines:
			c.Text += fmt.Sprintf(": under the %d-line minimum, not judged", e.rules.MinimumLines)
		case r.NewCovered*100 < e.rules.NewCoverage*r.NewLines:
			c.State = api.ConditionFailed
			c.Text += fmt.Sprintf(" (%d %%): at least %d %% must be", r.NewCovered*100/r.NewLines, e.rules.NewCoverage)
		default:
			c.State = api.ConditionPassed
			c.Text += fmt.Sprintf(" (%d %%)", r.NewCovered*100/r.NewLines)
		}
	}
	c.Text += e.cut()
	return c
}

// cut tells that some lines are not judged.
func (e evidence) cut() string {
	if e.patch == nil || !e.patch.Cut {
		return ""
	}
	return "; the difference is too large to be judged as a whole: its last files are left out"
}

func (e evidence) findingsReport() *api.FindingsReport {
	r := &api.FindingsReport{Total: len(e.findings)}
	if e.patch == nil {
		return r
	}
	for i, f := range located(e.patch, e.findings) {
		if !e.patch.Adds(f.File, f.Line) || rank(f.Level) < rank(cmp.Or(e.rules.Level, "note")) {
			continue
		}
		if e.known != nil && e.known[i] {
			r.Moved++
			continue
		}
		r.List = append(r.List, f)
	}
	r.New = len(r.List)
	slices.SortStableFunc(r.List, func(a, b api.Finding) int {
		return cmp.Or(cmp.Compare(rank(b.Level), rank(a.Level)), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	r.List = slices.Clip(r.List[:min(len(r.List), maxListed)])
	return r
}

func (e evidence) judgeFindings(r *api.FindingsReport) api.Condition {
	c := api.Condition{Name: "issues", State: api.ConditionPassed}
	if e.patch == nil {
		c.State, c.Text = api.ConditionUnjudged, fmt.Sprintf("%s in all: %s", count(r.Total, "finding"), unknown)
		return c
	}
	c.Text = count(r.New, "new issue") + " on added lines"
	if r.New > e.rules.NewIssues {
		c.State = api.ConditionFailed
		c.Text += fmt.Sprintf(", %d allowed", e.rules.NewIssues)
		if len(r.List) > 0 {
			c.Text += fmt.Sprintf(": %s:%d: %s", r.List[0].File, r.List[0].Line, r.List[0].Message)
		}
	}
	if r.Moved > 0 {
		c.Text += fmt.Sprintf("; %s on added lines had been there before", count(r.Moved, "finding"))
	}
	if rest := r.Total - r.New - r.Moved; rest > 0 {
		c.Text += fmt.Sprintf("; %s elsewhere or below the gate's level", count(rest, "finding"))
	}
	c.Text += e.cut()
	return c
}
