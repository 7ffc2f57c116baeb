package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/digest"
	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/memory"
	"landfall.dev/kit/store/storetest"
)

// copied returns all of from's documents as imports of the stream.
func copied(t testing.TB, from *node, stream string, after kit.Position) []Imported {
	t.Helper()
	frames, _, err := from.Frames("", after, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	var in []Imported
	for _, f := range frames {
		if f.Record.Kind == "secrets" {
			continue
		}
		in = append(in, Imported{Record: f.Record, Origin: frame.Origin{Stream: stream, Seq: f.Record.Seq, Hash: digest.Hash(f.Record)}})
	}
	return in
}

func snapshotOf(t testing.TB, n *node) []byte {
	t.Helper()
	var b bytes.Buffer
	size, err := n.Snapshot().WriteTo(&b)
	if err != nil || size != int64(b.Len()) {
		t.Fatalf("snapshot: %d bytes of %d, error %v", size, b.Len(), err)
	}
	return b.Bytes()
}

func TestImportKeepsDocumentsAsTheyWere(t *testing.T) {
	blue, green := newNode(t), newNode(t)
	blue.must("create", "orders/", `{"amount":1,"expires":"2031-01-01T00:00:00Z","source":"notes/a"}`)
	blue.must("pay", "orders/1", "")
	blue.must("create", "secrets/s", "{}")
	blue.must("create", "orders/7", `{}`)
	blue.must("delete", "orders/7", "")
	green.must("create", "secrets/own", "{}")
	green.now = start.Add(time.Hour)
	in := copied(t, blue, "up", kit.Position{})

	raw, err := json.Marshal(Proposal{Import: in, Cursor: &Cursor{Name: "up", Position: blue.Position().String()}})
	if err != nil {
		t.Fatal(err)
	}
	var forwarded Proposal
	if err := json.Unmarshal(raw, &forwarded); err != nil {
		t.Fatal(err)
	}
	if r := green.propose(forwarded)[0]; r.Err != nil || len(r.Records) != 2 {
		t.Fatalf("import: %d records, error %v", len(r.Records), r.Err)
	}
	want, _ := blue.Read("orders/1")
	got, err := green.Read("orders/1")
	got.Seq = want.Seq
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("imported: got %+v, error %v\nwant %+v", got, err, want)
	}
	if d := blue.Sums(digest.Own).Differ(green.Sums(digest.Origin)); d != nil {
		t.Errorf("the sums of the two sides differ in %v", d)
	}
	if c, _ := green.Cursor("up"); c.Position != blue.Position().String() {
		t.Errorf("cursor: %+v", c)
	}
	entries := len(green.log)
	if r := green.propose(Proposal{Import: in})[0]; r.Err != nil || len(r.Records) != 0 || len(green.log) != entries {
		t.Errorf("import again: %d records, error %v, %d entries", len(r.Records), r.Err, len(green.log)-entries)
	}
	if got := green.must("create", "orders/", "{}").Link; got != "orders/8" {
		t.Errorf("the counter does not go on above imported ids: created %s", got)
	}
	green.now = blue.now.Add(memory.TombstoneAge + time.Minute)
	green.propose(Proposal{Tick: true})
	if green.find("orders/7") == nil {
		t.Error("an imported tombstone was collected by its age at its origin")
	}
}

func TestChangesAfterAnImport(t *testing.T) {
	blue, green := newNode(t), newNode(t)
	blue.must("create", "notes/a", `{"text":"1"}`)
	first := copied(t, blue, "up", kit.Position{})
	green.propose(Proposal{Import: first})
	blue.must("update", "notes/a", `{"text":"2"}`)
	second := copied(t, blue, "up", kit.Position{})
	green.propose(Proposal{Import: second})
	green.propose(Proposal{Import: first}) // late
	if r, _ := green.Read("notes/a"); string(r.Body) != `{"text":"2"}` || r.Version != 2 {
		t.Errorf("after a late import: version %d %s", r.Version, r.Body)
	}
	if d := blue.Sums(digest.Own).Differ(green.Sums(digest.Origin)); d != nil {
		t.Errorf("the sums differ in %v", d)
	}
	r := green.must("update", "notes/a", `{"text":"3"}`)
	if r.Version != 3 {
		t.Errorf("changed after the import: version %d, want 3", r.Version)
	}
	if frames, _, _ := green.Frames("", kit.Position{}, 10); frames[0].Origin != (frame.Origin{Stream: "up", Seq: 2}) {
		t.Errorf("origin after a change: %+v", frames[0].Origin)
	}
	if d := blue.Sums(digest.Own).Differ(green.Sums(digest.Origin)); len(d) != 1 || d[0] != digest.BucketOf("notes/a") {
		t.Errorf("the sums differ in %v, want %d", d, digest.BucketOf("notes/a"))
	}
	// Another stream counts from its own positions.
	back := Imported{Record: r, Origin: frame.Origin{Stream: "back", Seq: 1}}
	if got := green.propose(Proposal{Import: []Imported{back}})[0]; got.Err != nil || len(got.Records) != 1 {
		t.Errorf("import by another stream: %+v", got)
	}
}

