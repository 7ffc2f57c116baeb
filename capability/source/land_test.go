package source_test

import (
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
)

func TestALandingMovesTheBranchToTheTestedCommit(t *testing.T) {
	s := newSite(t)
	c := s.clone("users/ada")
	one := c.commit("a", "a\n", "Count what comes in")
	c.push("HEAD:refs/for/main")
	if l := s.landing("1-1", one); l.State != api.LandingLanded || s.tip("refs/heads/main") != one || !l.Protected {
		t.Fatalf("the landing is %+v, main at %s, want it at %s, protected", l, s.tip("refs/heads/main"), one)
	}
	r, err := api.Refs.Read(t.Context(), s.admin, "ledger~heads~main")
	if err != nil || r.Commit != one || r.Before != s.first || r.Source != "landings/1-1" || r.By != "users/ada" {
		t.Errorf("the ref is %+v, %v, want %s after %s for the landing", r, err, one, s.first)
	}
	if l := s.landing("1-2", one); l.State != api.LandingLanded {
		t.Errorf("landing again: %+v, want landed", l)
	}
}

func TestALandingOnABranchThatMovedOnMakesARebasedCommit(t *testing.T) {
	s := newSite(t)
	c := s.clone("users/ada")
	one := c.commit("a", "a\n", "Count what comes in")
	c.push("HEAD:refs/for/main")
	run(t, c.dir, "reset", "--quiet", "--hard", s.first)
	two := c.commit("b", "b\n", "Count what goes out")
	c.push("HEAD:refs/for/main")
	s.landing("1-1", one)
	l := s.landing("2-1", two)
	if l.State != api.LandingRebased || l.NewCommit == "" || l.NewCommit == two || s.tip("refs/heads/main") != one {
		t.Fatalf("the landing is %+v, want a rebased commit, and main left alone", l)
	}
	p, err := api.Pushes.Read(t.Context(), s.admin, "landing-2-1")
	if err != nil || len(p.Commits) != 1 || p.Landing != "landings/2-1" {
		t.Fatalf("the push is %+v, %v, want the rebased commit", p, err)
	}
	rebased := p.Commits[0]
	if rebased.SHA != l.NewCommit || rebased.Parents[0] != one || rebased.Author != "Ada" || !strings.Contains(rebased.Message, "Change-Id: I") {
		t.Errorf("the rebased commit is %+v, want it on %s with author and message", rebased, one)
	}
	if l := s.landing("2-2", rebased.SHA); l.State != api.LandingLanded || s.tip("refs/heads/main") != rebased.SHA {
		t.Errorf("the landing of the rebased commit is %+v, want it landed", l)
	}
}

func TestALandingOnABranchThatTakesDirectPushesSaysSo(t *testing.T) {
	s := newSite(t)
	c := s.clone("users/ada")
	c.push("HEAD:try")
	one := c.commit("a", "a\n", "Count what comes in")
	c.push("HEAD:refs/for/try")
	create(s, api.Landings, "1-1", api.Landing{Project: "ledger", Branch: "try", Change: "changes/1", PatchSet: 1, Commit: one, By: "users/ada"})
	if l := s.landed("1-1"); l.State != api.LandingLanded || l.Protected {
		t.Errorf("the landing is %+v, want it landed, and not protected", l)
	}
}

func TestALandingSaysWhatStandsAgainstIt(t *testing.T) {
	s := newSite(t)
	c := s.clone("users/ada")
	base := c.commit("lines", "one\n", "Keep one line")
	c.push("HEAD:refs/for/main")
	run(t, c.dir, "reset", "--quiet", "--hard", s.first)
	other := c.commit("lines", "two\n", "Keep another line")
	above := c.commit("b", "b\n", "Count what goes out")
	c.push("HEAD:refs/for/main")
	s.landing("1-1", base)

	if l := s.landing("2-1", other); l.State != api.LandingConflict || !strings.Contains(l.Detail, "conflicts in lines") {
		t.Errorf("the landing is %+v, want a conflict in lines", l)
	}
	l := s.landing("3-1", above)
	if l.State != api.LandingConflict || !strings.Contains(l.Detail, "has not landed: submit that first") || s.tip("refs/heads/main") != base {
		t.Errorf("the landing is %+v, want that it stands on what has not landed", l)
	}
	if l := s.landing("4-1", strings.Repeat("0", 40)); l.State != api.LandingConflict || !strings.Contains(l.Detail, "not found") {
		t.Errorf("the landing of no commit is %+v, want why", l)
	}
}

func TestALandingIsTriedAgainWhenItIsSubmittedAgain(t *testing.T) {
	s := newSite(t)
	c := s.clone("users/ada")
	below := c.commit("a", "a\n", "Count what comes in")
	above := c.commit("b", "b\n", "Count what goes out")
	c.push("HEAD:refs/for/main")
	early := s.landing("2-1", above)
	s.landing("1-1", below)

	again := func(at time.Time) {
		t.Helper()
		if _, err := api.Landings.Send(t.Context(), s.cluster.Client("services/review-again"), "2-1", "again", nil); err == nil {
			t.Error("a service that does not write landings sent them an event")
		}
		args := map[string]any{"at": at, "by": "users/bob"}
		if _, err := api.Landings.Send(t.Context(), s.cluster.Client("services/source"), "2-1", "again", args); err != nil {
			t.Fatal(err)
		}
	}
	again(early.Created) // the wish that made it, delivered late
	if l := s.landed("2-1"); l.State != api.LandingConflict {
		t.Errorf("after an old wish the landing is %+v, want it left alone", l)
	}
	again(time.Now().Add(time.Minute))
	if l := s.landed("2-1"); l.State != api.LandingLanded || l.By != "users/bob" || s.tip("refs/heads/main") != above {
		t.Errorf("after a new wish the landing is %+v, want it landed", l)
	}
}
