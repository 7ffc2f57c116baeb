package memory

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/digest"
	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/key"
	"landfall.dev/kit/store/memory/arena"
	"landfall.dev/kit/store/memory/links"
)

// Engine is the present state, which entries change.
type Engine struct {
	state
	kinds    func(name string) *Kind
	arena    arena.Arena
	links    *links.Table
	gen      uint64                        // of the trees: see tree
	last     *shelf                        // the one that was asked for last
	rest     *[digest.Buckets]digest.Tally // of documents that are not in copies, by what they are
	copies   copies
	recency  recency
	step     int  // bytes that an entry moves in any case
	gathers  int  // how many pieces the entry has that is applied, if these are many: see gather
	gathered bool // the shelves keep memory for gathering
}

// New returns an engine without documents of the given kinds; kinds returns nil
// for a name that it does not know. It takes memory in chunks of that many
// bytes, and with each entry moves at least step bytes to have some back:
// arena.ChunkBytes and StepBytes but in tests.
func New(kinds func(name string) *Kind, chunk, step int) *Engine {
	e := &Engine{
		state: state{shelves: map[string]*shelf{}},
		kinds: kinds, arena: arena.New(chunk), links: links.New(), gen: 1,
		rest: new([digest.Buckets]digest.Tally), copies: copies{streams: map[string]*copied{}}, step: step,
	}
	e.mem = &e.arena.Memory
	return e
}

// Freeze returns the state as it is, which e's next changes leave alone. It
// copies no document.
func (e *Engine) Freeze() View {
	s := e.state
	mem := e.arena.Freeze()
	s.mem = &mem
	s.shelves = make(map[string]*shelf, len(e.shelves))
	for name, sh := range e.shelves {
		s.shelves[name] = sh.clone()
	}
	e.gen++
	return View{&s, s.Seq}
}

// Now returns the state as it is until e's next change, at no cost.
func (e *Engine) Now() View { return View{&e.state, e.Seq} }

// Apply makes the pieces of an entry, which come in order, part of the state,
// forgets the collected tombstones, and moves on to the head.
func (e *Engine) Apply(to Head, pieces []*frame.Piece, collected []kit.Link) {
	size, keys := 0, 0
	if len(pieces) >= manyPieces {
		e.gathers = len(pieces)
	}
	for _, p := range pieces {
		size += len(p.Raw)
		if p.Type == frame.TypeOnce {
			keys++
			e.remember(p.Once)
		} else {
			e.put(p)
		}
	}
	if e.gathers > 0 || e.gathered {
		e.endGathering()
	}
	e.collect(collected)
	e.Head = to
	e.age()
	e.forgetOnces(2*keys + forgetAtOnce)
	e.compact(2*size + e.step)
}

// Read returns the document at link, if there is one of a known kind.
func (e *Engine) Read(link kit.Link) (r kit.Record, ok bool) {
	var p frame.Document
	if e.links.Find(*e.mem, string(link), &p) == nil {
		return r, false
	}
	sh := e.shelves[string(kindName(p.Link))]
	if p.Deleted() || sh.kind == nil {
		return r, false
	}
	return p.Record(sh.name), true
}

// Find returns the document or tombstone at link, if there is one.
func (e *Engine) Find(link kit.Link) (f frame.Frame, ok bool) {
	var p frame.Document
	if e.links.Find(*e.mem, string(link), &p) == nil {
		return f, false
	}
	return frame.Frame{Record: p.Record(link.Kind()), Origin: p.Origin()}, true
}

// Origin returns from which change of which stream the document or tombstone at
// link was imported last, if there is one.
func (e *Engine) Origin(link kit.Link) (stream string, seq int64, ok bool) {
	var p frame.Document
	if e.links.Find(*e.mem, string(link), &p) == nil {
		return "", 0, false
	}
	o := p.Origin()
	return o.Stream, o.Seq, true
}

// Count returns the number of documents of the kind.
func (e *Engine) Count(kind string) int {
	if sh := e.shelves[kind]; sh != nil {
		return sh.live.n
	}
	return 0
}

// Overdue returns up to limit documents and tombstones that have expired or
// are too old.
func (e *Engine) Overdue(now time.Time, limit int) []frame.Frame {
	var docs []frame.Frame
	for _, name := range slices.Sorted(maps.Keys(e.shelves)) {
		sh := e.shelves[name]
		by := e.sorter(sh, orderDue)
		end := sh.due.rank(&by, newProbe(key.AppendTime(nil, now.Add(time.Microsecond))))
		sh.due.each(0, min(end, limit-len(docs)), func(_ uint64, r place) bool {
			docs = append(docs, e.frame(sh, r))
			return true
		})
	}
	return docs
}

// Full tells whether new documents have to be refused.
func (e *Engine) Full() bool { return e.arena.Full() }

