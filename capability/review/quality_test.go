package review

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
)

// report is that of a build of the first patch set of changes/7.
func report(state api.ReportState) api.Report {
	return api.Report{
		Meta: kit.Meta{Link: "reports/change-7-1.gate.1"}, Change: "changes/7", PatchSet: 1, State: state,
		Conditions: []api.Condition{
			{Name: "tests", State: api.ConditionPassed, Text: "3 tests passed"},
			{Name: "issues", State: api.ConditionFailed, Text: "1 new issue on added lines, 0 allowed"},
		},
		Findings: &api.FindingsReport{Total: 1, New: 1, List: []api.Finding{{Rule: "G101", Level: "error", File: "a.go", Line: 3, Message: "a secret"}}},
	}
}

// analyse gives the story the event that the reaction to r wishes for.
func (s *story) analyse(r api.Report) {
	s.t.Helper()
	for _, op := range onReport(r, start) {
		s.must(op.Event, verifier, op.Data)
	}
}

func TestAReportThatFailedStandsAgainstTheChange(t *testing.T) {
	s := newStory(t)
	s.ready()
	s.analyse(report(api.ReportFailed))
	said := len(s.change.Messages)
	s.analyse(report(api.ReportFailed)) // told twice
	want := "Quality -1 by reports/change-7-1.gate.1 stands against it: issues: 1 new issue on added lines, 0 allowed. tests: 3 tests passed"
	if !slices.Equal(s.change.Missing, []string{want}) {
		t.Errorf("the change lacks %q, want %q", s.change.Missing, want)
	}
	comment := s.change.Messages[said-1]
	comment.At = start
	if want := (api.Message{At: start, By: verifier, Text: "error: a secret G101", Link: "reports/change-7-1.gate.1", PatchSet: 1, File: "a.go", Line: 3}); comment != want || len(s.change.Messages) != said {
		t.Errorf("the last of %d messages is %+v, want %+v, the last of %d", len(s.change.Messages), comment, want, said)
	}
	s.analyse(report(api.ReportJudging)) // once more, by another gate
	s.analyse(report(api.ReportPassed))
	if len(s.change.Missing) > 0 || len(s.change.Current().Votes) != 3 {
		t.Errorf("the change lacks %q, with the votes %+v, want nothing, with the last verdict", s.change.Missing, s.change.Current().Votes)
	}
}

func TestNothingLandsBeforeAllReportsAreJudged(t *testing.T) {
	s := newStory(t)
	s.vote("users/bob", api.LabelCodeReview, 2)
	other := report(api.ReportPassed)
	other.Link = "reports/change-7-1.lint.1"
	s.analyse(other)
	s.must("verified", verifier, verified{
		VoteArgs: api.VoteArgs{PatchSet: 1, Label: api.LabelVerified, Value: 1}, Reports: []kit.Link{"reports/change-7-1.gate.1", other.Link},
	})
	want := []string{"needs Quality +1 of reports/change-7-1.gate.1: The build's reports are being judged"}
	if reason := s.submit(); !slices.Equal(s.change.Missing, want) || !strings.Contains(reason, want[0]) {
		t.Errorf("the change lacks %q, and submitting is refused with %q, want %q", s.change.Missing, reason, want)
	}
	broken := report(api.ReportError)
	broken.Error = "no commit"
	s.analyse(broken)
	if said := strings.Join(s.change.Missing, ""); !strings.Contains(said, "could not be judged: no commit; landfall quality judge change-7-1.gate.1 tries it again") {
		t.Errorf("the change lacks %q, want what to do", said)
	}
	s.analyse(report(api.ReportPassed))
	if reason := s.submit(); reason != "" || !slices.Equal(s.wished(), []string{"landings/7-1"}) {
		t.Errorf("submit: %q, %v, want the landing", reason, s.wished())
	}
}

