package review

import (
	"slices"
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// proposal is that of the first patch set of changes/7.
func proposal(state api.ProposalState, problems ...api.Problem) api.Proposal {
	return api.Proposal{
		Meta: kit.Meta{Link: "proposals/7-1"}, Project: "ledger", Change: "changes/7", PatchSet: 1, State: state, Problems: problems,
		Counts: api.JobChanges{Updated: 2, Unchanged: 3},
		Groups: []api.JobGroup{{Action: api.JobUpdate, Title: "image: go:1 -> go:2", Jobs: []string{"a", "b"}, Count: 2}},
	}
}

func TestAPlanIsSaidOnTheChange(t *testing.T) {
	s := newStory(t)
	s.ready()
	for _, op := range onProposal(proposal(api.ProposalPlanned), start) {
		s.must(op.Event, verifier, op.Data)
	}
	var got []string
	for _, m := range s.change.Messages[len(s.change.Messages)-2:] {
		got = append(got, m.Text+" "+string(m.Link))
	}
	want := []string{
		"Patch set 1: Jobs+1. 0 created, 2 updated, 0 deleted, 3 unchanged proposals/7-1",
		"~ update  image: go:1 -> go:2 in 2 jobs: a, b\n0 created, 2 updated, 0 deleted, 3 unchanged proposals/7-1",
	}
	if !slices.Equal(got, want) || len(s.change.Missing) > 0 {
		t.Errorf("the change says %q and lacks %q, want %q", got, s.change.Missing, want)
	}
	for _, state := range []api.ProposalState{api.ProposalPlanning, api.ProposalNone} {
		if ops := onProposal(proposal(state), start); ops != nil {
			t.Errorf("a proposal that is %s makes %+v, want nothing", state, ops)
		}
	}
}

func TestWrongDefinitionsCannotLand(t *testing.T) {
	s := newStory(t)
	s.vote("users/bob", api.LabelCodeReview, 2)
	a, _ := judgement(proposal(api.ProposalWrong, api.Problem{File: "jobs/a.yml", Line: 3, Text: "unknown kind"}, api.Problem{Text: "too large"}))
	s.must("verified", verifier, verified{VoteArgs: api.VoteArgs{PatchSet: 1, Label: api.LabelVerified, Value: 1}, Jobs: &a})
	want := []string{"Jobs -1 by proposals/7-1 stands against it: jobs/a.yml:3: unknown kind (and 1 more)"}
	if reason := s.submit(); !slices.Equal(s.change.Missing, want) || !strings.Contains(reason, want[0]) {
		t.Errorf("the change lacks %q, and submitting is refused with %q, want %q", s.change.Missing, reason, want)
	}
	inline := func(m api.Message) bool { return m.File == "jobs/a.yml" && m.Line == 3 && m.Text == "unknown kind" }
	if !slices.ContainsFunc(s.change.Messages, inline) {
		t.Errorf("the messages are %+v, want one at jobs/a.yml:3", s.change.Messages)
	}
	if reason := s.vote("users/bob", api.LabelJobs, 1); reason == "" {
		t.Error("a person took the verdict back")
	}
}

func TestNothingIsVerifiedBeforeItsPlanIsMade(t *testing.T) {
	c, f := hub(t, kit.Own[api.Proposal](api.Proposals, nil))
	push(t, c, "", api.Push{Commits: []api.Commit{{SHA: "a1", ChangeID: "Ia"}}})
	await(t, c, "1", func(api.Change) bool { return true })
	run := api.Run{Change: "changes/1", PatchSet: 1}
	if _, err := f.proposal(t.Context(), run); kit.FaultOf(err) != kit.ErrUnavailable {
		t.Errorf("before there is a proposal: %v, want that it is to come", err)
	}
	old := run
	old.PatchSet = 0
	if a, err := f.proposal(t.Context(), old); a != nil || err != nil {
		t.Errorf("of a patch set that is not current: %+v, %v, want nothing", a, err)
	}
	p, err := api.Proposals.Create(t.Context(), c.Admin(), "1-1", proposal(api.ProposalPlanning))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.proposal(t.Context(), run); kit.FaultOf(err) != kit.ErrUnavailable {
		t.Errorf("while it is planned: %v, want that it is to come", err)
	}
	if _, err := c.Admin().Update(t.Context(), p.Link, []byte(`{"state":"planned"}`), 0); err != nil {
		t.Fatal(err)
	}
	if a, err := f.proposal(t.Context(), run); err != nil || a == nil || a.Value != 1 || a.Label != api.LabelJobs {
		t.Errorf("once it is planned: %+v, %v, want the vote", a, err)
	}
}
