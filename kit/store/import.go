package store

import (
	"fmt"
	"math"

	"landfall.dev/kit"
	"landfall.dev/kit/store/digest"
	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/key"
)

// ready is what is known of an import before it is decided on: see Prepare.
type ready struct {
	kind  *kind
	piece frame.Piece // of a document
	raw   []byte      // of the piece, at the position frame.MaxSeq
}

// Prepare does what can be done of the imports ahead of their proposal, which
// is then decided on in less time. It may be called concurrently, for different
// ones. They must not change afterwards. What has to be refused is left for
// Decide to tell.
func (k *Kinds) Prepare(imported []Imported) {
	all := make([]ready, len(imported))
	b := frame.Bulk{On: len(imported) > fewImports}
	var last *kind
	for n := range imported {
		i, p := &imported[n], &all[n]
		if last == nil || !last.has(i.Record.Link) {
			var err error
			if last, err = k.known(i.Record.Link); err != nil {
				continue
			}
		}
		if i.Record.Deleted || i.checkLink() != nil || last.checkImported(i) != nil {
			continue
		}
		i.adopt(last)
		r := &i.Record
		seq := r.Seq
		r.Seq = frame.MaxSeq
		err := encode(&p.piece, b.Take(size(r)), r, &i.Origin, true)
		if r.Seq = seq; err != nil {
			continue
		}
		p.kind, p.raw, p.piece.Own = last, p.piece.Raw, digest.Of(p.piece.Link, p.piece.Version, p.piece.Body)
		i.ready = p
	}
}

// has tells whether the link is one of the kind.
func (k *kind) has(l kit.Link) bool {
	return len(l) > len(k.Name) && l[len(k.Name)] == '/' && string(l[:len(k.Name)]) == k.Name
}

// adopt makes i what a document of the kind is here.
func (i *Imported) adopt(k *kind) {
	r := &i.Record
	r.Kind = k.Name
	r.Created, r.Updated, r.Expires = stamp(r.Created), stamp(r.Updated), stamp(r.Expires)
}

// fewImports may be put one by one.
const fewImports = 100

// imports takes over documents of another cluster and returns those that it
// did not have yet.
func (p *plan) imports(imported []Imported) ([]kit.Record, error) {
	if len(imported) > fewImports && len(p.changes)+len(p.docs) == 0 && inSeries(imported) {
		return p.series(imported)
	}
	applied := make([]kit.Record, 0, len(imported))
	for n := range imported {
		i := &imported[n]
		if err := p.admit(i); err != nil {
			return nil, err
		}
		if old := p.find(i.Record.Link); old != nil && i.known(old.Origin.Stream, old.Origin.Seq) {
			continue
		}
		r, err := p.put(p.taken(i))
		if err != nil {
			return nil, err
		}
		applied = append(applied, r)
	}
	return applied, nil
}

// series is imports of many, each of which is a later change of one stream than
// that before it, where nothing was decided before them.
func (p *plan) series(imported []Imported) ([]kit.Record, error) {
	p.bulk.On = true
	known := p.store.known(imported)
	applied := make([]kit.Record, 0, len(imported))
	for n := range imported {
		i := &imported[n]
		if err := p.admit(i); err != nil {
			return nil, err
		}
		if known[n] {
			continue
		}
		piece, err := p.pieceOf(i)
		if err == nil {
			err = p.putNext(piece, len(imported))
		}
		if err != nil {
			return nil, err
		}
		applied = append(applied, i.Record)
		p.take(&applied[len(applied)-1])
	}
	return applied, nil
}

// inSeries tells whether each of the imports is a later change of one stream
// than that before it. If two are of the same document, the later one counts.
func inSeries(imported []Imported) bool {
	for n := 1; n < len(imported); n++ {
		a, b := &imported[n-1].Origin, &imported[n].Origin
		if a.Stream != b.Stream || a.Seq >= b.Seq {
			return false
		}
	}
	return true
}

