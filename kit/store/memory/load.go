package memory

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/key"
)

// Load returns an engine like e with the documents and idempotency keys of the
// snapshot that r yields from its second frame on. The head and the floors are
// the snapshot's. It changes nothing in e.
func (e *Engine) Load(r *frame.Reader, at Head, floors map[string]int64) (*Engine, error) {
	l := loader{Engine: New(e.kinds, e.arena.ChunkSize(), e.step), reader: r, shelves: map[*shelf]*loading{}}
	err := r.Pieces(func(p frame.Piece) error { return l.add(&p, at.Seq) })
	if err == nil {
		err = l.finish()
	}
	if err != nil {
		return nil, err
	}
	l.Head, l.floors, l.horizon = at, floors, at.Seq
	return l.Engine, nil
}

// loader makes an engine of a snapshot: first the documents in their order,
// then, of all at once, what else finds them.
type loader struct {
	*Engine
	reader  *frame.Reader
	shelves map[*shelf]*loading
}

// loading is what a loader makes of a kind.
type loading struct{ live, dead, past section }

// section is documents that come in the order of their keys.
type section struct {
	builder
	last []byte // key
}

func (l *loader) add(p *frame.Piece, seq int64) error {
	if p.Type == frame.TypeOnce {
		l.remember(p.Once)
		return nil
	}
	if int64(p.Seq) > seq {
		return l.reader.Damaged(fmt.Sprintf("position %d is beyond the snapshot's, %d", p.Seq, seq))
	}
	sh := l.shelf(kindName(p.Link))
	of := l.shelves[sh]
	if of == nil {
		of = &loading{}
		l.shelves[sh] = of
	}
	to, by := &of.live, l.sorter(sh, OrderLink)
	switch {
	case p.Type == frame.TypePast:
		if sh.versions() == 0 {
			return nil
		}
		to, by.by = &of.past, orderPast
	case p.Deleted():
		to = &of.dead
	}
	var buf [80]byte
	key := by.keyOf(buf[:0], &p.Document)
	if to.n > 0 && bytes.Compare(to.last, key) >= 0 {
		return l.reader.Damaged(fmt.Sprintf("%s is out of order", p.Link))
	}
	to.last = append(to.last[:0], key...)
	to.gen = l.gen
	to.builder.add(prefixOf(key), l.arena.Add(p.Raw))
	return nil
}

// finish makes the trees, the table of links and the sums.
func (l *loader) finish() error {
	var work sync.WaitGroup
	var broken error
	for sh, of := range l.shelves {
		sh.live, sh.dead, sh.past = of.live.tree(), of.dead.tree(), of.past.tree()
	}
	work.Go(func() { broken = l.link() })
	work.Go(l.sum)
	var duplicate error
	work.Go(func() { duplicate = l.sort() })
	work.Wait()
	if broken != nil || duplicate != nil {
		return cmp.Or(broken, duplicate)
	}
	return l.checkPast()
}

// each yields all documents and tombstones of the shelf.
func (sh *shelf) each(yield func(place)) {
	for _, t := range []*tree{&sh.live, &sh.dead} {
		t.each(0, t.n, func(_ uint64, r place) bool {
			yield(r)
			return true
		})
	}
}

// link fills the table of links.
func (l *loader) link() (err error) {
	n := 0
	for sh := range l.shelves {
		n += sh.live.n + sh.dead.n
	}
	l.links.Reserve(n)
	for sh := range l.shelves {
		sh.each(func(r place) {
			p := l.at(r)
			if p.Deleted() && l.lookup(frame.Text(p.Link)) != 0 {
				err = kit.Errorf(kit.ErrInvalid, kit.Link(p.Link), "the snapshot has it twice")
				return
			}
			l.links.Add(frame.Text(p.Link), r)
		})
	}
	return err
}

// sum makes the sums.
func (l *loader) sum() {
	for sh := range l.shelves {
		sh.live.each(0, sh.live.n, func(_ uint64, r place) bool {
			p := l.at(r)
			l.count(sh, &p, [16]byte{}, 1)
			return true
		})
	}
}

// sort makes the other trees.
func (l *loader) sort() error {
	for sh := range l.shelves {
		o := l.orders(sh)
		sh.feed = l.build(radixSort(o.feed), func(seq uint64) uint64 { return seq })
		if err := l.checkFeed(sh); err != nil {
			return err
		}
		sh.created, sh.updated = l.build(radixSort(o.created), timePrefix), l.build(radixSort(o.updated), timePrefix)
		sh.due = l.build(l.untied(sh, radixSort(o.due)), timePrefix)
		for i := range sh.indexes {
			sh.indexes[i] = l.indexed(sh, Order(i), o.live)
		}
	}
	return nil
}

// orders is what a shelf's trees are made of: the entries by a number that is
// in the order of their keys, as far as that does not need the id too.
type orders struct {
	feed, created, updated, due []entry
	live                        []place // if there are indexes
}

