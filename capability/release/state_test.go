package release

import (
	"errors"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

const (
	image  = "ledger@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	commit = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

// refusal returns the fault that ops refuse an event with, or 0.
func refusal(ops []kit.Op) kit.Fault {
	if len(ops) == 1 && ops[0].Do == kit.OpRefuse {
		return ops[0].Fault
	}
	return 0
}

func TestAReleaseIsMadeOfExactThings(t *testing.T) {
	good := func() api.Release {
		return api.Release{Meta: kit.Meta{Link: "releases/ledger-2.0.0"}, Project: "ledger", Version: "2.0.0", Image: image, Commit: commit}
	}
	for _, test := range []struct {
		name   string
		change func(*api.Release)
	}{
		{"an id of another version", func(r *api.Release) { r.Link = "releases/ledger-2.0.1" }},
		{"no project", func(r *api.Release) { r.Project, r.Link = "", "releases/-2.0.0" }},
		{"a version with v", func(r *api.Release) { r.Version, r.Link = "v2.0.0", "releases/ledger-v2.0.0" }},
		{"a short version", func(r *api.Release) { r.Version, r.Link = "2.0", "releases/ledger-2.0" }},
		{"a tag", func(r *api.Release) { r.Image = "ledger:latest" }},
		{"no image", func(r *api.Release) { r.Image = "" }},
		{"a branch", func(r *api.Release) { r.Commit = "main" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := good()
			test.change(&r)
			if _, ops := nextRelease(r, kit.Event{Name: "created"}, time.Now()); refusal(ops) != kit.ErrInvalid {
				t.Errorf("a release with %s: %v, want it refused", test.name, ops)
			}
		})
	}
	forged := good()
	forged.State, forged.Notes, forged.Target = api.ReleaseSigned, "mine", "releases/ledger/1.0.0"
	r, ops := nextRelease(forged, kit.Event{Name: "created"}, time.Now())
	if r.State != api.ReleaseDraft || r.Notes != "" || r.Target != "" || len(ops) != 1 || ops[0].Do != "notes" {
		t.Errorf("created %+v, %v, want a draft whose notes are made", r, ops)
	}
}

func TestAReleaseIsSignedOnceAndNeverChanged(t *testing.T) {
	unsigned := api.Release{State: api.ReleaseUnsigned, Target: "releases/ledger/2.0.0"}
	signed := kit.Event{Name: "signed", Data: []byte(`{"target":"releases/ledger/2.0.0"}`)}
	r, ops := nextRelease(unsigned, signed, time.Now())
	if r.State != api.ReleaseSigned || len(ops) > 0 {
		t.Errorf("signed: %s, %v, want it signed", r.State, ops)
	}
	if _, ops := nextRelease(r, signed, time.Now()); refusal(ops) != kit.ErrConflict {
		t.Errorf("signed twice: %v, want a conflict", ops)
	}
	if _, ops := nextRelease(unsigned, kit.Event{Name: "signed", Data: []byte(`{"target":"releases/ledger/1.0.0"}`)}, time.Now()); refusal(ops) != kit.ErrConflict {
		t.Errorf("signed with another target: %v, want a conflict", ops)
	}
	if _, ops := nextRelease(r, kit.Event{Name: "updated"}, time.Now()); refusal(ops) != kit.ErrConflict {
		t.Errorf("updated: %v, want a conflict", ops)
	}
}

func TestAChannelKeepsItsHistory(t *testing.T) {
	now := time.Now()
	c := api.Channel{Meta: kit.Meta{Link: "channels/ledger-stable"}, Project: "ledger", Name: "stable", Release: "releases/ledger-1.0.0"}
	c, ops := nextChannel(c, kit.Event{Name: "created"}, now)
	if c.Release != "" || refusal(ops) != 0 {
		t.Errorf("created with %q, %v, want a channel that offers nothing", c.Release, ops)
	}
	c, ops = nextChannel(c, kit.Event{Name: "promote", By: "users/ada", Data: []byte(`{"release":"releases/ledger-2.0.0","comment":"go"}`)}, now)
	if c.Release != "" || len(ops) != 1 || ops[0].Do != "publish" {
		t.Fatalf("promoted: %+v, %v, want it published first", c, ops)
	}
	failed, _ := nextChannel(c, kit.Event{Name: "publish.failed", Data: []byte(`{"error":"not signed"}`)}, now)
	if failed.Error != "not signed" || failed.Release != "" {
		t.Errorf("publishing failed: %+v, want the error and no release", failed)
	}
	c, _ = nextChannel(failed, kit.Event{Name: "publish.done", Data: ops[0].Data}, now)
	want := api.Offered{Release: "releases/ledger-2.0.0", At: now, By: "users/ada", Comment: "go"}
	if c.Release != want.Release || len(c.History) != 1 || c.History[0] != want || c.Error != "" {
		t.Errorf("published: %+v, want %+v", c, want)
	}
}

func TestWhatAChannelOffersCannotBeWritten(t *testing.T) {
	for _, patch := range []string{`{"release":"releases/ledger-2.0.0"}`, `{"history":[]}`, `{"project":"till"}`, `{"entitled":["groups/acme"]}`} {
		if _, ops := nextChannel(api.Channel{}, kit.Event{Name: "updated", Data: []byte(patch)}, time.Now()); refusal(ops) != kit.ErrConflict {
			t.Errorf("updated with %s: %v, want a conflict", patch, ops)
		}
	}
	c := api.Channel{Meta: kit.Meta{Link: "channels/ledger-stable"}, Project: "ledger", Name: "stable"}
	restricted := kit.Event{Name: "created", Data: []byte(`{"project":"ledger","name":"stable","entitled":["accounts/acme"]}`)}
	if _, ops := nextChannel(c, restricted, time.Now()); refusal(ops) != kit.ErrInvalid {
		t.Errorf("made a channel for some, which all can follow: %v, want it refused", ops)
	}
	if _, ops := nextChannel(api.Channel{}, kit.Event{Name: "promote", Data: []byte(`{"release":"builds/1"}`)}, time.Now()); refusal(ops) != kit.ErrInvalid {
		t.Errorf("promoted a build: %v, want it refused", ops)
	}
}

func TestNotesAreGroupedByType(t *testing.T) {
	c := func(message string) api.Commit {
		subject, _, _ := strings.Cut(message, "\n")
		return api.Commit{SHA: strings.Repeat("a", 40), Subject: subject, Message: message}
	}
	r := api.Release{Project: "ledger", Version: "2.0.0"}
	for _, test := range []struct {
		name    string
		before  string
		commits []api.Commit
		want    string
	}{
		{"plain subjects make a plain list", "", []api.Commit{c("Count twice"), c("Start")},
			"## ledger 2.0.0\n\n- Count twice (aaaaaaaaaaaa)\n- Start (aaaaaaaaaaaa)\n"},
		{"types make sections", "1.0.0", []api.Commit{c("feat(api): add sums"), c("fix: round"), c("perf: cache"), c("chore: tidy"), c("feat!: drop v1"), c("refactor(db)!: move")},
			"## ledger 2.0.0\n\nChanges since 1.0.0.\n" +
				"\n### Breaking changes\n\n- drop v1 (aaaaaaaaaaaa)\n- move (aaaaaaaaaaaa)\n" +
				"\n### Features\n\n- add sums (aaaaaaaaaaaa)\n\n### Fixes\n\n- round (aaaaaaaaaaaa)\n" +
				"\n### Performance\n\n- cache (aaaaaaaaaaaa)\n\n### Other changes\n\n- chore: tidy (aaaaaaaaaaaa)\n"},
		{"a footer says what breaks", "", []api.Commit{c("feat: new keys\n\nBody.\n\nBREAKING CHANGE: old keys\n end\nChange-Id: I1")},
			"## ledger 2.0.0\n\n### Breaking changes\n\n- old keys end (aaaaaaaaaaaa)\n"},
		{"a footer takes the place of the subject", "", []api.Commit{c("fix: x\n\nRelease-Notes: Sums are right"), c("Tidy\n\nRelease-Notes: skip"), c("Release-Notes: in a subject")},
			"## ledger 2.0.0\n\n### Fixes\n\n- Sums are right (aaaaaaaaaaaa)\n\n### Other changes\n\n- Release-Notes: in a subject (aaaaaaaaaaaa)\n"},
		{"nothing to say", "1.9.0", nil, "## ledger 2.0.0\n\nChanges since 1.9.0.\n\nNo changes worth a note.\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := markdown(r, api.Release{Version: test.before}, test.commits); got != test.want {
				t.Errorf("notes are\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestNotesHaveALimit(t *testing.T) {
	commits := make([]api.Commit, 10000)
	for i := range commits {
		commits[i] = api.Commit{SHA: commit, Subject: "Change something small somewhere"}
	}
	got := markdown(api.Release{}, api.Release{}, commits)
	if len(got) > maxNotes+100 || !strings.HasSuffix(got, "more\n") {
		t.Errorf("notes have %d bytes and end with %q, want at most %d and how many are left out", len(got), got[len(got)-20:], maxNotes)
	}
}

func TestErrorsOfTheLifeAreKitErrors(t *testing.T) {
	o := kit.Own(api.Releases, nextRelease)
	_, _, err := o.Step(kit.Record{Meta: kit.Meta{Link: "releases/x"}, Body: []byte("{}")}, kit.Event{Name: "updated"}, time.Now())
	if !errors.Is(err, kit.ErrConflict) {
		t.Errorf("updated a release: %v, want a conflict", err)
	}
}