// shelf returns that of the kind, which it makes if there is none.
func (e *Engine) shelf(kind []byte) *shelf {
	if e.last != nil && e.last.name == string(kind) {
		return e.last
	}
	sh := e.shelves[string(kind)]
	if sh == nil {
		sh = e.newShelf(string(kind))
	}
	e.last = sh
	return sh
}

func (e *Engine) newShelf(kind string) *shelf {
	sh := &shelf{name: kind}
	if k := e.kinds(sh.name); k != nil {
		sh.kind = k
		sh.indexes = make([]tree, len(k.Indexes))
	}
	e.shelves[sh.name] = sh
	return sh
}

// lookup returns the record of the document or tombstone at link, or none.
func (e *Engine) lookup(link string) place {
	var p frame.Document
	if found := e.links.Find(*e.mem, link, &p); found != nil {
		return *found
	}
	return 0
}

// edit changes the trees of a shelf.
type edit struct {
	*Engine
	sh  *shelf
	buf [2][64]byte
}

func (e *edit) change(s *sorter) change { return change{s, e.gen} }

func (e *edit) insert(o Order, t *tree, p *frame.Document, r place) {
	s := e.sorter(e.sh, o)
	if e.gathers > 0 {
		e.gather(s, t, p, r)
		return
	}
	e.change(&s).insert(t, newProbe(s.keyOf(e.buf[0][:0], p)), r)
}

func (e *edit) remove(o Order, t *tree, p *frame.Document, r place) {
	s := e.sorter(e.sh, o)
	e.change(&s).remove(t, newProbe(s.keyOf(e.buf[0][:0], p)), r)
}

// move replaces old at was by p at r in a tree that both are in.
func (e *edit) move(o Order, t *tree, old, p *frame.Document, was, r place) {
	s := e.sorter(e.sh, o)
	from := newProbe(s.keyOf(e.buf[0][:0], old))
	to := newProbe(s.keyOf(e.buf[1][:0], p))
	if bytes.Equal(from.key, to.key) {
		e.change(&s).replace(t, to, was, r)
		return
	}
	e.change(&s).remove(t, from, was)
	e.insert(o, t, p, r)
}

// put makes the document or tombstone that came the one at its link. What it
// takes the place of becomes history.
func (e *Engine) put(came *frame.Piece) {
	p := &came.Document
	ed := edit{Engine: e, sh: e.shelf(kindName(p.Link))}
	var was frame.Document
	at, found := e.links.Place(*e.mem, frame.Text(p.Link), &was)
	r := e.arena.Add(came.Raw)
	old := *at
	*at = r
	e.count(ed.sh, p, came.Own, 1)
	if !found {
		ed.sh.trees(p, func(o Order, t *tree) { ed.insert(o, t, p, r) })
		return
	}
	if was.Seq > uint64(e.Seq) { // it came with the same entry
		e.insertGathered(ed.sh)
	}
	e.count(ed.sh, &was, [16]byte{}, -1)
	if was.Deleted() == p.Deleted() {
		ed.replace(&was, p, old, r)
	} else {
		ed.sh.trees(&was, func(o Order, t *tree) { ed.remove(o, t, &was, old) })
		ed.sh.trees(p, func(o Order, t *tree) { ed.insert(o, t, p, r) })
	}
	ed.keep(&was, old, p.Seq)
}

// replace puts p at r in the place of old at was, where both are documents or
// both are tombstones.
func (e *edit) replace(old, p *frame.Document, was, r place) {
	if t := &e.sh.due; due(old).IsZero() != due(p).IsZero() {
		if due(old).IsZero() {
			e.insert(orderDue, t, p, r)
		} else {
			e.remove(orderDue, t, old, was)
		}
	}
	e.sh.trees(p, func(o Order, t *tree) {
		if o != orderDue || !due(old).IsZero() {
			e.move(o, t, old, p, was, r)
		}
	})
}

// collect forgets the tombstones.
func (e *Engine) collect(tombstones []kit.Link) {
	if len(tombstones) == 0 {
		return
	}
	floors := make(map[string]int64, len(e.floors)+1) // a view may have the other
	maps.Copy(floors, e.floors)
	e.floors = floors
	for _, l := range tombstones {
		r := e.lookup(string(l))
		if r == 0 || !e.at(r).Deleted() {
			continue
		}
		p := e.at(r)
		ed := edit{Engine: e, sh: e.shelf(kindName(p.Link))}
		ed.forget(&p)
		e.links.Remove(*e.mem, string(l))
		ed.sh.trees(&p, func(o Order, t *tree) { ed.remove(o, t, &p, r) })
		e.arena.Drop(r, p.Size)
		e.floors[ed.sh.name] = max(e.floors[ed.sh.name], int64(p.Seq))
	}
}
