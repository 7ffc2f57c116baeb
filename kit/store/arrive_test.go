package store

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
)

// watched is what somebody knows who watches the notes: their versions.
type watched map[kit.Link]int64

// arrive follows n from the position, of whichever cluster, to its end, a few
// changes at a time, and returns how many it was told.
func (w watched) arrive(t *testing.T, n *node, from kit.Position) (told int) {
	t.Helper()
	a, err := n.Arrive("notes", from)
	if err != nil {
		t.Fatal(err)
	}
	for at, more := a.At, true; more; {
		var docs []frame.Frame
		if docs, more, err = n.Frames("notes", at, 7); err != nil {
			t.Fatalf("from %s, which is %s here: %v", from, at, err)
		}
		for _, f := range docs {
			at = kit.Position{Epoch: n.Position().Epoch, Seq: f.Record.Seq}
			if a.Knows(f) {
				continue
			}
			told++
			if v := f.Record.Version; v < w[f.Record.Link] {
				t.Fatalf("%s was known in version %d and is told in %d", f.Record.Link, w[f.Record.Link], v)
			}
			w[f.Record.Link] = f.Record.Version
			if f.Record.Deleted {
				delete(w, f.Record.Link)
			}
		}
	}
	return told
}

// knowing returns what one knows who has watched n up to the seq, given what the
// notes were at each.
func knowing(states []watched, p kit.Position) watched {
	w := watched{}
	for l, v := range states[p.Seq] {
		w[l] = v
	}
	return w
}

// churn writes notes at random and notes what there is after each change.
func churn(n *node, r *rand.Rand, states []watched, changes int) []watched {
	for range changes {
		link := kit.NewLink("notes", fmt.Sprint(r.IntN(60)))
		verb, body := kit.VerbCreate, `{"text":"x"}`
		if old, err := n.Read(link); err == nil {
			verb, body = kit.VerbUpdate, fmt.Sprintf(`{"text":"%d"}`, old.Version)
			if r.IntN(3) == 0 {
				verb, body = kit.VerbDelete, ""
			}
		}
		n.must(verb, string(link), body)
		if states = append(states, n.notes()); int64(len(states)) != n.Position().Seq+1 {
			n.t.Fatalf("after %d changes the position is %s", len(states)-1, n.Position())
		}
	}
	return states
}

// notes returns all there are.
func (n *node) notes() watched {
	w := watched{}
	frames, _ := n.Snapshot().Frames(kit.Position{}, kit.Position{})
	for f := range frames {
		if f.Record.Kind == "notes" && !f.Record.Deleted {
			w[f.Record.Link] = f.Record.Version
		}
	}
	return w
}

func TestWatchGoesOnAtTheClusterThatTookOver(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 1))
		blue := newNode(t)
		states := churn(blue, r, []watched{{}}, 300)
		green := newNode(t)
		green.now = green.now.Add(time.Minute)
		var cursor kit.Position
		since := Source{Stream: "up"}
		pull := func() {
			since.Epoch = blue.Position().Epoch
			in := copied(t, blue, "up", cursor)
			cursor = blue.Position()
			for len(in) > 0 {
				some := min(len(in), 1+r.IntN(50))
				green.propose(Proposal{Import: in[:some], Cursor: &Cursor{Name: "up", Position: "1.1", Source: &since}})
				in = in[some:]
			}
		}
		for range 4 {
			pull()
			if _, err := green.Arrive("notes", cursor); err != nil { // so that the trail is laid in parts
				t.Fatal(err)
			}
			states = churn(blue, r, states, 20)
		}
		pull()
		for seq := range int64(len(states)) {
			p := kit.Position{Epoch: since.Epoch, Seq: seq}
			w := knowing(states, p)
			w.arrive(t, green, p)
			if fmt.Sprint(w) != fmt.Sprint(blue.notes()) {
				t.Fatalf("seed %d: who has seen %s has %v, want %v", seed, p, w, blue.notes())
			}
		}
		if told := knowing(states, cursor).arrive(t, green, cursor); told != 0 {
			t.Errorf("seed %d: who has seen everything is told %d documents", seed, told)
		}
		churn(green, r, make([]watched, green.Position().Seq+1), 40)
		for seq := range int64(len(states)) {
			p := kit.Position{Epoch: since.Epoch, Seq: seq}
			w := knowing(states, p)
			w.arrive(t, green, p)
			if fmt.Sprint(w) != fmt.Sprint(green.notes()) {
				t.Fatalf("seed %d: after the upgrade who has seen %s has %v, want %v", seed, p, w, green.notes())
			}
		}
	}
}

func TestWatchOfAnUnknownClusterIsGone(t *testing.T) {
	blue, green := newNode(t), newNode(t)
	green.now = green.now.Add(time.Minute)
	for i := range 3 {
		blue.must("create", fmt.Sprintf("notes/%d", i), `{}`)
	}
	from := &Source{Epoch: blue.Position().Epoch, Stream: "up", Since: 2}
	green.propose(Proposal{Import: copied(t, blue, "up", kit.Position{}), Cursor: &Cursor{Name: "up", Position: "1.3", Source: from}})
	for _, c := range []struct {
		name string
		at   kit.Position
		gone bool
	}{
		{"the last position", blue.Position(), false},
		{"the first with all deletions", kit.Position{Epoch: from.Epoch, Seq: 2}, false},
		{"one with forgotten deletions", kit.Position{Epoch: from.Epoch, Seq: 1}, true},
		{"one of another cluster", kit.Position{Epoch: from.Epoch + 1, Seq: 3}, true},
	} {
		a, err := green.Arrive("notes", c.at)
		if err == nil {
			_, _, err = green.Frames("notes", a.At, 10)
		}
		if gone := kit.FaultOf(err) == kit.ErrGone; gone != c.gone {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
