package review

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// story is a change and what has happened to it.
type story struct {
	t      *testing.T
	change api.Change
	now    time.Time
	ops    []kit.Op // of the last event
}

func newStory(t *testing.T) *story {
	t.Helper()
	s := &story{t: t, now: start, change: api.Change{
		Meta: kit.Meta{Link: "changes/7"}, Project: "ledger", Branch: "main", ChangeID: "I1", Owner: "users/ada",
		PatchSets: []api.PatchSet{{Commit: "c1", Uploader: "users/ada", Push: "pushes/10", Message: "Count\n", Votes: []api.Vote{{Value: 2}}}},
	}}
	s.does("created", "users/ada", nil)
	return s
}

// does sends an event and returns why it was refused; nothing if it was not.
func (s *story) does(event, by string, args any) string {
	s.t.Helper()
	data, err := json.Marshal(args)
	if err != nil {
		s.t.Fatal(err)
	}
	s.now = s.now.Add(time.Second)
	before := s.change
	before.PatchSets = slices.Clone(before.PatchSets)
	for i := range before.PatchSets {
		before.PatchSets[i].Votes = slices.Clone(before.PatchSets[i].Votes)
	}
	after, ops := next(s.change, kit.Event{Name: event, By: by, Data: data}, s.now)
	for _, op := range ops {
		if op.Do == kit.OpRefuse {
			s.change = before
			var reason string
			_ = json.Unmarshal(op.Data, &reason)
			return reason
		}
	}
	s.change, s.ops = after, ops
	return ""
}

func (s *story) must(event, by string, args any) {
	s.t.Helper()
	if reason := s.does(event, by, args); reason != "" {
		s.t.Fatalf("%s by %s: %s", event, by, reason)
	}
}

func (s *story) vote(by, label string, value int) string {
	return s.does("vote", by, api.VoteArgs{PatchSet: len(s.change.PatchSets), Label: label, Value: value})
}

// ready makes the current patch set verified and reviewed.
func (s *story) ready() {
	s.t.Helper()
	for _, reason := range []string{s.vote(verifier, api.LabelVerified, 1), s.vote("users/bob", api.LabelCodeReview, 2)} {
		if reason != "" {
			s.t.Fatal(reason)
		}
	}
}

func (s *story) submit() string {
	return s.does("submit", "users/cy", api.SubmitArgs{PatchSet: len(s.change.PatchSets)})
}

// landed tells the change of the end of a landing.
func (s *story) landed(patchSet int, state api.LandingState) {
	s.t.Helper()
	s.must("landing", "services/review", api.Landing{
		PatchSet: patchSet, Commit: s.change.PatchSets[patchSet-1].Commit, State: state, Detail: "conflicts in a", By: "users/cy",
	})
}

func (s *story) push(commit, push string) {
	s.t.Helper()
	s.must("patchset", verifier, filing{PatchSet: api.PatchSet{Commit: commit, Uploader: "users/ada", Push: kit.Link(push), Message: "Count more\n"}})
}

func (s *story) rebase(commit string, of int) {
	s.t.Helper()
	ps := api.PatchSet{Commit: commit, Uploader: "users/cy", Push: "pushes/landing-7-1", Message: "Count\n", Rebase: true}
	s.must("patchset", verifier, filing{PatchSet: ps, Of: of})
}

// wished are the links that the last event wishes to make.
func (s *story) wished() []string {
	var links []string
	for _, op := range s.ops {
		if op.Do == kit.OpCreate {
			links = append(links, string(op.Link))
		}
	}
	return links
}

