package memory

import (
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/key"
	"landfall.dev/kit/store/memory/arena"
)

// place is where a record is; zero is none.
type place = arena.Place

// memory has the records.
type memory = arena.Memory

// linkAt returns the link of the document at r.
func linkAt(m memory, r place) string {
	var p frame.Document
	p.Front(m.At(r))
	return frame.Text(p.Link)
}

// Head says up to where in the log entries are applied.
type Head struct {
	Epoch int64     // 0 before the first entry
	Seq   int64     // of the last change to a document
	Time  time.Time // of the clock by which keys and the history age; it never jumps
}

// state is all the documents that a node knows at one position, as its trees and what they
// point to say it.
type state struct {
	Head
	floors      map[string]int64 // by kind: the highest seq of a collected tombstone
	mem         *memory
	shelves     map[string]*shelf
	horizon     int64 // from this seq on the history has every version
	recent      tree  // earlier versions since the horizon, by the seq of what took their place
	onces       tree  // idempotency keys
	oncesByTime tree  // the same
}

func (s *state) sorter(sh *shelf, o Order) sorter {
	if sh == nil {
		return sorter{by: o, mem: s.mem}
	}
	return sorter{by: o, mem: s.mem, skip: len(sh.name) + 1, kind: sh.kind}
}

// at returns the document or tombstone at r.
func (s *state) at(r place) frame.Document {
	p, _ := frame.Unpack(s.mem.At(r))
	return p
}

// frame returns the document or tombstone at r.
func (s *state) frame(sh *shelf, r place) frame.Frame {
	p := s.at(r)
	return frame.Frame{Record: p.Record(sh.name), Origin: p.Origin()}
}

// find returns the record of the document or tombstone at link, or none.
func (s *state) find(link kit.Link) (*shelf, place) {
	sh := s.shelves[link.Kind()]
	if sh == nil {
		return nil, 0
	}
	by := s.sorter(sh, OrderLink)
	var buf [64]byte
	p := newProbe(key.AppendID(buf[:0], link.ID()))
	if r := sh.live.find(&by, p); r != 0 {
		return sh, r
	}
	return sh, sh.dead.find(&by, p)
}
