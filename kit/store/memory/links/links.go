// Package links finds the record of each document and tombstone by its link.
//
// It owns the table of hashes, and never the documents: it looks at them where
// two links have one hash.
package links

import (
	"hash/maphash"

	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/memory/arena"
)

// Table finds the record of each document and tombstone by its link: a hash
// table with open addressing, in parts that grow on their own, so that none of
// them takes long to.
type Table struct {
	seed  maphash.Seed
	parts [256]part
}

type part struct {
	slots []slot
	n     int
}

// slot has 32 bits of the hash of a link, 0 if it is free, and its record.
type slot struct {
	hash uint32
	at   arena.Place
}

// New returns an empty table.
func New() *Table { return &Table{seed: maphash.MakeSeed()} }

func (t *Table) hash(link string) uint64 { return maphash.String(t.seed, link) }

// of returns where h belongs, and what is kept of it there.
func (t *Table) of(h uint64) (*part, uint32) {
	return &t.parts[h>>56], max(1, uint32(h))
}

// home is where the search for a hash begins: the hash scaled to the size.
func (p *part) home(h uint32) int { return int(uint64(h) * uint64(len(p.slots)) >> 32) }

// Find returns where the record of link is kept, and takes the document or
// tombstone there apart into d; or nil. It is good until another is added or
// removed.
func (t *Table) Find(m arena.Memory, link string, d *frame.Document) *arena.Place {
	p, h := t.of(t.hash(link))
	if i := p.find(m, h, link, d); i >= 0 {
		return &p.slots[i].at
	}
	return nil
}

// find returns the place of link, whose document it takes apart into d, or -1.
func (p *part) find(m arena.Memory, h uint32, link string, d *frame.Document) int {
	if p.n == 0 {
		return -1
	}
	for i := p.home(h); p.slots[i].hash != 0; i = p.after(i) {
		if p.slots[i].hash != h {
			continue
		}
		if d.Unpack(m.At(p.slots[i].at)); frame.Text(d.Link) == link {
			return i
		}
	}
	return -1
}

func (p *part) after(i int) int {
	if i++; i == len(p.slots) {
		return 0
	}
	return i
}

// Place is Find that returns a new place if there is none, which the caller
// sets.
func (t *Table) Place(m arena.Memory, link string, d *frame.Document) (at *arena.Place, found bool) {
	p, h := t.of(t.hash(link))
	if i := p.find(m, h, link, d); i >= 0 {
		return &p.slots[i].at, true
	}
	return &p.room(h).at, false
}

// Add makes r the record of the document at link, which has none yet.
func (t *Table) Add(link string, r arena.Place) {
	p, h := t.of(t.hash(link))
	p.room(h).at = r
}

// room returns a new slot for a hash.
func (p *part) room(h uint32) *slot {
	if (p.n+1)*8 > len(p.slots)*7 {
		p.grow((p.n + 8) * 3 / 2)
	}
	return p.free(h)
}

// free takes a free slot for a hash, of which there are some.
func (p *part) free(h uint32) *slot {
	i := p.home(h)
	for p.slots[i].hash != 0 {
		i = p.after(i)
	}
	p.slots[i].hash = h
	p.n++
	return &p.slots[i]
}

func (p *part) grow(size int) {
	old := *p
	*p = part{slots: make([]slot, size)}
	for _, s := range old.slots {
		if s.hash != 0 {
			p.free(s.hash).at = s.at
		}
	}
}

// Reserve makes room for n documents.
func (t *Table) Reserve(n int) {
	for i := range t.parts {
		if size := n / len(t.parts) * 5 / 4; size > len(t.parts[i].slots) {
			t.parts[i].grow(size + 8)
		}
	}
}

// Remove forgets link, which has a record. Those behind it that were displaced
// move up.
func (t *Table) Remove(m arena.Memory, link string) {
	p, h := t.of(t.hash(link))
	i := p.find(m, h, link, new(frame.Document))
	p.n--
	for j := p.after(i); p.slots[j].hash != 0; j = p.after(j) {
		home := p.home(p.slots[j].hash)
		if between := i < j && home > i && home <= j || i > j && (home > i || home <= j); !between {
			p.slots[i] = p.slots[j]
			i = j
		}
	}
	p.slots[i] = slot{}
}
