package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
