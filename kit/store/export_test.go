package store

import (
	"errors"
	"slices"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/store/memory"
)

// exported returns the links of the frames after the position.
func exported(t testing.TB, s *Snapshot, after, began kit.Position) (links []kit.Link, err error) {
	t.Helper()
	frames, err := s.Frames(after, began)
	if err != nil {
		return nil, err
	}
	for f := range frames {
		links = append(links, f.Record.Link)
	}
	return links, nil
}

func TestSnapshotFramesStayWhatTheyWere(t *testing.T) {
	n := newNode(t)
	n.must("create", "notes/a", `{}`)
	n.must("create", "notes/b", `{}`)
	n.must("delete", "notes/a", "")
	s := n.Snapshot()
	n.must("update", "notes/b", `{"text":"later"}`)
	n.must("create", "notes/c", `{}`)
	at := kit.Position{Epoch: s.Position().Epoch, Seq: 2}
	if links, err := exported(t, s, kit.Position{}, kit.Position{}); err != nil || !slices.Equal(links, []kit.Link{"notes/b", "notes/a"}) {
		t.Errorf("all frames are %v, %v", links, err)
	}
	if links, err := exported(t, s, at, kit.Position{}); err != nil || !slices.Equal(links, []kit.Link{"notes/a"}) {
		t.Errorf("the frames after %v are %v, %v", at, links, err)
	}
}

func TestSnapshotFramesKnowWhatIsForgotten(t *testing.T) {
	n := newNode(t)
	n.must("create", "orders/", `{"amount":1}`)
	n.must("create", "orders/", `{"amount":1}`)
	n.must("delete", "orders/2", "")
	n.now = n.now.Add(memory.TombstoneAge)
	n.propose(Proposal{Tick: true})
	s := n.Snapshot()
	links, err := exported(t, s, kit.Position{}, kit.Position{})
	if err != nil || !slices.Equal(links, []kit.Link{"orders/2", "orders/1"}) {
		t.Errorf("all frames are %v, %v; want a tombstone with the last id", links, err)
	}
	first := kit.Position{Epoch: s.Position().Epoch, Seq: 1}
	if _, err := exported(t, s, first, kit.Position{}); !errors.Is(err, kit.ErrGone) {
		t.Errorf("frames after a forgotten deletion: error %v", err)
	}
	if links, err := exported(t, s, first, s.Position()); err != nil || len(links) != 0 {
		t.Errorf("frames for who began after the deletion are %v, %v", links, err)
	}
	other := kit.Position{Epoch: first.Epoch + 1, Seq: 9}
	if _, err := exported(t, s, other, other); !errors.Is(err, kit.ErrGone) {
		t.Errorf("frames after a position of another epoch: error %v", err)
	}
}
