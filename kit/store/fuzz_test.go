package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/memory"
)

// fuzzed returns a store with a few documents.
func fuzzed(f testing.TB) *node {
	n := newNode(f).tiny(512, 100)
	n.must("create", "notes/a", `{"text":"x"}`)
	n.must("create", "orders/", `{"amount":3}`)
	n.must("pay", "orders/1", "")
	for i := range 4 {
		n.must("update", "notes/a", fmt.Sprintf(`{"text":"%d"}`, i))
	}
	n.propose(withKey("k", write("create", "notes/b", `{"text":"x","expires":"2030-01-01T00:00:00Z"}`)))
	n.must("delete", "notes/b", "")
	n.propose(Proposal{Cursor: &Cursor{Name: "c", Position: "1.2"}}, withKey("l", write("create", "notes/c", `{}`)))
	return n
}

// framed returns a stream with right checksums, which a fuzzer would not find.
func framed(head []byte, payloads ...[]byte) []byte {
	var b bytes.Buffer
	w := frame.NewWriter(&b)
	_ = w.Write(frame.Frame{Head: head})
	for _, p := range payloads {
		if len(p) > 0 {
			_ = w.WriteRaw(p[0], p[1:])
		}
	}
	_ = w.Close()
	return b.Bytes()
}

// piecesOf returns the payloads of the frames after the head.
func piecesOf(f *testing.F, stream []byte, of string) (payloads [][]byte) {
	r := frame.NewBytesReader(stream)
	if _, err := readHead(r, of); err != nil {
		f.Fatal(err)
	}
	err := r.Pieces(func(p frame.Piece) error {
		payloads = append(payloads, append([]byte{p.Type}, p.Raw...))
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	return payloads
}

// FuzzApply checks that no entry makes a store panic, that a refused one
// changes nothing, and that one that is taken leaves it in order.
func FuzzApply(f *testing.F) {
	source := fuzzed(f)
	for _, entry := range source.log {
		f.Add(entry, []byte{}, false)
		for _, p := range piecesOf(f, entry, ofEntry) {
			f.Add(p, p[:1], true)
		}
	}
	before := snapshotOf(f, source)
	head, _ := json.Marshal(wireHead{Of: ofEntry, Entries: source.head.entries + 1, Epoch: 1, Seq: 1000, Collected: []kit.Link{"notes/b", "notes/c"}})
	f.Fuzz(func(t *testing.T, one, two []byte, frames bool) {
		n := newNode(t).tiny(512, 100)
		if err := n.Restore(bytes.NewReader(before)); err != nil {
			t.Fatal(err)
		}
		was := snapshotOf(t, n)
		in := one
		if frames {
			in = framed(head, one, two)
		}
		if err := n.Apply(in); err != nil {
			if !errors.Is(err, kit.ErrInvalid) && !errors.Is(err, kit.ErrConflict) {
				t.Fatalf("error %v", err)
			}
			if !bytes.Equal(snapshotOf(t, n), was) {
				t.Fatal("a refused entry changed something")
			}
		}
		checkEngine(t, n.engine)
	})
}

// FuzzRestore is FuzzApply for snapshots.
func FuzzRestore(f *testing.F) {
	n := fuzzed(f)
	good := snapshotOf(f, n)
	f.Add(good, []byte{}, false)
	head, _ := json.Marshal(wireHead{Of: ofSnapshot, Entries: 1, Epoch: 1, Seq: 1000})
	for _, p := range piecesOf(f, good, ofSnapshot) {
		f.Add(p, p, true)
	}
	f.Fuzz(func(t *testing.T, one, two []byte, frames bool) {
		in := one
		if frames {
			in = framed(head, one, two)
		}
		n := newNode(t).tiny(512, 100)
		if err := n.Restore(bytes.NewReader(in)); err != nil {
			if !errors.Is(err, kit.ErrInvalid) {
				t.Fatalf("error %v", err)
			}
			if n.Position() != (kit.Position{}) {
				t.Fatal("a refused snapshot changed something")
			}
			return
		}
		checkEngine(t, n.engine)
		var again bytes.Buffer
		if _, err := n.Snapshot().WriteTo(&again); err != nil {
			t.Fatal(err)
		}
		m := newNode(t).tiny(1024, memory.StepBytes)
		if err := m.Restore(&again); err != nil {
			t.Fatalf("its own snapshot: %v", err)
		}
	})
}