func TestSubmittingIsRefusedInWords(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(*story)
		want []string // are in the reason; none means that it can be submitted
	}{
		{"nothing has happened", func(*story) {}, []string{"needs Verified +1", "needs Code-Review +2 by somebody other"}},
		{"verified and reviewed", (*story).ready, nil},
		{"the owner's own vote", func(s *story) {
			s.vote(verifier, api.LabelVerified, 1)
			s.vote("users/ada", api.LabelCodeReview, 2)
		}, []string{"needs Code-Review +2 by somebody other"}},
		{"the uploader's own vote", func(s *story) {
			s.must("patchset", verifier, filing{PatchSet: api.PatchSet{Commit: "c2", Uploader: "users/bob", Push: "pushes/11"}})
			s.ready()
		}, []string{"needs Code-Review +2 by somebody other"}},
		{"the vote of the commit's author, which somebody else has pushed", func(s *story) {
			s.must("patchset", verifier, filing{PatchSet: api.PatchSet{Commit: "c2", Uploader: "users/ada", Authors: []string{"users/bob"}, Push: "pushes/11"}})
			s.ready()
		}, []string{"needs Code-Review +2 by somebody other"}},
		{"the run was cancelled", func(s *story) {
			s.ready()
			s.must("vote", verifier, api.VoteArgs{PatchSet: 1, Label: api.LabelVerified, Text: "Cancelled; repeat it."})
		}, []string{"needs Verified +1: Cancelled; repeat it"}},
		{"it is tested again", func(s *story) {
			s.ready()
			s.must("gating", verifier, gating{PatchSet: 1, Run: "runs/change-7-1-r1"})
		}, []string{"needs Verified +1: the gating run has not passed"}},
		{"it was tested again, in vain", func(s *story) {
			s.ready()
			s.must("gating", verifier, gating{PatchSet: 1})
			s.vote(verifier, api.LabelVerified, -1)
		}, []string{"Verified -1 by services/review stands against it"}},
		{"it was tested again, and passed", func(s *story) {
			s.ready()
			s.vote(verifier, api.LabelVerified, -1)
			s.must("gating", verifier, gating{PatchSet: 1})
			s.must("gating", verifier, gating{PatchSet: 1})
			s.vote(verifier, api.LabelVerified, 1)
		}, nil},
		{"half a vote", func(s *story) {
			s.vote(verifier, api.LabelVerified, 1)
			s.vote("users/bob", api.LabelCodeReview, 1)
		}, []string{"needs Code-Review +2"}},
		{"somebody is against it", func(s *story) {
			s.ready()
			s.vote("users/dan", api.LabelCodeReview, -2)
		}, []string{"Code-Review -2 by users/dan stands against it"}},
		{"who was against it is not any more", func(s *story) {
			s.ready()
			s.vote("users/dan", api.LabelCodeReview, -2)
			s.vote("users/dan", api.LabelCodeReview, 0)
		}, nil},
		{"the run failed", func(s *story) {
			s.ready()
			s.vote(verifier, api.LabelVerified, -1)
		}, []string{"Verified -1 by services/review stands against it", "needs Verified +1"}},
		{"the votes are on an older patch set", func(s *story) {
			s.ready()
			s.push("c2", "pushes/11")
		}, []string{"needs Verified +1", "needs Code-Review +2"}},
		{"a late vote on an older patch set", func(s *story) {
			s.push("c2", "pushes/11")
			s.must("vote", verifier, api.VoteArgs{PatchSet: 1, Label: api.LabelVerified, Value: 1})
			s.must("vote", "users/bob", api.VoteArgs{PatchSet: 1, Label: api.LabelCodeReview, Value: 2})
		}, []string{"needs Verified +1", "needs Code-Review +2"}},
		{"it is abandoned", func(s *story) {
			s.ready()
			s.must("abandon", "users/ada", nil)
		}, []string{"the change is abandoned"}},
		{"it is abandoned and restored", func(s *story) {
			s.ready()
			s.must("abandon", "users/ada", nil)
			s.must("restore", "users/ada", nil)
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStory(t)
			test.do(s)
			if said := strings.Join(s.change.Missing, "; "); (said == "") != (test.want == nil) {
				t.Errorf("the change lacks %q, want %q", said, test.want)
			}
			reason := s.submit()
			if (reason == "") != (test.want == nil) {
				t.Fatalf("submitting is refused with %q, want %q", reason, test.want)
			}
			for _, want := range test.want {
				if !strings.Contains(reason, want) {
					t.Errorf("submitting is refused with %q, want %q in it", reason, want)
				}
			}
		})
	}
}

func TestEventsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, test := range []struct {
		name, event, by string
		args            any
		want            string
	}{
		{"a person verifies", "vote", "users/bob", api.VoteArgs{PatchSet: 1, Label: api.LabelVerified, Value: 1}, "nobody else sets it"},
		{"a vote out of range", "vote", "users/bob", api.VoteArgs{PatchSet: 1, Label: api.LabelCodeReview, Value: 3}, "goes from -2 to +2"},
		{"an unknown label", "vote", "users/bob", api.VoteArgs{PatchSet: 1, Label: "Beauty", Value: 1}, `there is no label "Beauty": use Code-Review`},
		{"a person judges reports", "vote", "users/bob", api.VoteArgs{PatchSet: 1, Label: api.LabelQuality, Value: 1}, "nobody else sets it"},
		{"a patch set to come", "vote", "users/bob", api.VoteArgs{PatchSet: 2, Label: api.LabelCodeReview, Value: 1}, "has no patch set 2: the current one is 1"},
		{"no patch set", "vote", "users/bob", api.VoteArgs{Label: api.LabelCodeReview, Value: 1}, "has no patch set 0"},
		{"submit another patch set", "submit", "users/bob", api.SubmitArgs{PatchSet: 2}, "patch set 2 is not the current one, 1"},
		{"restore what is open", "restore", "users/bob", nil, "change 7 is open, not abandoned"},
		{"an empty comment", "comment", "users/bob", map[string]string{"text": " "}, "a comment needs a text"},
		{"arguments of another kind", "submit", "users/bob", "now", "do not fit"},
	} {
		s := newStory(t)
		if reason := s.does(test.event, test.by, test.args); !strings.Contains(reason, test.want) {
			t.Errorf("%s: refused with %q, want %q", test.name, reason, test.want)
		}
	}
	_, ops := next(api.Change{}, kit.Event{Name: "created", By: "users/eve"}, start)
	if len(ops) != 1 || ops[0].Do != kit.OpRefuse {
		t.Errorf("a change without a patch set gives %+v, want a refusal", ops)
	}
}

