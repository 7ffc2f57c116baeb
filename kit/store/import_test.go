package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/store/digest"
	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/storetest"
)

// series returns n imports in the order of their positions, the last of which is
// of the first one's document.
func series(n int) []Imported {
	in := make([]Imported, n)
	for i := range in {
		in[i].Record = kit.Record{
			Meta: kit.Meta{Link: kit.NewLink("notes", fmt.Sprint("n", i)), Kind: "notes", Schema: 1, Version: 1, Created: start, Updated: start},
			Body: json.RawMessage(fmt.Sprintf(`{"text":"%d"}`, i)),
		}
		in[i].Origin = frame.Origin{Stream: "up", Seq: int64(10 + i), Hash: [16]byte{byte(i), 1}}
	}
	in[n-1].Record.Link = in[0].Record.Link
	in[n-1].Record.Version = 2
	return in
}

func TestImportsComeToTheSameHoweverTheyCome(t *testing.T) {
	const n = 2 * fewImports
	one, together, prepared := newNode(t), newNode(t), newNode(t)
	for _, i := range series(n) {
		one.propose(Proposal{Import: []Imported{i}})
	}
	together.propose(Proposal{Import: series(n)})
	ahead := series(n)
	prepared.kinds.Prepare(ahead)
	// The proposal after it sees what it has imported, and a repetition finds
	// nothing to do.
	update := Proposal{Writes: []kit.Write{{Verb: kit.VerbUpdate, Link: "notes/n0", Body: json.RawMessage(`{"text":"after"}`)}}, By: "users/ada"}
	results := prepared.propose(Proposal{Import: ahead}, update, Proposal{Import: ahead})
	if len(results[0].Records) != n || results[1].Err != nil || results[1].Records[0].Version != 3 || len(results[2].Records) != 0 {
		t.Errorf("%d documents, then %+v, then %d documents; want %d, version 3, and none", len(results[0].Records), results[1], len(results[2].Records), n)
	}
	together.propose(update)
	one.propose(update)
	for name, other := range map[string]*node{"together": together, "prepared": prepared} {
		for _, side := range []digest.Side{digest.Own, digest.Origin} {
			if d := one.Sums(side).Differ(other.Sums(side)); d != nil {
				t.Errorf("%s: the sums of side %d differ in %v", name, side, d)
			}
		}
		for i := range n - 1 {
			link := kit.NewLink("notes", fmt.Sprint("n", i))
			want, _ := one.Find(link)
			got, ok := other.Find(link)
			if !ok || got.Origin != want.Origin || !bytes.Equal(got.Record.Body, want.Record.Body) || got.Record.Version != want.Record.Version || got.Record.Seq != want.Record.Seq {
				t.Fatalf("%s: %s is %+v, want %+v", name, link, got, want)
			}
		}
	}
	again := newNode(t)
	for _, entry := range prepared.log {
		if err := again.Apply(entry); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(snapshotOf(t, again), snapshotOf(t, prepared)) {
		t.Error("a node that follows differs")
	}
}

func TestARefusedSeriesLeavesNothingBehind(t *testing.T) {
	n := newNode(t)
	in := series(2 * fewImports)
	in[150].Record.Body = json.RawMessage(`{"text":7}`)
	n.kinds.Prepare(in)
	create := Proposal{Writes: []kit.Write{{Verb: kit.VerbCreate, Link: "notes/n3", Body: json.RawMessage(`{}`)}}, By: "users/ada"}
	results := n.propose(Proposal{Import: in}, create, Proposal{Import: in[:150]})
	storetest.WantError(t, "a series with a document that does not fit", results[0].Err, kit.ErrInvalid, "notes/n150")
	if results[1].Err != nil || len(results[2].Records) != 150 || n.Count("notes") != 150 {
		t.Errorf("then %v, and %d documents, of which there are %d; want no error and 150", results[1].Err, len(results[2].Records), n.Count("notes"))
	}
	if r, _ := n.Read("notes/n3"); string(r.Body) != `{"text":"3"}` {
		t.Errorf("notes/n3 is %s", r.Body)
	}
}
