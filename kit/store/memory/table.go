package memory

import (
	"hash/maphash"

	"landfall.dev/kit/store/frame"
)

// table finds the record of each document and tombstone by its link: a hash
// table with open addressing, in parts that grow on their own, so that none of
// them takes long to.
type table struct {
	seed  maphash.Seed
	parts [256]tablePart
}

type tablePart struct {
	slots []slot
	n     int
}

// slot has 32 bits of the hash of a link, 0 if it is free, and its record.
type slot struct {
	hash uint32
	at   place
}

func newTable() *table { return &table{seed: maphash.MakeSeed()} }

func (t *table) hash(link string) uint64 { return maphash.String(t.seed, link) }

// part returns where h belongs, and what is kept of it there.
func (t *table) part(h uint64) (*tablePart, uint32) {
	return &t.parts[h>>56], max(1, uint32(h))
}

// home is where the search for a hash begins: the hash scaled to the size.
func (p *tablePart) home(h uint32) int { return int(uint64(h) * uint64(len(p.slots)) >> 32) }

// find returns the slot of link, and takes the document or tombstone there apart
// into d; or nil. The slot is good until another is added or removed.
func (t *table) find(m memory, link string, d *frame.Document) *slot {
	p, h := t.part(t.hash(link))
	if i := p.find(m, h, link, d); i >= 0 {
		return &p.slots[i]
	}
	return nil
}

// find returns the place of link, whose document it takes apart into d, or -1.
func (p *tablePart) find(m memory, h uint32, link string, d *frame.Document) int {
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

func (p *tablePart) after(i int) int {
	if i++; i == len(p.slots) {
		return 0
	}
	return i
}

// slot returns the slot of link, and takes the document or tombstone there apart
// into d; or a new one without a record, which the caller sets. It is good until
// another is added or removed.
func (t *table) slot(m memory, link string, d *frame.Document) (s *slot, found bool) {
	p, h := t.part(t.hash(link))
	if i := p.find(m, h, link, d); i >= 0 {
		return &p.slots[i], true
	}
	return p.room(h), false
}

// add makes r the record of the document at link, which has none yet.
func (t *table) add(link string, r place) {
	p, h := t.part(t.hash(link))
	p.room(h).at = r
}

// room returns a new slot for a hash.
func (p *tablePart) room(h uint32) *slot {
	if (p.n+1)*8 > len(p.slots)*7 {
		p.grow((p.n + 8) * 3 / 2)
	}
	return p.free(h)
}

// free takes a free slot for a hash, of which there are some.
func (p *tablePart) free(h uint32) *slot {
	i := p.home(h)
	for p.slots[i].hash != 0 {
		i = p.after(i)
	}
	p.slots[i].hash = h
	p.n++
	return &p.slots[i]
}

func (p *tablePart) grow(size int) {
	old := *p
	*p = tablePart{slots: make([]slot, size)}
	for _, s := range old.slots {
		if s.hash != 0 {
			p.free(s.hash).at = s.at
		}
	}
}

// reserve makes room for n documents.
func (t *table) reserve(n int) {
	for i := range t.parts {
		if size := n / len(t.parts) * 5 / 4; size > len(t.parts[i].slots) {
			t.parts[i].grow(size + 8)
		}
	}
}

// remove forgets link, which has a record. Those behind it that were displaced
// move up.
func (t *table) remove(m memory, link string) {
	p, h := t.part(t.hash(link))
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

// linkAt returns the link of the document at r.
func linkAt(m memory, r place) string {
	var p frame.Document
	p.Front(m.At(r))
	return frame.Text(p.Link)
}
