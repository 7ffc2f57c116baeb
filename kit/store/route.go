package store

import (
	"bytes"
	"slices"
	"strings"

	"landfall.dev/kit"
	"landfall.dev/kit/store/key"
	"landfall.dev/kit/store/memory"
	"landfall.dev/kit/store/query"
)

// maxSpans bounds how many parts of an ordering one query reads.
const maxSpans = 100

// route is a way to the documents that a filter passes: parts of an ordering,
// and what of the filter has to be tested on the documents there.
type route struct {
	kind  *kind
	order memory.Order
	spans []memory.Span     // disjoint and ascending
	fixed []byte            // the values that all keys in the spans start with
	left  []string          // the ordering's fields after those
	used  []*query.Conjunct // chose the spans
	rest  []*query.Conjunct // are tested
	size  int64             // how many documents are in the spans
}

// orderFields returns the fields that come before the id in the ordering's
// keys.
func (k *kind) orderFields(o memory.Order) []string {
	switch o {
	case memory.OrderLink:
		return nil
	case memory.OrderCreated:
		return []string{"created"}
	case memory.OrderUpdated:
		return []string{"updated"}
	}
	return k.Indexes[o]
}

// routes returns the ways to what the filter passes, one for each ordering.
func (k *kind) routes(v view, f *query.Filter) []route {
	routes := []route{k.linkRoute(f), k.route(memory.OrderCreated, f), k.route(memory.OrderUpdated, f)}
	for i := range k.Indexes {
		routes = append(routes, k.route(memory.Order(i), f))
	}
	for i := range routes {
		for _, s := range routes[i].spans {
			routes[i].size += v.Size(k.Name, s)
		}
	}
	return routes
}

// route uses what the filter says of the ordering's fields: single values of
// the first ones, then a range of the next.
func (k *kind) route(o memory.Order, f *query.Filter) route {
	fields := k.orderFields(o)
	r := route{kind: k, order: o, left: fields}
	parts := []query.Part{{}}
	var exact []*query.Conjunct
	for i, field := range fields {
		next, used, covered := f.Parts(field)
		if len(used) == 0 || len(parts)*len(next) > maxSpans {
			break
		}
		r.used, exact = append(r.used, used...), append(exact, covered...)
		parts = query.Join(parts, next)
		if slices.ContainsFunc(next, func(p query.Part) bool { return !p.Point }) {
			break
		}
		if len(parts) == 1 {
			r.fixed, r.left = parts[0].From, fields[i+1:]
		}
	}
	for _, p := range parts {
		if o == memory.OrderCreated || o == memory.OrderUpdated {
			p = p.Untagged()
		}
		r.spans = append(r.spans, memory.Span{Order: o, From: p.From, To: p.To})
	}
	if o < 0 {
		r.fixed, r.left = nil, fields
	}
	r.rest = f.Without(exact)
	return r
}

// linkRoute finds documents by their links.
func (k *kind) linkRoute(f *query.Filter) route {
	parts, used := f.LinkParts(k.Name)
	r := route{kind: k, order: memory.OrderLink, used: used, rest: f.Without(used)}
	for _, p := range parts {
		r.spans = append(r.spans, memory.Span{Order: memory.OrderLink, From: p.From, To: p.To})
	}
	return r
}

// leads tells whether the spans are in the order o one after the other.
func (r *route) leads(o memory.Order) bool {
	return r.order == o || slices.Equal(r.left, r.kind.orderFields(o))
}

// after returns the spans, in the direction, after the document that has the
// key last in the order o, which the route leads in; nil is before the first.
func (r *route) after(o memory.Order, last []byte, reverse bool) []memory.Span {
	if last != nil && r.order != o {
		last = slices.Concat(r.fixed, last)
	}
	var spans []memory.Span
	for _, s := range r.spans {
		s.Reverse = reverse
		switch {
		case last == nil:
		case reverse && (s.To == nil || bytes.Compare(last, s.To) < 0):
			s.To = last
		case !reverse && bytes.Compare(last, s.From) >= 0:
			s.From = key.After(last)
		}
		if s.To == nil || bytes.Compare(s.From, s.To) < 0 {
			spans = append(spans, s)
		}
	}
	if reverse {
		slices.Reverse(spans)
	}
	return spans
}

// plan describes the route.
func (r *route) plan() *kit.Plan {
	p := &kit.Plan{Scanned: r.size, Range: texts(r.used), Filter: texts(r.rest)}
	switch r.order {
	case memory.OrderLink, memory.OrderCreated, memory.OrderUpdated:
	default:
		p.Index = r.kind.memory.Indexes[r.order].Name
	}
	return p
}

func texts(conjuncts []*query.Conjunct) string {
	var all []string
	for _, c := range conjuncts {
		all = append(all, c.Text())
	}
	return strings.Join(all, " && ")
}
