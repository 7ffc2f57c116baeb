package memory

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sync"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
)

// Load returns an engine like e with the documents and idempotency keys of the
// snapshot that r yields from its second frame on. The head and the floors are
// the snapshot's. It changes nothing in e.
func (e *Engine) Load(r *frame.Reader, at Head, floors map[string]int64) (*Engine, error) {
	l := loader{Engine: New(e.kinds, e.arena.size, e.step), reader: r, shelves: map[*shelf]*loading{}}
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
	to.builder.add(prefixOf(key), l.arena.add(p.Raw))
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
	l.links.reserve(n)
	for sh := range l.shelves {
		sh.each(func(r place) {
			p := l.at(r)
			if p.Deleted() && l.lookup(frame.Text(p.Link)) != 0 {
				err = kit.Errorf(kit.ErrInvalid, kit.Link(p.Link), "the snapshot has it twice")
				return
			}
			l.links.set(*l.mem, frame.Text(p.Link), 0, r)
		})
	}
	return err
}

// sum makes the sums.
func (l *loader) sum() {
	for sh := range l.shelves {
		sh.live.each(0, sh.live.n, func(_ uint64, r place) bool {
			p := l.at(r)
			l.count(sh, &p, 1)
			return true
		})
	}
}

// sort makes the other trees.
func (l *loader) sort() error {
	for sh := range l.shelves {
		all := make([]place, 0, sh.live.n+sh.dead.n)
		sh.each(func(r place) { all = append(all, r) })
		live := all[:sh.live.n]
		sh.feed = l.sorted(sh, orderSeq, all)
		if err := l.checkFeed(sh); err != nil {
			return err
		}
		sh.created = l.sorted(sh, OrderCreated, live)
		sh.updated = l.sorted(sh, OrderUpdated, live)
		for i := range sh.indexes {
			sh.indexes[i] = l.indexed(sh, Order(i), live)
		}
		sh.due = l.sorted(sh, orderDue, slices.DeleteFunc(all, func(r place) bool {
			p := l.at(r)
			return due(&p).IsZero()
		}))
	}
	return nil
}

// entry is a record with the first 8 bytes of its key.
type entry struct {
	key uint64
	at  place
}

// sorted returns the tree of the records in the order.
func (l *loader) sorted(sh *shelf, o Order, places []place) tree {
	by := l.sorter(sh, o)
	entries := make([]entry, len(places))
	var a, b [80]byte
	for i, r := range places {
		entries[i] = entry{prefixOf(by.key(a[:0], r)), r}
	}
	entries = radixSort(entries)
	to := builder{gen: l.gen}
	for len(entries) > 0 {
		n := 1
		for n < len(entries) && entries[n].key == entries[0].key {
			n++
		}
		if n > 1 && !by.whole() {
			slices.SortFunc(entries[:n], func(x, y entry) int {
				return bytes.Compare(by.key(a[:0], x.at), by.key(b[:0], y.at))
			})
		}
		for _, e := range entries[:n] {
			to.add(e.key, e.at)
		}
		entries = entries[n:]
	}
	return to.tree()
}

// radixSort returns the entries by their keys, and uses their memory. It goes
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

// indexed is sorted for an index, whose keys take longer to find: it keeps them
// meanwhile.
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
