package kittest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
)

// Errand is a document that has another one made, and waits for an action.
type Errand struct {
	kit.Meta
	State string `json:"state"`
	Tries int    `json:"tries,omitempty"`
	Notes int    `json:"notes,omitempty"` // made for it
}

var errands = kit.Define[Errand]("errands", kit.Counted())

// The life of an errand: sent → done, or after three failures given up.
func nextErrand(e Errand, ev kit.Event, now time.Time) (Errand, []kit.Op) {
	switch ev.Name {
	case "created":
		e.State = "sent"
		return e, []kit.Op{
			kit.Call("run", "1", nil),
			kit.Create(Notes, "of-"+e.Link.ID(), Note{Text: "made for an errand"}),
			kit.SendAt(now.Add(time.Second), e.Link, "remind", nil),
		}
	case "run.done":
		e.State = "done"
	case "run.failed":
		if e.Tries++; e.Tries == 3 {
			e.State = "given up"
			return e, nil
		}
		return e, []kit.Op{kit.Call("run", fmt.Sprint(e.Tries+1), nil)}
	}
	return e, nil
}

// script plays notes and errands.
func script() Script {
	return Script{
		Services: []kit.Service{NotesService(), {Name: "errands", Owns: []kit.Owned{kit.Own(errands, nextErrand)}}},
		Next:     nextProposal,
		Outcome: func(r *rand.Rand, _ kit.Record, _ kit.Op) (string, []byte) {
			if r.IntN(2) == 0 {
				return "run.failed", []byte(`{"error":"by chance"}`)
			}
			return "run.done", nil
		},
		Holds: func(see *store.Store) error {
			changes, _, err := see.Since("errands", kit.Position{}, 1000)
			for _, c := range changes {
				var e Errand
				if err := json.Unmarshal(c.Record.Body, &e); err != nil && !c.Record.Deleted {
					return err
				}
				if e.Tries > 3 || e.State == "given up" && e.Tries != 3 {
					return fmt.Errorf("%s is %s after %d tries", c.Record.Link, e.State, e.Tries)
				}
			}
			return err
		},
	}
}

// nextProposal writes to few notes, so that clients meet, and to errands.
func nextProposal(r *rand.Rand, see *store.Store) store.Proposal {
	p := store.Proposal{By: "users/ada"}
	switch r.IntN(60) {
	case 0:
		epoch, on := see.Fenced()
		return store.Proposal{Fence: &store.Fence{Epoch: epoch + int64(r.IntN(2)), On: !on}}
	case 1:
		return store.Proposal{NewEpoch: true}
	case 2, 3:
		return store.Proposal{Cursor: &store.Cursor{Name: "script", Position: fmt.Sprint(r.IntN(3))}}
	case 4, 5, 6:
		p.Writes = []kit.Write{{Verb: kit.VerbCreate, Link: "errands/", Body: json.RawMessage(`{}`)}}
		return p
	}
	for range 1 + r.IntN(3) {
		w := kit.Write{Link: kit.NewLink("notes", fmt.Sprint(r.IntN(12))), Verb: kit.VerbUpdate}
		switch r.IntN(8) {
		case 0, 1:
			w.Verb = kit.VerbCreate
		case 2:
			w.Verb = kit.VerbDelete
		case 3:
			w.Verb = "star"
		case 4:
			w.Link, w.Verb = "notes/", kit.VerbCreate
			if r.IntN(4) > 0 {
				w.Link, w.Verb = "notes/0", "seal"
			}
		}
		if w.Verb == kit.VerbCreate || w.Verb == kit.VerbUpdate {
			w.Body = fmt.Appendf(nil, `{"text":"%d","stars":%d}`, r.IntN(1000), r.IntN(5))
			if r.IntN(10) == 0 {
				at := time.Date(2026, 1, 31, 12, 0, r.IntN(20), 0, time.UTC)
				w.Body = fmt.Appendf(nil, `{"text":"will expire","expires":%q}`, at.Format(time.RFC3339))
			}
		}
		if now, err := see.Read(w.Link); err == nil && r.IntN(2) == 0 && w.Verb != kit.VerbCreate {
			w.IfMatch = now.Version
		}
		p.Writes = append(p.Writes, w)
	}
	return p
}

func TestSimulatedClusterKeepsWhatItPromises(t *testing.T) { Simulate(t, 200, script()) }

func TestSimulatedWriteWithKeyHappensOnce(t *testing.T) {
	s := script()
	s.Steady = true
	s.Next = func(r *rand.Rand, see *store.Store) store.Proposal {
		if r.IntN(2) == 0 {
			return nextProposal(r, see)
		}
		key := fmt.Sprintf("once-%d", r.IntN(10)) // others have used it, or will
		body := fmt.Appendf(nil, `{"text":%q}`, key)
		return store.Proposal{By: "users/ada", Key: key, Writes: []kit.Write{{Verb: kit.VerbCreate, Link: "errands/", Body: body}}}
	}
	s.Holds = func(see *store.Store) error {
		seen := map[string]kit.Link{}
		changes, _, err := see.Since("errands", kit.Position{}, 10_000)
		for _, c := range changes {
			var e struct{ Text string }
			if json.Unmarshal(c.Record.Body, &e) != nil || e.Text == "" {
				continue
			}
			if other, ok := seen[e.Text]; ok {
				return fmt.Errorf("%s and %s were both made by the key %s", other, c.Record.Link, e.Text)
			}
			seen[e.Text] = c.Record.Link
		}
		return err
	}
	Simulate(t, 100, s)
	s.Next = func(r *rand.Rand, see *store.Store) store.Proposal {
		body := fmt.Appendf(nil, `{"text":"once-%d"}`, r.IntN(10))
		return store.Proposal{By: "users/ada", Writes: []kit.Write{{Verb: kit.VerbCreate, Link: "errands/", Body: body}}}
	}
	if _, err := firstFailure(1, s); err == nil {
		t.Error("without keys nothing happened twice: the check is blind")
	}
}

func TestSimulationReplays(t *testing.T) {
	first := traceOf(t, 7, script())
	if again := traceOf(t, 7, script()); string(first) != string(again) || len(first) < 1000 {
		t.Errorf("the same seed gave two schedules, of %d and %d bytes", len(first), len(again))
	}
	if other := traceOf(t, 8, script()); string(first) == string(other) {
		t.Error("two seeds gave the same schedule")
	}
}

func TestSimulationFindsMistakes(t *testing.T) {
	for _, test := range []struct {
		name string
		flaw flaw
		want string
	}{
		{"writes that are acknowledged early", ackEarly, "was acknowledged"},
		{"a node that leaves an entry out", skipEntry, "entry"},
		{"a disk that forgets", lazyRestart, "entry"}, // committed twice, or never sent again
		{"a watch that skips", deafWatch, "a watch"},
	} {
		s := script()
		s.flaw = test.flaw
		_, err := firstFailure(100, s)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: 100 schedules found %v", test.name, err)
		}
	}
	s := script()
	s.Holds = func(see *store.Store) error {
		if see.Count("errands") > 3 {
			return fmt.Errorf("there are too many errands")
		}
		return nil
	}
	if _, err := firstFailure(1, s); err == nil || !strings.Contains(err.Error(), "too many errands") {
		t.Errorf("what does not hold was not found: %v", err)
	}
}
