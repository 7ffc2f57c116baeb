package store

import (
	"iter"
	"maps"
	"slices"
	"strconv"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
)

// Frames yields every document of the snapshot that changed after the
// position, with its origin: each once, tombstones included, in order of the
// last change. It is ErrGone if the position is of another epoch, or tombstones
// after it, and after the position began, were collected.
//
// Began is for who goes on with a copy that was interrupted: it is where that
// copy was begun from the zero position on. What was deleted before then the
// copy never had.
//
// From the zero position on it first yields, for each counted kind whose last
// id is of a document that is long deleted, a tombstone with that id and
// without a place in the log: so a copy does not allocate the id again.
func (s *Snapshot) Frames(after, began kit.Position) (iter.Seq[frame.Frame], error) {
	pieces, err := s.Pieces(after, began)
	if err != nil {
		return nil, err
	}
	return func(yield func(frame.Frame) bool) {
		for p := range pieces {
			if !yield(p.Frame()) {
				return
			}
		}
	}, nil
}

// Since returns the position from which on deletions are remembered.
func (s *Snapshot) Since() kit.Position {
	at := kit.Position{Epoch: s.view.Epoch}
	for _, floor := range s.view.Floors() {
		at.Seq = max(at.Seq, floor)
	}
	return at
}

// Pieces yields what Frames does, as it is in memory.
func (s *Snapshot) Pieces(after, began kit.Position) (iter.Seq[frame.Piece], error) {
	known := after
	if after != (kit.Position{}) && after.Epoch == began.Epoch {
		known.Seq = max(after.Seq, began.Seq)
	}
	if err := s.view.Reaches("", known); err != nil {
		return nil, err
	}
	return func(yield func(frame.Piece) bool) {
		if after == (kit.Position{}) {
			for _, p := range s.view.spent() {
				if !yield(p) {
					return
				}
			}
		}
		s.view.Pieces(after.Seq, yield)
	}, nil
}

// Keys yields the idempotency keys that were used at the time or later, in that
// order. They age by another clock than others: see Age.
func (s *Snapshot) Keys(from time.Time) iter.Seq[frame.Once] {
	return func(yield func(frame.Once) bool) { s.view.Onces(from, yield) }
}

// Age returns the time by the clock that idempotency keys age by.
func (s *Snapshot) Age() time.Time { return s.view.head.age() }

// spent returns a tombstone for each counter whose last id is that of no
// document or tombstone.
func (v view) spent() []frame.Piece {
	var pieces []frame.Piece
	for _, kind := range slices.Sorted(maps.Keys(v.head.counters)) {
		n := v.head.counters[kind]
		link := kit.NewLink(kind, strconv.FormatInt(n, 10))
		if n < 1 || v.Has(link) {
			continue
		}
		meta := kit.Meta{Link: link, Kind: kind, Schema: 1, Version: 1, Updated: v.head.time}
		if p, err := frame.NewPiece(frame.Frame{Record: kit.Record{Meta: meta, Deleted: true}}); err == nil {
			pieces = append(pieces, p)
		}
	}
	return pieces
}
