package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/memory"
	"landfall.dev/kit/store/storetest"
)

// textAt returns the text of notes/a as of the seq.
func textAt(n *node, seq int64) (string, error) {
	r, err := n.ReadAsOf("notes/a", kit.Position{Epoch: n.Position().Epoch, Seq: seq})
	var note Note
	if err == nil {
		err = json.Unmarshal(r.Body, &note)
	}
	return note.Text, err
}

func TestReadAsOfAnEarlierPosition(t *testing.T) {
	n := newNode(t)
	n.must("create", "orders/", "{}")
	for i := range 5 {
		n.must([]kit.Verb{"create", "update"}[min(i, 1)], "notes/a", fmt.Sprintf(`{"text":"%d"}`, i+2))
	}
	n.must("delete", "notes/a", "")
	n.must("create", "notes/a", `{"text":"8"}`)
	check := func(n *node, when string, want string) {
		t.Helper()
		var got []string
		for seq := range int64(9) {
			text, err := textAt(n, seq)
			switch {
			case errors.Is(err, kit.ErrGone):
				text = "gone"
			case errors.Is(err, kit.ErrNotFound):
				text = "-"
			case err != nil:
				t.Fatal(err)
			}
			got = append(got, text)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %s, want %s", when, strings.Join(got, " "), want)
		}
	}
	check(n, "at once", "- - 2 3 4 5 6 - 8")
	again := newNode(t)
	if err := again.Restore(bytes.NewReader(snapshotOf(t, n))); err != nil {
		t.Fatal(err)
	}
	check(again, "restored, with two earlier versions", "gone gone gone gone gone gone 6 - 8")
	jumped := newNode(t)
	for _, entry := range n.log {
		if err := jumped.Apply(entry); err != nil {
			t.Fatal(err)
		}
	}
	jumped.now = n.now.Add(3 * time.Hour)
	jumped.must("create", "orders/", "{}")
	check(jumped, "after a leader's clock has jumped", "- - 2 3 4 5 6 - 8")
	n.pass(memory.HistoryAge + 2*time.Second)
	n.must("create", "orders/", "{}")
	check(n, "later", "gone gone gone gone gone gone 6 - 8")
	again.pass(memory.HistoryAge + 2*time.Second)
	again.must("create", "orders/", "{}")
	if !bytes.Equal(snapshotOf(t, again), snapshotOf(t, n)) {
		t.Error("the snapshots of equal states differ")
	}
	at := n.Position()
	at.Seq += 5
	_, err := n.ReadAsOf("notes/a", at)
	storetest.WantError(t, "a position ahead", err, kit.ErrUnavailable, "not been reached")
	_, err = n.ReadAsOf("notes/a", kit.Position{Epoch: at.Epoch - 1, Seq: 3})
	storetest.WantError(t, "a position of another epoch", err, kit.ErrGone, "backup")
	_, err = n.ReadAsOf("ghosts/a", n.Position())
	storetest.WantError(t, "an unknown kind", err, kit.ErrNotFound, "ghosts")
	_, err = n.frozen().AsOf(kit.Position{Epoch: at.Epoch, Seq: 1})
	storetest.WantError(t, "a view of too long ago", err, kit.ErrGone, "list again")
}

func TestReadAsOfFindsEachOfManyVersions(t *testing.T) {
	n := newNode(t)
	random := rand.New(rand.NewPCG(1, 1))
	links := [...]string{"orders/1", "orders/2", "secrets/a", "notes/a", "notes/z"}
	var bodies [len(links)]string
	for i, l := range links {
		bodies[i] = string(n.must("create", l, "{}").Body)
	}
	first := n.Position()
	at := [][len(links)]string{bodies} // from first on
	for i := range 2000 {
		which := min(random.IntN(50), len(links)-1) // one changes much more often
		if i > 1000 {
			which = len(links) - 1 - which
		}
		bodies[which] = string(n.must("update", links[which], fmt.Sprintf(`{"title":"%d","text":"%d"}`, i, i)).Body)
		at = append(at, bodies)
	}
	for range 3000 {
		back, which := random.IntN(len(at)), random.IntN(len(links))
		p := first
		p.Seq += int64(back)
		if r, err := n.ReadAsOf(kit.Link(links[which]), p); err != nil || string(r.Body) != at[back][which] {
			t.Fatalf("%s as of %s: got %s, error %v, want %s", links[which], p, r.Body, err, at[back][which])
		}
	}
}

