package memory

import (
	"bytes"
	"iter"
	"slices"

	"landfall.dev/kit"
	"landfall.dev/kit/store/key"
)

// Order is a way through the documents of a kind: one of those below, or
// the number of one of the kind's indexes.
type Order int

// The orders of every kind.
const (
	OrderLink Order = -1 - iota
	OrderCreated
	OrderUpdated
)

// Span is a part of an order: the documents whose keys are at least From
// and below To. A bound that is nil is none.
type Span struct {
	Order    Order
	From, To []byte
	Reverse  bool // the highest key first
}

func (s Span) has(key []byte) bool {
	return bytes.Compare(key, s.From) >= 0 && (s.To == nil || bytes.Compare(key, s.To) < 0)
}

// Key returns the key of a document in the order. It ends in that of its id, so
// no two documents have the same.
func (k *Kind) Key(o Order, r kit.Record) []byte {
	var b []byte
	switch o {
	case OrderLink:
	case OrderCreated:
		b = key.AppendTime(b, r.Created)
	case OrderUpdated:
		b = key.AppendTime(b, r.Updated)
	default:
		b = k.Indexes[o].Append(b, r.Body)
	}
	return key.AppendID(b, r.Link.ID())
}

// View is the state as it was at one position. It never changes. Its methods
// may be called concurrently.
type View struct {
	*state
	seq int64 // the position
}

// Position is where the view shows the documents.
func (v View) Position() kit.Position { return kit.Position{Epoch: v.Epoch, Seq: v.seq} }

// AsOf returns the view at an earlier position, as scan and size show it. It
// is ErrGone where the history kept does not go back so far, and
// ErrUnavailable where this node has not got that far yet.
func (v View) AsOf(at kit.Position) (View, error) {
	if err := v.reachable(at); err != nil {
		return v, err
	}
	if at.Seq < v.horizon || v.Reaches("", at) != nil {
		return v, tooOld(at, "is too old: what was at that time is forgotten")
	}
	v.seq = at.Seq
	return v, nil
}

// Scan yields the documents of the kind in the spans, in the order of their
// keys, until yield returns false. The records share the store's memory. The
// spans are disjoint parts of one order, which they are in, or in its reverse.
//
// At an earlier position it tells skip of as many changes as it has to look at
// beyond what it yields, before it does, and ends if that returns false.
func (v View) Scan(kind string, spans []Span, skip func(n int) bool, yield func(kit.Record) bool) {
	sh := v.shelves[kind]
	if sh == nil || len(spans) == 0 {
		return
	}
	more := true
	emit := func(r place) bool {
		p := v.at(r)
		more = yield(p.Record(sh.name))
		return more
	}
	var old []keyed
	now := v.seq >= v.state.Seq
	if !now && spans[0].Order != OrderLink {
		if !skip(v.changes(sh)) {
			return
		}
		old = v.replaced(sh, hull(spans), v.seq)
	}
	for i := 0; more && i < len(spans); i++ {
		switch s := spans[i]; {
		case now:
			v.walk(sh, s, func(_ uint64, r place) bool { return emit(r) })
		case s.Order == OrderLink:
			v.byLink(sh, s, func(r place) bool {
				if r = v.then(sh, r); r == 0 {
					more = skip(1)
					return more
				}
				return emit(r)
			})
		default:
			v.merge(sh, s, s.part(old), emit)
		}
	}
}

// hull returns the span from the start of the lowest to the end of the highest.
func hull(spans []Span) Span {
	low, high := spans[0], spans[len(spans)-1]
	if low.Reverse {
		low, high = high, low
	}
	return Span{Order: low.Order, From: low.From, To: high.To}
}

// part returns those in the span of documents that are sorted by key.
func (s Span) part(all []keyed) []keyed {
	from, to := 0, len(all)
	compare := func(d keyed, key []byte) int { return bytes.Compare(d.key, key) }
	if s.From != nil {
		from, _ = slices.BinarySearchFunc(all, s.From, compare)
	}
	if s.To != nil {
		to, _ = slices.BinarySearchFunc(all, s.To, compare)
	}
	return all[from:max(from, to)]
}

