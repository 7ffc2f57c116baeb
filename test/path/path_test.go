package path_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/kit"
)

func final(r api.Run) bool { return r.State.Final() }

func merged(c api.Change) bool { return c.Status == api.ChangeMerged }

func mergedRun(project, commit string) string { return fmt.Sprintf("%s-main-%.12s", project, commit) }

// nodes returns the ids of a run's nodes and what they need.
func nodes(r api.Run) []string {
	var ids []string
	for _, n := range r.Plan.Nodes {
		ids = append(ids, strings.TrimSpace(n.Job+" "+strings.Join(n.Needs, ",")))
	}
	slices.Sort(ids)
	return ids
}

func TestAChangeGoesAllTheWayToThePipelineOfWhatLanded(t *testing.T) {
	h := newHub(t, passes)
	c := h.clone()
	commit := c.push("a", "a\n", "-m", "Count what comes in")

	change := h.verified("1", 1, 1)
	if change.Owner != "users/ada" || change.Subject != "Count what comes in" || change.Current().Commit != commit {
		t.Errorf("the change is %+v, want ada's commit %s", change, commit)
	}
	gate := await(h, api.Runs, "change-1-1", final)
	if gate.State != api.RunPassed || gate.Commit != commit || gate.Definitions == commit || len(gate.Nodes) != 1 {
		t.Errorf("the gating run is %+v, want one build of the commit by main's definitions", gate)
	}
	b := await(h, api.Builds, gate.Nodes[0].Link.ID(), func(b api.Build) bool { return b.LogDigest != "" })
	if b.Commit != commit || b.Job != "ledger-gate" || b.LogSize == 0 || b.Source != gate.Link {
		t.Errorf("the build is %+v, want ledger-gate of %s with its log", b, commit)
	}

	h.vote("ada", "1", 1, 2)
	if err := h.submit("1", 1); kit.FaultOf(err) != kit.ErrConflict || !strings.Contains(err.Error(), "somebody other than its author") {
		t.Errorf("submit with ada's own vote: %v, want that somebody else has to review it", err)
	}
	h.vote("bob", "1", 1, 2)
	if err := h.submit("1", 1); err != nil {
		t.Fatalf("submit: %v", err)
	}
	if change = await(h, api.Changes, "1", merged); change.Merged != commit || c.main() != commit {
		t.Errorf("merged %s, and main stands at %s, want the tested commit %s", change.Merged, c.main(), commit)
	}
	run := await(h, api.Runs, mergedRun("ledger", commit), final)
	if run.State != api.RunPassed || run.Event != "merged" || run.Source != "landings/1-1" || len(run.Nodes) != 2 {
		t.Errorf("the run of what landed is %+v, want two builds for the landing", run)
	}
	ref, err := api.Refs.Read(t.Context(), h.admin, "ledger~heads~main")
	if err != nil || ref.Commit != commit || ref.Source != "landings/1-1" {
		t.Errorf("the ref is %+v, %v, want %s for the landing", ref, err, commit)
	}
}

func TestABranchThatMovedOnIsTestedAgainBeforeItLands(t *testing.T) {
	h := newHub(t, passes)
	c := h.clone()
	base := c.main()
	one := c.push("a", "a\n", "-m", "Count what comes in")
	c.git("reset", "--quiet", "--hard", base)
	two := c.push("b", "b\n", "-m", "Count what goes out")
	for _, change := range []string{"1", "2"} {
		h.verified(change, 1, 1)
		h.vote("bob", change, 1, 2)
	}
	if err := h.submit("1", 1); err != nil {
		t.Fatal(err)
	}
	await(h, api.Changes, "1", merged)
	if err := h.submit("2", 1); err != nil {
		t.Fatal(err)
	}
	h.rerun() // in the middle of it
	change := await(h, api.Changes, "2", merged)
	if len(change.PatchSets) != 2 {
		t.Fatalf("the change has %d patch sets, want the rebased one too", len(change.PatchSets))
	}
	rebased := change.PatchSets[1]
	if !rebased.Rebase || rebased.Parent != one || rebased.Commit == two || rebased.Uploader != "users/ada" {
		t.Errorf("the second patch set is %+v, want a rebase onto %s", rebased, one)
	}
	gate := await(h, api.Runs, "change-2-2", final)
	if gate.State != api.RunPassed || gate.Commit != rebased.Commit {
		t.Errorf("the gating run of the rebased commit is %+v, want it passed on %s", gate, rebased.Commit)
	}
	labels := map[string]kit.Link{}
	for _, v := range rebased.Votes {
		labels[v.Label+" "+v.By] = v.Link
	}
	if len(labels) != 2 || labels["Verified services/review"] != gate.Nodes[0].Link {
		t.Errorf("the votes on the rebased commit are %+v, want bob's, and Verified with its own build", rebased.Votes)
	}
	if change.Merged != rebased.Commit || c.main() != rebased.Commit {
		t.Errorf("merged %s, main at %s, want exactly the tested commit %s", change.Merged, c.main(), rebased.Commit)
	}
	await(h, api.Runs, mergedRun("ledger", rebased.Commit), final)
}

