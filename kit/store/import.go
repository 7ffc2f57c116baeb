package store

import (
	"fmt"
	"math"
	"slices"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/key"
)

// imports takes over documents of another cluster and returns those that it
// did not have yet.
func (p *plan) imports(imported []Imported) ([]kit.Record, error) {
	if p.bulk.on = len(imported) > 100; p.bulk.on && len(p.docs) == 0 {
		p.docs = make(map[kit.Link]*frame.Frame, len(imported))
	}
	applied := slices.Grow([]kit.Record(nil), len(imported))
	for _, i := range imported {
		r, ok, err := p.takeOver(i)
		if err != nil {
			return nil, err
		}
		if ok {
			applied = append(applied, r)
		}
	}
	return applied, nil
}

func (p *plan) takeOver(i Imported) (kit.Record, bool, error) {
	k, err := p.store.checkImported(i)
	if err != nil {
		return kit.Record{}, false, err
	}
	r := i.Record
	if n := key.Number(r.Link.ID()); k.Counter && n != math.MaxUint64 && int64(n) > p.counter(k.Name) {
		p.setCounter(k.Name, int64(n))
	}
	if old := p.find(r.Link); !i.Again && old != nil && old.Origin.Stream == i.Origin.Stream && old.Origin.Seq >= i.Origin.Seq {
		return kit.Record{}, false, nil
	}
	r.Kind = k.Name
	r.Created, r.Updated, r.Expires = stamp(r.Created), stamp(r.Updated), stamp(r.Expires)
	if r.Deleted {
		// What counts for collecting it is since when it is here: until then it
		// keeps an older import from bringing the document back.
		r.Body, r.Pending, r.Updated = nil, nil, p.now
	}
	r, err = p.put(r, i.Origin)
	return r, true, err
}

// checkImported returns the kind of i, or why i cannot be taken over.
func (s *Store) checkImported(i Imported) (*kind, error) {
	r := i.Record
	if !i.Valid {
		if err := r.Link.Check(); err != nil {
			return nil, at(r.Link, err)
		}
	}
	k, err := s.kinds.known(r.Link)
	if err != nil {
		return nil, err
	}
	invalid := func(format string, args ...any) error {
		return &kit.Error{Fault: kit.ErrInvalid, Op: "import", Link: r.Link, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case k.Local:
		return nil, invalid("%s stay in their cluster", k.Name)
	case i.Origin.Seq < 1:
		return nil, invalid("it has no position at its origin")
	case r.Version < 1:
		return nil, invalid("it has no version")
	case r.Deleted:
		return k, nil
	}
	return k, k.fitsIf(r.Link, r.Body, i.Valid)
}
