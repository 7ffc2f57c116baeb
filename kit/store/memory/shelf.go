package memory

import (
	"encoding/binary"

	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/key"
)

// Kind is what has to be known of a kind to keep its documents.
type Kind struct {
	Name     string
	Local    bool        // they count in no sums
	Versions int         // how many earlier ones of each are kept
	Indexes  []key.Index // have the orders 0, 1, 2...
}

// shelf is the documents of one kind.
type shelf struct {
	name    string
	kind    *Kind  // nil if the kind is not known
	live    tree   // documents by id
	dead    tree   // tombstones by id
	past    tree   // earlier versions of both that are not recent, by id and seq
	feed    tree   // both, by seq
	created tree   // documents by time and id
	updated tree   // documents by time and id
	due     tree   // both, those that have a due time, by that
	indexes []tree // documents, one for each index of the kind

	gathered []gathered // empty but while an entry is applied
}

// clone returns a copy that does not change with s.
func (s *shelf) clone() *shelf {
	c := *s
	c.indexes, c.gathered = append([]tree(nil), s.indexes...), nil
	return &c
}

// Further orderings, within the state.
const (
	orderDue  Order = -10 - iota
	orderPast       // id and seq
	orderSeq
	orderOnce     // idempotency keys
	orderOnceTime // the same by time
)

// sorter tells the keys of records in one order.
type sorter struct {
	by   Order
	mem  *memory
	skip int // bytes of a link before the id
	kind *Kind
}

// whole tells whether the first 8 bytes of a key are all of it.
func (s *sorter) whole() bool { return s.by == orderSeq }

// exact tells whether a record with the same first 8 bytes has the key p: then
// p is of a position, or of an id that is a number.
func (s *sorter) exact(p probe) bool {
	return s.whole() || s.by == OrderLink && len(p.key) == 8 && p.prefix>>63 == 0
}

// key appends the key of the record at r.
func (s *sorter) key(b []byte, r place) []byte {
	if s.by == orderOnce || s.by == orderOnceTime {
		o := onceAt(*s.mem, r)
		return onceKey(b, &o, s.by)
	}
	if s.by >= 0 { // an index is of fields of the body
		p, _ := frame.Unpack(s.mem.At(r))
		return s.keyOf(b, &p)
	}
	var p frame.Document
	p.Front(s.mem.At(r))
	return s.keyOf(b, &p)
}

// keyOf appends the key of the document.
func (s *sorter) keyOf(b []byte, p *frame.Document) []byte {
	id := frame.Text(p.Link[s.skip:])
	switch s.by {
	case orderSeq:
		return binary.BigEndian.AppendUint64(b, p.Seq)
	case orderPast:
		return binary.BigEndian.AppendUint64(append(key.AppendID(b, id), 0), p.Seq)
	case OrderLink:
	case OrderCreated:
		b = key.AppendTime(b, p.CreatedAt())
	case OrderUpdated:
		b = key.AppendTime(b, p.UpdatedAt())
	case orderDue:
		b = key.AppendTime(b, due(p))
	default:
		b = s.kind.Indexes[s.by].Append(b, p.Body)
	}
	return key.AppendID(b, id)
}

// tree returns the one of the documents in the order.
func (s *shelf) tree(o Order) *tree {
	switch o {
	case OrderLink:
		return &s.live
	case OrderCreated:
		return &s.created
	case OrderUpdated:
		return &s.updated
	}
	return &s.indexes[o]
}

// trees yields all of them and their orderings.
func (s *shelf) trees(p *frame.Document, yield func(Order, *tree)) {
	yield(orderSeq, &s.feed)
	if !due(p).IsZero() {
		yield(orderDue, &s.due)
	}
	if p.Deleted() {
		yield(OrderLink, &s.dead)
		return
	}
	yield(OrderLink, &s.live)
	yield(OrderCreated, &s.created)
	yield(OrderUpdated, &s.updated)
	for i := range s.indexes {
		yield(Order(i), &s.indexes[i])
	}
}

// kindName returns the part of a link before the id.
func kindName(link []byte) []byte {
	for i, c := range link {
		if c == '/' {
			return link[:i]
		}
	}
	return link
}
