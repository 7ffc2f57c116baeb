package memory

import (
	"bytes"
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

// Scan yields the documents of the kind in the span, in the order of their keys,
// until yield returns false. The records share the store's memory.
func (v View) Scan(kind string, s Span, yield func(kit.Record) bool) {
	sh := v.shelves[kind]
	if sh == nil {
		return
	}
	emit := func(r place) bool {
		p := v.at(r)
		return yield(p.Record(sh.name))
	}
	if v.seq >= v.state.Seq {
		v.walk(sh, s, func(_ uint64, r place) bool { return emit(r) })
		return
	}
	v.merge(sh, s, emit)
}

// merge is scan at an earlier position: it leaves out what has changed since,
// and yields what was there instead.
func (v View) merge(sh *shelf, s Span, emit func(place) bool) {
	old := v.replaced(sh, s, v.seq)
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
	t, i, j := v.bounds(sh, s)
	if s.Reverse {
		t.back(i, j, yield)
	} else {
		t.each(i, j, yield)
	}
}

// bounds returns the tree of the span, and from which to before which number
// its records are in the span.
func (v View) bounds(sh *shelf, s Span) (t *tree, from, to int) {
	t = sh.tree(s.Order)
	by := v.sorter(sh, s.Order)
	to = t.n
	if s.From != nil {
		from = t.rank(&by, newProbe(s.From))
	}
	if s.To != nil {
		to = max(from, t.rank(&by, newProbe(s.To)))
	}
	return t, from, to
}

// Size returns how many documents are in the span. It takes no longer for
// many than for few. At an earlier position it counts those too that have
// changed since.
func (v View) Size(kind string, s Span) int64 {
	sh := v.shelves[kind]
	if sh == nil {
		return 0
	}
	_, from, to := v.bounds(sh, s)
	n := to - from
	if v.seq < v.state.Seq {
		exact := sorter{by: orderSeq}
		n += sh.feed.n - sh.feed.rank(&exact, probe{prefix: uint64(v.seq) + 1})
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
