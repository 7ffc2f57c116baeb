package store

import (
	"bytes"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/store/digest"
)

func TestSumsOfTellStreamsApart(t *testing.T) {
	blue, green := newNode(t), newNode(t)
	for _, link := range []string{"notes/a", "notes/b", "notes/c"} {
		blue.must("create", link, `{}`)
	}
	propose := func(p Proposal) {
		t.Helper()
		if r := green.propose(p)[0]; r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	propose(Proposal{Import: copied(t, blue, "first", kit.Position{})})
	if d := green.SumsOf("first").Differ(blue.Sums(digest.Own)); len(d) > 0 {
		t.Errorf("%d buckets of a copy differ", len(d))
	}
	if !green.CameIn("first") || green.CameIn("none") {
		t.Error("not all documents came in the stream that they came in")
	}
	if d := green.SumsOf("none").Differ(green.Sums(digest.Own)); len(d) > 0 {
		t.Errorf("%d buckets of a stream that there is not differ from the documents' own", len(d))
	}
	green.must("update", "notes/a", `{"text":"changed"}`)
	if green.CameIn("first") {
		t.Error("a note that was changed counts as it came")
	}
	one := copied(t, blue, "second", kit.Position{})[1:2]
	one[0].Origin.Hash = [16]byte{7}
	propose(Proposal{Import: one})
	check := func(when string, s *Store) {
		t.Helper()
		want := s.Sums(digest.Own)
		b := digest.BucketOf("notes/b")
		r, err := s.Read("notes/b")
		if err != nil {
			t.Fatal(err)
		}
		want[b] = want[b].Change(digest.Hash(r), -1).Change([16]byte{7}, 1)
		if d := s.SumsOf("second").Differ(want); len(d) > 0 {
			t.Errorf("%s, %d buckets of the second stream differ", when, len(d))
		}
		if d := s.SumsOf("first").Differ(blue.Sums(digest.Own)); len(d) != 1 {
			t.Errorf("%s, %d buckets of the first stream differ, want that of the note that was changed", when, len(d))
		}
	}
	check("after changes", green.Store)
	again := newNode(t)
	if err := again.Restore(bytes.NewReader(snapshotOf(t, green))); err != nil {
		t.Fatal(err)
	}
	check("after a restart", again.Store)
}