func TestARunThatIsRunAgainTakesOnlyEarlierReportsBack(t *testing.T) {
	s := newStory(t)
	s.analyse(report(api.ReportFailed))
	again := report(api.ReportPassed)
	again.Link = "reports/change-7-1-r1.gate.1"
	s.analyse(again)
	s.must("gating", verifier, gating{PatchSet: 1, Run: "runs/change-7-1-r1"})
	if votes := s.change.Current().Votes; len(votes) != 1 || votes[0].Link != again.Link {
		t.Errorf("the votes are %+v, want that of the new run's report", votes)
	}
}

func TestCommentsAreBounded(t *testing.T) {
	r := report(api.ReportFailed)
	for i := range 100 {
		r.Findings.List = append(r.Findings.List, api.Finding{File: "a.go", Line: i + 10, Message: fmt.Sprint(i)})
	}
	s := newStory(t)
	said := len(s.change.Messages)
	s.analyse(r)
	if n := len(s.change.Messages) - said; n != 1+maxComments {
		t.Errorf("the report made %d messages, want one and %d comments", n, maxComments)
	}
}

func TestAPassedRunBringsItsReportsAlong(t *testing.T) {
	c, _ := hub(t)
	push(t, c, "", api.Push{Commits: []api.Commit{{SHA: "a1", ChangeID: "Ia"}}})
	await(t, c, "1", func(api.Change) bool { return true })
	var nodes []api.NodeRun
	for id, files := range map[string][]api.ReportFile{"change-1-1.plain.1": nil, "change-1-1.tested.1": {{Kind: api.ReportJUnit, Path: "a.xml"}}} {
		if _, err := api.Builds.Create(t.Context(), c.Admin(), id, api.Build{Reports: files}); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, api.NodeRun{ID: id, State: api.RunPassed, Link: api.Builds.Link(id)})
	}
	run := api.Run{Change: "changes/1", PatchSet: 1, State: api.RunPassed, Nodes: append(nodes, api.NodeRun{ID: "gone", Link: "builds/gone"})}
	if _, err := api.Runs.Create(t.Context(), c.Admin(), "change-1-1", run); err != nil {
		t.Fatal(err)
	}
	votes := await(t, c, "1", func(x api.Change) bool { return len(x.Current().Votes) == 2 }).Current().Votes
	if votes[0].Label != api.LabelQuality || votes[0].Link != "reports/change-1-1.tested.1" || votes[0].Value != 0 || votes[1].Label != api.LabelVerified {
		t.Errorf("the votes are %+v, want Quality 0 of its report, and Verified", votes)
	}
	if _, err := api.Reports.Create(t.Context(), c.Admin(), "change-1-1.tested.1", api.Report{Change: "changes/1", PatchSet: 1, State: api.ReportPassed}); err != nil {
		t.Fatal(err)
	}
	await(t, c, "1", func(x api.Change) bool { return x.Current().Votes[0].Value == 1 })
}

func TestAHubWithoutQualityWaitsForNoReport(t *testing.T) {
	c := kittest.Start(t)
	f := &filer{client: c.Client("services/review")}
	c.Server.Add(Service(f.client))
	c.Server.Add(kit.Service{Name: "others", Owns: []kit.Owned{kit.Own[api.Build](api.Builds, nil)}})
	c.Server.Absent("quality", api.Reports.Name)
	if _, err := api.Builds.Create(t.Context(), c.Admin(), "b", api.Build{Reports: []api.ReportFile{{Path: "a.xml"}}}); err != nil {
		t.Fatal(err)
	}
	links, err := f.reports(t.Context(), api.Run{Nodes: []api.NodeRun{{Link: "builds/b"}}})
	if err != nil || len(links) > 0 {
		t.Errorf("the run waits for %v, %v, want nothing", links, err)
	}
}

func TestAJobThatSomebodyTriesDecidesNothing(t *testing.T) {
	for _, link := range []kit.Link{"reports/0123", "reports/0123.1.2.0"} {
		r := report(api.ReportFailed)
		r.Link = link
		if ops := onReport(r, start); ops != nil {
			t.Errorf("%s makes %+v, want nothing", link, ops)
		}
	}
}