func TestANewChangeBringsNothingAlong(t *testing.T) {
	s := newStory(t)
	ps := s.change.Current()
	if s.change.Status != api.ChangeOpen || ps.Number != 1 || len(ps.Votes) > 0 || !ps.Created.Equal(s.now) {
		t.Errorf("the new change is %+v, want it open without votes", s.change)
	}
}

func TestARebaseKeepsReviewsAndDropsTheVerdict(t *testing.T) {
	s := newStory(t)
	s.ready()
	if reason := s.submit(); reason != "" || !slices.Equal(s.wished(), []string{"landings/7-1"}) {
		t.Fatalf("submit: %q, %v, want the landing 7-1", reason, s.wished())
	}
	s.landed(1, api.LandingRebased)
	s.rebase("c2", 1)
	ps := s.change.Current()
	if len(ps.Votes) != 1 || ps.Votes[0].Label != api.LabelCodeReview || ps.Uploader != "users/ada" || s.change.Submit != "users/cy" {
		t.Errorf("the rebased patch set is %+v, submitted by %q, want ada's with bob's review, submitted by cy", ps, s.change.Submit)
	}
	if len(s.wished()) > 0 {
		t.Errorf("the rebase wishes for %v, want nothing before it is tested", s.wished())
	}
	s.vote(verifier, api.LabelVerified, 1)
	if !slices.Equal(s.wished(), []string{"landings/7-2"}) {
		t.Errorf("the verdict wishes for %v, want the landing 7-2", s.wished())
	}
	s.landed(2, api.LandingLanded)
	if s.change.Status != api.ChangeMerged || s.change.Merged != "c2" || len(s.change.Missing) > 0 {
		t.Errorf("the change is %+v, want it merged as c2", s.change)
	}
}

func TestAFailedRebaseDoesNotLandByItself(t *testing.T) {
	s := newStory(t)
	s.ready()
	s.submit()
	s.rebase("c2", 1)
	s.vote(verifier, api.LabelVerified, -1)
	if len(s.wished()) > 0 || s.change.Status != api.ChangeOpen {
		t.Errorf("after a bad verdict the change wishes for %v, want nothing", s.wished())
	}
}

func TestARebaseOfWhatIsNotCurrentIsDropped(t *testing.T) {
	s := newStory(t)
	s.ready()
	s.submit()
	s.push("c2", "pushes/11")
	s.vote("users/bob", api.LabelCodeReview, 2)
	s.rebase("c1-rebased", 1)
	if s.change.Current().Commit != "c2" || s.change.Submit != "" {
		t.Errorf("current is %+v, submitted by %q, want c2, submitted by nobody", s.change.Current(), s.change.Submit)
	}
}

func TestALatePushDoesNotTakeTheCurrentPlace(t *testing.T) {
	s := newStory(t)
	s.push("c3", "pushes/12")
	s.push("c2", "pushes/11")
	s.push("c3", "pushes/13")
	if n := len(s.change.PatchSets); n != 2 || s.change.Current().Commit != "c3" {
		t.Errorf("there are %d patch sets, the current is %s, want 2 and c3", n, s.change.Current().Commit)
	}
}

func TestALandingIsAFactWhateverHappenedMeanwhile(t *testing.T) {
	for name, meanwhile := range map[string]func(*story){
		"nothing":         func(*story) {},
		"a new patch set": func(s *story) { s.push("c2", "pushes/11") },
		"abandoned":       func(s *story) { s.must("abandon", "users/ada", nil) },
		"told twice":      func(s *story) { s.landed(1, api.LandingLanded) },
	} {
		s := newStory(t)
		s.ready()
		s.submit()
		meanwhile(s)
		s.landed(1, api.LandingLanded)
		if s.change.Status != api.ChangeMerged || s.change.Merged != "c1" {
			t.Errorf("%s: the change is %s as %q, want merged as c1", name, s.change.Status, s.change.Merged)
		}
		if reason := s.does("abandon", "users/ada", nil); !strings.Contains(reason, "is merged, not open") {
			t.Errorf("%s: abandon what is merged: %q, want a refusal", name, reason)
		}
	}
}

