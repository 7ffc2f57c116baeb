package memory

import (
	"bytes"
	"maps"
	"slices"

	"landfall.dev/kit/store/frame"
)

// Write writes all documents, all tombstones, the earlier versions that their
// kinds keep and the idempotency keys; equal states give equal bytes.
func (s *state) Write(w *frame.Writer) (err error) {
	document := func(of byte) func(uint64, place) bool {
		return func(_ uint64, r place) bool {
			p := s.at(r)
			err = w.WriteRaw(of, s.mem.At(r)[:p.Size])
			return err == nil
		}
	}
	kinds := slices.Sorted(maps.Keys(s.shelves))
	for _, name := range kinds {
		if t := s.shelves[name].live; err == nil {
			t.each(0, t.n, document(frame.TypeDocument))
		}
	}
	for _, name := range kinds {
		if t := s.shelves[name].dead; err == nil {
			t.each(0, t.n, document(frame.TypeDocument))
		}
	}
	for _, name := range kinds {
		if err == nil {
			s.shelves[name].kept(s, document(frame.TypePast))
		}
	}
	if err != nil {
		return err
	}
	return s.writeOnces(w)
}

// kept yields the earlier versions of each document that its kind keeps.
func (sh *shelf) kept(s *state, yield func(uint64, place) bool) {
	n := sh.versions()
	if n == 0 {
		return
	}
	var last []place // of one document
	flush := func() bool {
		for _, r := range last[max(0, len(last)-n):] {
			if !yield(0, r) {
				return false
			}
		}
		last = last[:0]
		return true
	}
	more := true
	sh.earlier(s, func(r place) bool {
		if len(last) > 0 && linkAt(*s.mem, last[0]) != linkAt(*s.mem, r) {
			more = flush()
		}
		last = append(last, r)
		return more
	})
	if more {
		flush()
	}
}

// earlier yields all earlier versions by id and seq.
func (sh *shelf) earlier(s *state, yield func(place) bool) {
	var recent []keyed
	by := s.sorter(sh, orderPast)
	s.recent.each(0, s.recent.n, func(_ uint64, r place) bool {
		if p := s.at(r); string(kindName(p.Link)) == sh.name {
			recent = append(recent, keyed{by.keyOf(nil, &p), r})
		}
		return true
	})
	slices.SortFunc(recent, func(a, b keyed) int { return bytes.Compare(a.key, b.key) })
	more := true
	sh.past.each(0, sh.past.n, func(_ uint64, r place) bool {
		for key := by.key(nil, r); more && len(recent) > 0 && bytes.Compare(recent[0].key, key) < 0; recent = recent[1:] {
			more = yield(recent[0].place)
		}
		more = more && yield(r)
		return more
	})
	for ; more && len(recent) > 0; recent = recent[1:] {
		more = yield(recent[0].place)
	}
}

func (s *state) writeOnces(w *frame.Writer) (err error) {
	t := s.onces
	t.each(0, t.n, func(_ uint64, r place) bool {
		if o := onceAt(*s.mem, r); !o.Expired(s.Time) {
			err = w.WriteRaw(frame.TypeOnce, s.mem.At(r)[:o.Size])
		}
		return err == nil
	})
	return err
}
