package store

import (
	"github.com/google/btree"

	"landfall.dev/kit"
)

// Since returns up to limit documents of the kind, "" for all, that changed
// after the position: each once, in its latest version, tombstones included, in
// order of their last change. The zero position is before everything. More
// tells that there are more after the last one. It is ErrGone if the position
// is of another epoch, or tombstones after it were collected: list again.
//
// Where it returns no change, the caller can go on from the Position that it
// took before the call.
func (s *Store) Since(kind string, after kit.Position, limit int) (changes []kit.Change, more bool, err error) {
	epoch, docs, more, err := s.since(kind, after, limit)
	for _, d := range docs {
		changes = append(changes, kit.Change{Position: kit.Position{Epoch: epoch, Seq: d.rec.Seq}, Record: d.rec})
	}
	return changes, more, err
}

// Frames is Since with the documents' origins, as a copy needs them.
func (s *Store) Frames(kind string, after kit.Position, limit int) (frames []Frame, more bool, err error) {
	_, docs, more, err := s.since(kind, after, limit)
	for _, d := range docs {
		frames = append(frames, Frame{Record: d.rec, Origin: d.origin})
	}
	return frames, more, err
}

func (s *Store) since(kind string, after kit.Position, limit int) (epoch int64, docs []*doc, more bool, err error) {
	if limit < 1 {
		return 0, nil, false, kit.Errorf(kit.ErrInvalid, "", "a limit of %d changes: it is at least 1", limit)
	}
	if kind != "" {
		if _, err := s.kinds.known(kit.NewLink(kind, "")); err != nil {
			return 0, nil, false, err
		}
	}
	v := s.frozen()
	if err := v.reaches(kind, after); err != nil {
		return 0, nil, false, err
	}
	start := &doc{rec: kit.Record{Meta: kit.Meta{Kind: kind}, Seq: after.Seq + 1}}
	tree := v.changed
	if kind == "" {
		tree = v.feed
	}
	docs, more = take(tree, start, limit, func(d *doc) bool { return kind == "" || d.rec.Kind == kind })
	return v.epoch, docs, more, nil
}

// take returns up to limit documents from start on while they belong, and
// whether there are more.
func take(tree *btree.BTreeG[*doc], start *doc, limit int, belongs func(*doc) bool) (docs []*doc, more bool) {
	tree.AscendGreaterOrEqual(start, func(d *doc) bool {
		if !belongs(d) {
			return false
		}
		if more = len(docs) == limit; !more {
			docs = append(docs, d)
		}
		return !more
	})
	return docs, more
}

// reaches returns ErrGone unless the feed goes back to the position.
func (s *state) reaches(kind string, after kit.Position) error {
	if after == (kit.Position{}) {
		return nil
	}
	gone := func(why string) error {
		return &kit.Error{Fault: kit.ErrGone, Detail: "position " + after.String() + " " + why, Hint: "list again, and go on from the list's position"}
	}
	if after.Epoch != s.epoch {
		return gone("is from before a backup was restored")
	}
	floor := s.floors[kind]
	if kind == "" {
		for _, f := range s.floors {
			floor = max(floor, f)
		}
	}
	if after.Seq < floor {
		return gone("is too old: later deletions are forgotten")
	}
	return nil
}
