package web

import (
	"cmp"
	"slices"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// reportPage is the verdict on what a build reports.
type reportPage struct {
	api.Report
	Files  []api.ReportFile
	Judge  bool // the caller may have it judged again
	Trends []*trend
}

func (s site) report(r request) (page, error) {
	report, err := read(r, api.Reports)
	if err != nil {
		return page{}, err
	}
	p := reportPage{Report: report, Judge: report.State != api.ReportJudging && r.may("judge", report.Link)}
	if b, err := read(r, api.Builds); err == nil {
		p.Files = b.Reports // the verdict stands without them
	}
	if p.Trends, err = trends(r, report.Project, report.Job); err != nil {
		return page{}, err
	}
	return page{Title: "Report " + report.Link.ID(), Section: "/builds", Body: "report", Content: p, Live: follow(string(report.Link))}, nil
}

// reportForms are the forms on the page of a report.
var reportForms = map[string]form{"judge": noArguments}

// verdictOf returns the report of a build, nil if it has none, or none that the
// caller may see.
func verdictOf(r request, b api.Build) (*api.Report, error) {
	if len(b.Reports) == 0 {
		return nil, nil
	}
	report, err := api.Reports.Read(r.Context(), r.client, b.Link.ID())
	switch kit.FaultOf(err) {
	case kit.ErrForbidden, kit.ErrNotFound:
		return nil, nil
	}
	return &report, err
}

// testsPage is what is known of a job's tests.
type testsPage struct {
	api.TestHistory
	Trends []*trend
}

func (s site) tests(r request) (page, error) {
	h, err := read(r, api.Tests)
	if err != nil {
		return page{}, err
	}
	p := testsPage{TestHistory: h}
	if p.Trends, err = trends(r, h.Project, h.Job); err != nil {
		return page{}, err
	}
	return page{Title: "Tests of " + h.Job, Section: "/builds", Body: "tests", Content: p, Live: follow(string(h.Link))}, nil
}

// testListPage is the tests that need care, of some jobs.
type testListPage struct {
	Flaky []flakyTest
	Slow  []slowTest // the slowest first
	Jobs  []api.TestHistory
	Next  string
}

type flakyTest struct {
	api.TestRecord
	Job api.TestHistory
}

type slowTest struct {
	api.TestTime
	Job api.TestHistory
}

// maxSlow is how many slow tests are shown.
const maxSlow = 30

func (s site) testList(r request) (page, error) {
	filter, err := projectFilter(r)
	if err != nil {
		return page{}, err
	}
	var p testListPage
	if p.Jobs, p.Next, err = list(r, api.Tests, filter, ""); err != nil {
		return page{}, err
	}
	for _, h := range p.Jobs {
		for _, t := range h.Tests {
			if t.Flaky != "" {
				p.Flaky = append(p.Flaky, flakyTest{t, h})
			}
		}
		for _, t := range h.Slowest {
			p.Slow = append(p.Slow, slowTest{t, h})
		}
	}
	slices.SortStableFunc(p.Slow, func(a, b slowTest) int { return cmp.Compare(b.Seconds, a.Seconds) })
	p.Slow = p.Slow[:min(len(p.Slow), maxSlow)]
	return page{Title: "Tests", Section: "/builds", Body: "testlist", Content: p, Live: follow(api.Tests.Name)}, nil
}

// mark is what a test came to in a build.
type mark struct {
	Outcome string // P, F, S or -
	Class   string
	Build   api.TestedBuild
}

// Marks returns the outcomes of a test, oldest first.
func (p testsPage) Marks(t api.TestRecord) []mark {
	var marks []mark
	for i, b := range p.Builds[:min(len(p.Builds), len(t.Outcomes))] {
		o := t.Outcomes[i : i+1]
		marks = append(marks, mark{o, map[string]string{"P": "vote good", "F": "vote bad"}[o], b})
	}
	return marks
}