func TestAConflictTakesTheSubmissionBackOnce(t *testing.T) {
	s := newStory(t)
	s.ready()
	s.submit()
	s.landed(1, api.LandingConflict)
	said := len(s.change.Messages)
	s.landed(1, api.LandingConflict)
	if s.change.Submit != "" || len(s.change.Messages) != said || !strings.Contains(s.change.Messages[said-1].Text, "conflicts in a") {
		t.Errorf("after a conflict, told twice, the change is %+v, want one message", s.change)
	}
	if reason := s.submit(); reason != "" {
		t.Fatalf("submit again: %s", reason)
	}
	last := s.ops[len(s.ops)-1]
	if last.Do != kit.OpSend || last.Link != "landings/7-1" || last.Event != "again" {
		t.Errorf("submitting again wishes for %+v, want the landing tried again", s.ops)
	}
}

func TestAVoteThatIsRepeatedChangesNothing(t *testing.T) {
	s := newStory(t)
	s.ready()
	said, at := len(s.change.Messages), s.change.Current().Votes[0].At
	s.ready()
	if len(s.change.Messages) != said || !s.change.Current().Votes[0].At.Equal(at) {
		t.Errorf("repeated votes made it %+v, want no change", s.change)
	}
	s.vote("users/bob", api.LabelCodeReview, 1)
	if votes := s.change.Current().Votes; len(votes) != 2 || votes[1].Value != 1 {
		t.Errorf("the votes are %+v, want bob's later one in place of the earlier", votes)
	}
}

func TestRunsBecomeVerdicts(t *testing.T) {
	nodes := func(n ...api.NodeRun) []api.NodeRun { return n }
	passed := func(id string) api.NodeRun {
		return api.NodeRun{ID: id, State: api.RunPassed, Link: api.Builds.Link(id)}
	}
	broken := api.NodeRun{ID: "b", State: api.RunFailed, Link: "builds/b", Error: "exit 1"}
	for _, test := range []struct {
		name string
		run  api.Run
		want string // event, vote, link and text; empty: nothing is told
	}{
		{"passed", api.Run{State: api.RunPassed, Nodes: nodes(passed("a"))}, "verify +1 builds/a The gating run passed."},
		{"passed in two builds", api.Run{State: api.RunPassed, Nodes: nodes(passed("a"), passed("b"))}, "verify +1 runs/r The gating run passed."},
		{"a node failed", api.Run{State: api.RunFailed, Nodes: nodes(passed("a"), broken)}, "vote -1 builds/b The gating run failed: b: exit 1"},
		{"the plan is broken", api.Run{State: api.RunFailed, Error: "pipeline.star:3:1: syntax"}, "vote -1 runs/r The gating run failed: pipeline.star:3:1: syntax"},
		{"running", api.Run{State: api.RunRunning}, ""},
		{"running again", api.Run{State: api.RunRunning, Round: 1}, "gating +0  "},
		{"failed, and run again since", api.Run{State: api.RunFailed, Next: "runs/r-r1"}, ""},
		{"cancelled", api.Run{State: api.RunCancelled, Error: "cancelled by users/ada", Nodes: nodes(passed("a"))},
			"vote +0 runs/r The gating run was cancelled by users/ada; landfall pipeline rerun r repeats it."},
		{"cancelled by a later patch set", api.Run{State: api.RunCancelled, Superseded: true}, ""},
	} {
		test.run.Link, test.run.Change, test.run.PatchSet = "runs/r", "changes/7", 2
		got := ""
		for _, op := range onRun(test.run, start) {
			var v api.VoteArgs
			if err := json.Unmarshal(op.Data, &v); err != nil || v.PatchSet != 2 || op.Do == kit.OpSend && op.Link != "changes/7" {
				t.Errorf("%s: %+v, %v, want it told to the second patch set of changes/7", test.name, op, err)
			}
			if op.Do != kit.OpSend {
				op.Event = op.Do // the action tells the change
			}
			got += fmt.Sprintf("%s %+d %s %s", op.Event, v.Value, v.Link, v.Text)
		}
		if got != test.want {
			t.Errorf("%s: told %q, want %q", test.name, got, test.want)
		}
	}
	if ops := onRun(api.Run{State: api.RunPassed}, start); len(ops) > 0 {
		t.Errorf("a run of what landed tells %+v, want nothing", ops)
	}
}