func TestAFailedGateIsAVerdictAndALaterPatchSetEndsTheRunBefore(t *testing.T) {
	h := newHub(t, func(b api.Build) api.BuildState {
		switch b.PatchSet {
		case 1:
			return api.BuildFailed
		case 2:
			return "" // stays at work
		}
		return api.BuildPassed
	})
	c := h.clone()
	c.push("a", "a\n", "-m", "Count what comes in")
	change := h.verified("1", 1, -1)
	if text := change.PatchSets[0].Votes[0].Text; !strings.Contains(text, "make said no") {
		t.Errorf("the verdict says %q, want why the build failed", text)
	}
	notice := await(h, api.Notices, "run-change-1-1", func(n api.Notice) bool { return n.State == "given-up" })
	if notice.To != "users/ada" || notice.About != "builds/change-1-1.ledger-gate.1" || !strings.Contains(notice.Text, "change 1, patch set 1") {
		t.Errorf("the notice is %+v, want ada told of her change", notice)
	}

	c.push("a", "b\n", "--amend", "--no-edit")
	busy := await(h, api.Runs, "change-1-2", func(r api.Run) bool { return r.State == api.RunRunning })
	await(h, api.Builds, busy.Nodes[0].Link.ID(), func(b api.Build) bool { return b.State == api.BuildRunning })
	c.push("a", "c\n", "--amend", "--no-edit")
	h.verified("1", 3, 1)
	if r := await(h, api.Runs, "change-1-2", final); r.State != api.RunCancelled {
		t.Errorf("the run of the second patch set is %s, want cancelled", r.State)
	}
	await(h, api.Builds, busy.Nodes[0].Link.ID(), func(b api.Build) bool { return b.State == api.BuildCancelled })
}

func TestProjectsOfDifferentTypesGetDifferentGraphsFromTheLibrary(t *testing.T) {
	h := newHub(t, passes)
	h.project("math", "library", definitions("math"))
	for project, want := range map[string][]string{
		"ledger": {"ledger-check", "ledger-image"},
		"math":   {"math-image"},
	} {
		ref := await(h, api.Refs, project+"~heads~main", func(api.Ref) bool { return true })
		run := await(h, api.Runs, mergedRun(project, ref.Commit), final)
		if got := nodes(run); run.State != api.RunPassed || !slices.Equal(got, want) {
			t.Errorf("%s: the run %s with %v, %s, want %v", project, run.State, got, run.Error, want)
		}
	}
}

func TestWhatWasPushedPastTheReviewStartsNoPipeline(t *testing.T) {
	h := newHub(t, passes)
	if _, err := h.admin.Update(t.Context(), "projects/ledger", []byte(`{"protected":["main"]}`), 0); err != nil {
		t.Fatal(err)
	}
	c := h.clone()
	c.git("commit", "--quiet", "--allow-empty", "-m", "Try it")
	c.git("push", "--quiet", "origin", "HEAD:try")
	commit := c.push("a", "a\n", "-m", "Count what comes in")
	h.verified("1", 1, 1) // long after the branch was pushed
	page, err := h.admin.List(t.Context(), kit.Query{Kind: "runs", Filter: `branch == "try"`})
	if err != nil || len(page.Items) > 0 {
		t.Errorf("the branch try has %d runs, %v, want none for %s", len(page.Items), err, commit)
	}
}
