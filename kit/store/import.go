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
	piece frame.Piece // of a document, at the position frame.MaxSeq
}

// Prepare does what can be done of the imports ahead of their proposal, which
// is then decided on in less time. It may be called concurrently, for different
// ones. They must not change afterwards. What has to be refused is left for
// Decide to tell.
func (k *Kinds) Prepare(imported []Imported) {
	all := make([]ready, len(imported))
	b := bulk{on: len(imported) > fewImports}
	for n := range imported {
		i := &imported[n]
		kind, err := k.checkImported(i)
		if err != nil || i.Record.Deleted {
			continue
		}
		i.adopt(kind)
		r := i.Record
		r.Seq = frame.MaxSeq
		piece, err := encoded(b.take(size(r)), r, i.Origin)
		if err != nil {
			continue
		}
		piece.Own = digest.Of(piece.Link, piece.Version, piece.Body)
		all[n] = ready{kind, piece}
		i.ready = &all[n]
	}
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
	series := len(imported) > fewImports && len(p.changes)+len(p.docs) == 0 && inSeries(imported)
	if p.bulk.on = series; series {
		p.changes = make([]frame.Piece, 0, len(imported))
	}
	applied := make([]kit.Record, 0, len(imported))
	for n := range imported {
		r, ok, err := p.takeOver(&imported[n], series)
		if err != nil {
			return nil, err
		}
		if ok {
			applied = append(applied, r)
		}
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

// takeOver imports i, which is one of a series, before which nothing was
// decided, or not.
func (p *plan) takeOver(i *Imported, series bool) (kit.Record, bool, error) {
	var k *kind
	var err error
	if i.ready != nil {
		k = i.ready.kind
	} else if k, err = p.store.kinds.checkImported(i); err != nil {
		return kit.Record{}, false, err
	}
	link := i.Record.Link
	if k.Counter {
		if n := key.Number(link.ID()); n != math.MaxUint64 && int64(n) > p.counter(k.Name) {
			p.setCounter(k.Name, int64(n))
		}
	}
	var old *frame.Frame
	if series {
		old = p.store.find(link)
	} else {
		old = p.find(link)
	}
	if !i.Again && old != nil && old.Origin.Stream == i.Origin.Stream && old.Origin.Seq >= i.Origin.Seq {
		return kit.Record{}, false, nil
	}
	if i.ready == nil {
		i.adopt(k)
	}
	r, o := i.Record, i.Origin
	if r.Deleted {
		// What counts for collecting it is since when it is here: until then it
		// keeps an older import from bringing the document back.
		r.Body, r.Pending, r.Updated = nil, nil, p.now
		o.Hash = buried
	}
	if series {
		r, err = p.putNext(r, o, i.ready)
	} else {
		r, err = p.put(r, o)
	}
	return r, err == nil, err
}

// buried is the hash of a tombstone that came so: one of a document that was
// deleted here has none.
var buried = [16]byte{1}

// putNext is put in a series. What is ready may be nil.
func (p *plan) putNext(r kit.Record, o frame.Origin, ready *ready) (kit.Record, error) {
	if p.full && !r.Deleted {
		return kit.Record{}, at(r.Link, errFull)
	}
	r.Seq = p.head.seq + 1
	var piece frame.Piece
	if ready != nil {
		piece = ready.piece.At(r.Seq)
	} else {
		var err error
		if piece, err = encoded(p.bulk.take(size(r)), r, o); err != nil {
			return kit.Record{}, err
		}
	}
	if len(p.changes) == 0 {
		seq, before := p.head.seq, p.size
		p.undo = append(p.undo, func() {
			clear(p.docs)
			p.changes, p.settled, p.head.seq, p.size = nil, 0, seq, before
		})
	}
	p.changes = append(p.changes, piece)
	p.size += len(piece.Raw)
	p.head.seq++
	return r, nil
}

// checkImported returns the kind of i, or why i cannot be taken over.
func (k *Kinds) checkImported(i *Imported) (*kind, error) {
	r := &i.Record
	if !i.Valid {
		if err := r.Link.Check(); err != nil {
			return nil, at(r.Link, err)
		}
	}
	of, err := k.known(r.Link)
	if err != nil {
		return nil, err
	}
	invalid := func(format string, args ...any) error {
		return &kit.Error{Fault: kit.ErrInvalid, Op: "import", Link: r.Link, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case of.Local:
		return nil, invalid("%s stay in their cluster", of.Name)
	case i.Origin.Seq < 1:
		return nil, invalid("it has no position at its origin")
	case r.Version < 1:
		return nil, invalid("it has no version")
	case r.Deleted:
		return of, nil
	}
	return of, of.fitsIf(r.Link, r.Body, i.Valid)
}