func TestVersionsAreKeptBeyondTheHistory(t *testing.T) {
	n := newNode(t)
	write := func(from, to int) {
		for i := from; i <= to; i++ {
			for _, link := range []string{"notes/a", "notes/7", "notes/z"} {
				n.must([]kit.Verb{"create", "update"}[min(i-1, 1)], link, fmt.Sprintf(`{"text":"%d"}`, i))
			}
		}
		checkEngine(t, n.engine)
	}
	// earlier returns the earlier versions of all that are in a snapshot.
	earlier := func() (versions string) {
		r := frame.NewBytesReader(snapshotOf(t, n))
		_, err := r.Read()
		if err == nil {
			err = r.Pieces(func(p frame.Piece) error {
				if p.Type == frame.TypePast {
					versions += fmt.Sprintf(" %s.%d", kit.Link(p.Link).ID(), p.Version)
				}
				return nil
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		return versions
	}
	for _, step := range []struct {
		from, to int
		want     string
	}{
		{1, 2, " 7.1 a.1 z.1"},
		{3, 4, " 7.2 7.3 a.2 a.3 z.2 z.3"},
		{5, 5, " 7.3 7.4 a.3 a.4 z.3 z.4"},
		{6, 9, " 7.7 7.8 a.7 a.8 z.7 z.8"},
	} {
		write(step.from, step.to)
		if got := earlier(); got != step.want {
			t.Errorf("after version %d: got%s, want%s", step.to, got, step.want)
		}
		n.pass(memory.HistoryAge + 2*time.Second)
		n.must("create", "orders/", "{}")
		checkEngine(t, n.engine)
		if got := earlier(); got != step.want {
			t.Errorf("later after version %d: got%s, want%s", step.to, got, step.want)
		}
		if u := n.engine.Usage(); u.Versions > 3 {
			t.Errorf("after version %d: %d versions are recent", step.to, u.Versions)
		}
	}
}

func TestHistoryIsBoundedInBytes(t *testing.T) {
	n := newNode(t)
	text := strings.Repeat("x", kit.MaxDocument/2)
	for i := range 200 {
		n.must([]kit.Verb{"create", "update"}[min(i, 1)], "notes/a", fmt.Sprintf(`{"text":"%d %s"}`, i, text))
	}
	if u := n.engine.Usage(); u.History > 64<<20 || u.Versions < 100 || u.Versions > 198 {
		t.Errorf("the history has %d versions, %d bytes", u.Versions, u.History)
	}
	checkEngine(t, n.engine)
}

func TestStreamsOfTheFirstFormAreTakenUp(t *testing.T) {
	n := newNode(t)
	n.must("create", "notes/a", `{"text":"x"}`)
	n.must("create", "orders/", `{"amount":3}`)
	n.must("pay", "orders/1", "")
	n.must("delete", "notes/a", "")
	want := snapshotOf(t, n)

	// What the first binaries wrote: documents of type 2, and no history.
	older := func(stream []byte) []byte {
		r := frame.NewBytesReader(stream)
		var b bytes.Buffer
		w := frame.NewWriter(&b)
		head, err := r.Read()
		if err == nil {
			err = w.Write(head)
		}
		if err != nil {
			t.Fatal(err)
		}
		err = r.Pieces(func(p frame.Piece) error {
			if p.Type == frame.TypePast {
				return nil
			}
			return w.Write(frame.Frame{Record: p.Record(kit.Link(p.Link).Kind()), Origin: p.Origin()})
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	replayed, restored := newNode(t), newNode(t)
	for _, entry := range n.log {
		if err := replayed.Apply(older(entry)); err != nil {
			t.Fatal(err)
		}
	}
	if err := restored.Restore(bytes.NewReader(older(want[:len(want):len(want)]))); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(snapshotOf(t, replayed), want) {
		t.Error("entries of the first form make another state")
	}
	r, err := restored.Read("orders/1")
	if err != nil || len(r.Pending) != 2 || restored.find("notes/a") == nil {
		t.Errorf("restored from the first form: %+v, error %v", r, err)
	}
	checkEngine(t, restored.engine)
}