// admit makes sure that i can be taken over.
func (p *plan) admit(i *Imported) error {
	link := i.Record.Link
	var k *kind
	if i.ready != nil {
		k = i.ready.kind
	} else {
		err := i.checkLink()
		if err == nil {
			k, err = p.store.kinds.known(link)
		}
		if err == nil {
			err = k.checkImported(i)
		}
		if err != nil {
			return err
		}
		i.adopt(k)
	}
	if k.Counter {
		if n := key.Number(link.ID()); n != math.MaxUint64 && int64(n) > p.counter(k.Name) {
			p.setCounter(k.Name, int64(n))
		}
	}
	return nil
}

// known tells whether a document, which was imported last from the stream at
// the seq, already is what i says, or later.
func (i *Imported) known(stream string, seq int64) bool {
	return !i.Again && stream == i.Origin.Stream && seq >= i.Origin.Seq
}

// known tells of each of the imports whether it is known here.
func (s *Store) known(imported []Imported) []bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	known := make([]bool, len(imported))
	for n := range imported {
		i := &imported[n]
		stream, seq, ok := s.engine.Origin(i.Record.Link)
		known[n] = ok && i.known(stream, seq)
	}
	return known
}

// taken returns the document of i as it is kept here, with the next seq still
// to come.
func (p *plan) taken(i *Imported) (kit.Record, frame.Origin) {
	r, o := i.Record, i.Origin
	if p.take(&r); r.Deleted {
		o.Hash = buried
	}
	return r, o
}

// take makes r, which was imported, what is kept here: with the last seq.
func (p *plan) take(r *kit.Record) {
	r.Seq = p.head.seq
	if r.Deleted {
		// What counts for collecting it is since when it is here: until then it
		// keeps an older import from bringing the document back.
		r.Body, r.Pending, r.Updated = nil, nil, p.now
	}
}

// pieceOf returns the document of i as it is kept here, at the next seq.
func (p *plan) pieceOf(i *Imported) (*frame.Piece, error) {
	if i.ready != nil {
		piece := &i.ready.piece
		piece.Raw = i.ready.raw // if this was tried before, it has moved
		piece.MoveTo(p.head.seq + 1)
		return piece, nil
	}
	r, o := p.taken(i)
	r.Seq = p.head.seq + 1
	piece := new(frame.Piece)
	return piece, encode(piece, p.bulk.Take(size(&r)), &r, &o, true)
}

// buried is the hash of a tombstone that came so: one of a document that was
// deleted here has none.
var buried = [16]byte{1}

// putNext is put in a series of so many.
func (p *plan) putNext(piece *frame.Piece, of int) error {
	if p.full && !piece.Deleted() {
		return at(kit.Link(piece.Link), errFull)
	}
	if len(p.changes) == 0 {
		seq, before := p.head.seq, p.size
		p.undo = append(p.undo, func() {
			clear(p.docs)
			p.changes, p.settled, p.head.seq, p.size = nil, 0, seq, before
		})
		p.changes = make([]*frame.Piece, 0, of)
	}
	p.changes = append(p.changes, piece)
	p.size += len(piece.Raw)
	p.head.seq++
	return nil
}

func (i *Imported) checkLink() error {
	if i.Valid {
		return nil
	}
	return at(i.Record.Link, i.Record.Link.Check())
}

// checkImported returns why i, whose kind k is, cannot be taken over.
func (k *kind) checkImported(i *Imported) error {
	r := &i.Record
	invalid := func(format string, args ...any) error {
		return &kit.Error{Fault: kit.ErrInvalid, Op: "import", Link: r.Link, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case k.Local:
		return invalid("%s stay in their cluster", k.Name)
	case i.Origin.Seq < 1:
		return invalid("it has no position at its origin")
	case r.Version < 1:
		return invalid("it has no version")
	case r.Deleted:
		return nil
	}
	return k.fitsIf(r.Link, r.Body, i.Valid)
}