func TestRefusedImports(t *testing.T) {
	n := newNode(t)
	ok := Imported{Record: kit.Record{Meta: kit.Meta{Link: "notes/a", Version: 1}, Body: []byte(`{"text":"x"}`)}, Origin: frame.Origin{Seq: 1}}
	for _, c := range []struct {
		name  string
		spoil func(*Imported)
		fault kit.Fault
		says  string
	}{
		{"no link", func(i *Imported) { i.Record.Link = "notes/" }, kit.ErrInvalid, "is no id"},
		{"unknown kind", func(i *Imported) { i.Record.Link = "ghosts/1" }, kit.ErrNotFound, "ghosts"},
		{"local kind", func(i *Imported) { i.Record.Link = "secrets/1" }, kit.ErrInvalid, "stay in their cluster"},
		{"no position", func(i *Imported) { i.Origin.Seq = 0 }, kit.ErrInvalid, "position"},
		{"no version", func(i *Imported) { i.Record.Version = 0 }, kit.ErrInvalid, "version"},
		{"no object", func(i *Imported) { i.Record.Body = []byte("7") }, kit.ErrInvalid, "JSON object"},
		{"wrong type", func(i *Imported) { i.Record.Body = []byte(`{"text":7}`) }, kit.ErrInvalid, `"text"`},
	} {
		bad := ok
		c.spoil(&bad)
		r := n.propose(Proposal{Import: []Imported{ok, bad}})[0]
		storetest.WantError(t, c.name, r.Err, c.fault, c.says)
		if n.Count("notes") != 0 {
			t.Fatalf("%s: a refused import changed something", c.name)
		}
	}
}

func TestSnapshotRoundTrip(t *testing.T) {
	a := newNode(t)
	for range 50 {
		a.must("create", "orders/", `{"amount":1}`)
	}
	a.must("pay", "orders/3", "")
	a.must("delete", "orders/50", "")
	a.must("create", "secrets/s", "{}")
	blue := newNode(t)
	blue.must("create", "notes/a", "{}")
	a.propose(Proposal{Import: copied(t, blue, "up", kit.Position{}), Cursor: &Cursor{Name: "up", Position: "1.1"}}, Proposal{Fence: &Fence{Epoch: 2}})
	before := snapshotOf(t, a)
	frozen := a.Snapshot()

	b := newNode(t)
	b.must("create", "notes/lost", "{}")
	told := b.Changed()
	if err := b.Restore(iotest.OneByteReader(bytes.NewReader(before))); err != nil {
		t.Fatal(err)
	}
	<-told
	if !bytes.Equal(snapshotOf(t, b), before) {
		t.Error("the snapshot of a restored store differs")
	}
	if a.Count("orders") != b.Count("orders") || a.Position() != b.Position() {
		t.Errorf("restored: got %d orders at %s, want %d at %s", b.Count("orders"), b.Position(), a.Count("orders"), a.Position())
	}
	for _, side := range []digest.Side{digest.Own, digest.Origin} {
		if d := a.Sums(side).Differ(b.Sums(side)); d != nil {
			t.Errorf("restored sums of side %d differ in %v", side, d)
		}
	}
	for _, n := range []*node{a, b} {
		if got := n.must("create", "orders/", "{}").Link; got != "orders/51" {
			t.Errorf("created %s, want orders/51", got)
		}
	}
	if !bytes.Equal(snapshotOf(t, b), snapshotOf(t, a)) {
		t.Error("after the same write the two differ")
	}
	var again bytes.Buffer
	if _, err := frozen.WriteTo(&again); err != nil || !bytes.Equal(again.Bytes(), before) {
		t.Errorf("a snapshot changed with its store, error %v", err)
	}
}

func TestDamagedSnapshotIsNotRestored(t *testing.T) {
	n := newNode(t)
	n.must("create", "notes/a", `{"text":"x"}`)
	good := snapshotOf(t, n)
	entry, _ := n.Decide([]Proposal{{NewEpoch: true}}, n.now)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		if err := n.Restore(bytes.NewReader(bad)); !errors.Is(err, kit.ErrInvalid) {
			t.Fatalf("a snapshot with another byte %d: got error %v, want invalid", i, err)
		}
		if err := n.Restore(bytes.NewReader(good[:i])); !errors.Is(err, kit.ErrInvalid) {
			t.Fatalf("a snapshot cut at byte %d: got error %v, want invalid", i, err)
		}
	}
	storetest.WantError(t, "an entry for a snapshot", n.Restore(bytes.NewReader(entry)), kit.ErrInvalid, "no snapshot")
	storetest.WantError(t, "something else", n.Restore(strings.NewReader("PK\x03\x04....")), kit.ErrInvalid, "not a stream of documents")
	err := n.Restore(iotest.ErrReader(io.ErrClosedPipe))
	storetest.WantError(t, "a failing reader", err, kit.ErrInternal)
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the cause is lost: %v", err)
	}
	if !bytes.Equal(snapshotOf(t, n), good) {
		t.Error("a refused restore changed something")
	}
}