// entry is a record with a number to sort it by.
type entry struct {
	key uint64
	at  place
}

// orders looks at each document once. All come in the order of their ids, but
// documents before tombstones.
func (l *loader) orders(sh *shelf) orders {
	o := orders{
		feed:    make([]entry, 0, sh.live.n+sh.dead.n),
		created: make([]entry, 0, sh.live.n), updated: make([]entry, 0, sh.live.n),
	}
	sh.each(func(r place) {
		var p frame.Document
		p.Front(l.mem.At(r))
		o.feed = append(o.feed, entry{p.Seq, r})
		if !p.Deleted() {
			o.created = append(o.created, entry{timeNumber(p.CreatedAt()), r})
			o.updated = append(o.updated, entry{timeNumber(p.UpdatedAt()), r})
		}
		if t := due(&p); !t.IsZero() {
			o.due = append(o.due, entry{timeNumber(t), r})
		}
		if !p.Deleted() && len(sh.indexes) > 0 {
			o.live = append(o.live, r)
		}
	})
	return o
}

// timeNumber returns a number in the order of times, which are whole
// microseconds.
func timeNumber(t time.Time) uint64 { return uint64(t.UnixMicro()) ^ 1<<63 }

// timePrefix returns the first 8 bytes of the key of the time.
func timePrefix(number uint64) uint64 {
	var b [16]byte
	return prefixOf(key.AppendTime(b[:0], time.UnixMicro(int64(number^1<<63))))
}

// build returns the tree of entries, which are in order. Prefix returns the
// first 8 bytes of the key for a number.
func (l *loader) build(entries []entry, prefix func(number uint64) uint64) tree {
	to := builder{gen: l.gen}
	for _, e := range entries {
		to.add(prefix(e.key), e.at)
	}
	return to.tree()
}

// untied puts the entries with the same number in the order of their ids.
func (l *loader) untied(sh *shelf, entries []entry) []entry {
	by := l.sorter(sh, OrderLink)
	var a, b [80]byte
	for rest := entries; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].key == rest[0].key {
			n++
		}
		slices.SortFunc(rest[:n], func(x, y entry) int {
			return bytes.Compare(by.key(a[:0], x.at), by.key(b[:0], y.at))
		})
		rest = rest[n:]
	}
	return entries
}

// radixSort returns the entries by their keys, those with the same key as they
// were, and uses their memory. It goes
// through them once for each 11 bits in which the keys differ, the lowest
// first.
func radixSort(entries []entry) []entry {
	const digit = 11
	other := make([]entry, len(entries))
	for shift := 0; shift < 64; shift += digit {
		var starts [1 << digit]int
		for _, e := range entries {
			starts[e.key>>shift&(1<<digit-1)]++
		}
		if slices.Contains(starts[:], len(entries)) {
			continue
		}
		sum := 0
		for i, n := range starts {
			starts[i] = sum
			sum += n
		}
		for _, e := range entries {
			d := e.key >> shift & (1<<digit - 1)
			other[starts[d]] = e
			starts[d]++
		}
		entries, other = other, entries
	}
	return entries
}

// indexed returns the tree of the records for an index, whose keys take long to
// find: it keeps them meanwhile.
func (l *loader) indexed(sh *shelf, o Order, places []place) tree {
	by := l.sorter(sh, o)
	documents := make([]keyed, len(places))
	var block []byte
	for i, r := range places {
		if cap(block)-len(block) < 1<<10 {
			block = make([]byte, 0, 64<<10)
		}
		key := by.key(block[len(block):], r)
		if cap(key) <= cap(block) {
			block = block[:min(cap(block), len(block)+len(key))]
		}
		documents[i] = keyed{key[:len(key):len(key)], r}
	}
	slices.SortFunc(documents, func(a, b keyed) int { return bytes.Compare(a.key, b.key) })
	to := builder{gen: l.gen}
	for _, d := range documents {
		to.add(prefixOf(d.key), d.place)
	}
	return to.tree()
}

// checkFeed returns an error if two documents have one position.
func (l *loader) checkFeed(sh *shelf) (err error) {
	var last uint64
	sh.feed.each(0, sh.feed.n, func(seq uint64, r place) bool {
		if seq == last && seq != 0 {
			err = kit.Errorf(kit.ErrInvalid, kit.Link(linkAt(*l.mem, r)), "the snapshot has two documents with the position %d", seq)
		}
		last = seq
		return err == nil
	})
	return err
}

// checkPast returns an error if an earlier version has no later one.
func (l *loader) checkPast() (err error) {
	for sh := range l.shelves {
		sh.past.each(0, sh.past.n, func(_ uint64, r place) bool {
			p := l.at(r)
			if now := l.lookup(frame.Text(p.Link)); now == 0 || l.at(now).Seq <= p.Seq {
				err = kit.Errorf(kit.ErrInvalid, kit.Link(p.Link), "the snapshot has a version of it from %d and none later", p.Seq)
			}
			return err == nil
		})
	}
	return err
}