// byLink yields the documents and tombstones in the span, which is one of the
// order of links. All versions of a document have one key in that, so what was
// there before a change is found on the way.
func (v View) byLink(sh *shelf, s Span, yield func(place) bool) {
	next, stop := iter.Pull(func(yield func(place) bool) {
		v.walkTree(sh, &sh.dead, s, func(_ uint64, r place) bool { return yield(r) })
	})
	defer stop()
	direction := 1
	if s.Reverse {
		direction = -1
	}
	by := v.sorter(sh, OrderLink)
	dead, left := next()
	more := true
	v.walk(sh, s, func(_ uint64, r place) bool {
		for more && left && bytes.Compare(by.key(nil, dead), by.key(nil, r))*direction < 0 {
			more = yield(dead)
			dead, left = next()
		}
		more = more && yield(r)
		return more
	})
	for ; more && left; dead, left = next() {
		more = yield(dead)
	}
}

// then returns what there was at the view's position of the document or
// tombstone that is at r now, none if there was no document.
func (v View) then(sh *shelf, r place) place {
	p := v.at(r)
	if int64(p.Seq) > v.seq {
		if r = v.before(sh, &p, v.seq); r == 0 {
			return 0
		}
		p = v.at(r)
	}
	if p.Deleted() {
		return 0
	}
	return r
}

// merge is Scan at an earlier position: it leaves out what has changed since,
// and yields what was there instead, which is old.
func (v View) merge(sh *shelf, s Span, old []keyed, emit func(place) bool) {
	direction := 1
	if s.Reverse {
		slices.Reverse(old)
		direction = -1
	}
	by := v.sorter(sh, s.Order)
	more := true
	v.walk(sh, s, func(_ uint64, r place) bool {
		if int64(v.at(r).Seq) > v.seq {
			return true
		}
		if len(old) > 0 {
			for key := by.key(nil, r); more && len(old) > 0 && bytes.Compare(old[0].key, key)*direction < 0; old = old[1:] {
				more = emit(old[0].place)
			}
		}
		more = more && emit(r)
		return more
	})
	for ; more && len(old) > 0; old = old[1:] {
		more = emit(old[0].place)
	}
}

// walk yields the records in the span as they are now.
func (v View) walk(sh *shelf, s Span, yield func(uint64, place) bool) {
	v.walkTree(sh, sh.tree(s.Order), s, yield)
}

func (v View) walkTree(sh *shelf, t *tree, s Span, yield func(uint64, place) bool) {
	i, j := v.bounds(sh, t, s)
	if s.Reverse {
		t.back(i, j, yield)
	} else {
		t.each(i, j, yield)
	}
}

// bounds returns from which to before which number the records of the tree,
// which has the order of the span, are in the span.
func (v View) bounds(sh *shelf, t *tree, s Span) (from, to int) {
	by := v.sorter(sh, s.Order)
	to = t.n
	if s.From != nil {
		from = t.rank(&by, newProbe(s.From))
	}
	if s.To != nil {
		to = max(from, t.rank(&by, newProbe(s.To)))
	}
	return from, to
}

// changes returns how many documents of the shelf have changed since the
// view's position.
func (v View) changes(sh *shelf) int {
	by := sorter{by: orderSeq}
	return sh.feed.n - sh.feed.rank(&by, probe{prefix: uint64(v.seq) + 1})
}

// Size returns how many documents are in the span. It takes no longer for
// many than for few. At an earlier position it counts those too that have
// changed since.
func (v View) Size(kind string, s Span) int64 {
	sh := v.shelves[kind]
	if sh == nil {
		return 0
	}
	from, to := v.bounds(sh, sh.tree(s.Order), s)
	n := to - from
	if v.seq < v.state.Seq {
		n += v.changes(sh)
	}
	return int64(n)
}

// Has tells whether there is a document or tombstone at link.
func (v View) Has(link kit.Link) bool {
	_, r := v.find(link)
	return r != 0
}

// Floors returns the highest seq of the tombstones that were collected, by
// kind. The caller does not change it.
func (v View) Floors() map[string]int64 { return v.floors }
