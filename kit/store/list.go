package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"landfall.dev/kit"
	"landfall.dev/kit/store/key"
	"landfall.dev/kit/store/memory"
	"landfall.dev/kit/store/query"
	"landfall.dev/kit/store/token"
)

// The limits of one request.
const (
	defaultLimit = 100
	maxLimit     = 1000
	maxPage      = 16 << 20 // bytes of the documents on a page
	maxSorted    = 10_000   // documents that are sorted in memory
)

// maxWork bounds what one request looks at: a document counts as 1, and 1 for
// each KiB of it and each thousand of CEL's units that the filter takes. In a
// list of an earlier position, so does a change since then that is in the way.
// It is a variable for the tests.
var maxWork = 1_000_000

// List returns a page of the documents that q describes; q.Consistency is the
// caller's affair. See ListFor.
func (s *Store) List(q kit.Query) (kit.Page, error) {
	return s.ListFor(context.Background(), q, nil)
}

// ListFor is List for a caller who may see the documents that visible passes;
// nil passes all. A page for which too many documents had to be looked at has
// fewer than the limit, or none, and a token to go on with. A count or groups
// for which that would be are ErrTooLarge, and so is a page without a document
// that the caller may see: its token would tell of one that it may not. So are
// all where the filter costs too much on one document that was looked at.
func (s *Store) ListFor(ctx context.Context, q kit.Query, visible func(kit.Record) bool) (kit.Page, error) {
	l, err := s.newListing(q, visible)
	if err != nil {
		return kit.Page{}, err
	}
	page := kit.Page{Items: []kit.Record{}, Position: l.view.Position().String()}
	switch {
	case q.Explain:
		page.Plan, err = l.explain(ctx)
		return page, err
	case l.grouping != nil:
		page.Groups, err = l.groups(ctx)
	default:
		err = l.fill(ctx, &page)
	}
	if err == nil && q.Count {
		page.Count, err = l.count(ctx, page)
	}
	return page, err
}

// listing is a query under way.
type listing struct {
	kit.Query
	kind       *kind
	filter     *query.Filter
	visible    func(kit.Record) bool // nil for all
	order      memory.Order
	reverse    bool
	projection query.Projection
	grouping   *query.Grouping
	view       view
	present    bool   // the view is the present one
	last       []byte // the key that the page begins after, or nil
	routes     []route
}

// newListing checks q and finds the ways to its documents.
func (s *Store) newListing(q kit.Query, visible func(kit.Record) bool) (*listing, error) {
	l := &listing{Query: q, visible: visible}
	var err error
	if l.kind, err = s.kinds.known(kit.NewLink(q.Kind, "")); err != nil {
		return nil, err
	}
	if q.Limit < 0 || q.Limit > maxLimit {
		return nil, kit.Errorf(kit.ErrInvalid, "", "a limit of %d: it is 1 to %d", q.Limit, maxLimit)
	}
	if q.Limit == 0 {
		l.Limit = defaultLimit
	}
	if l.filter, err = s.filters.Compile(l.kind.Definition, q.Filter); err != nil {
		return nil, err
	}
	if l.projection, err = l.filter.Projection(q.Select); err != nil {
		return nil, err
	}
	if l.grouping, err = l.filter.Grouping(q); err != nil {
		return nil, err
	}
	if l.order, l.reverse, err = l.kind.ordering(q.Order); err != nil {
		return nil, err
	}
	if err := l.open(s); err != nil {
		return nil, err
	}
	l.routes = l.kind.routes(l.view, l.filter)
	return l, nil
}

// ordering returns what a query calls the order.
func (k *kind) ordering(name string) (o memory.Order, reverse bool, err error) {
	field, reverse := strings.CutPrefix(name, "-")
	switch field {
	case "", "link":
		return memory.OrderLink, reverse, nil
	case "created":
		return memory.OrderCreated, reverse, nil
	case "updated":
		return memory.OrderUpdated, reverse, nil
	}
	orders := []string{"link", "created", "updated"}
	for i, x := range k.Indexes {
		first := x[0]
		if first == field {
			return memory.Order(i), reverse, nil
		}
		if !slices.Contains(orders, first) {
			orders = append(orders, first)
		}
	}
	return 0, false, &kit.Error{
		Fault:  kit.ErrInvalid,
		Detail: fmt.Sprintf("%s has no order %q: use %s, or one of them with - in front", k.Name, name, strings.Join(orders, ", ")),
		Hint:   "an index that begins with a field makes it an order",
	}
}

// open finds the view that the query is about.
func (l *listing) open(s *Store) error {
	now := s.frozen()
	at := now.Position()
	if l.AsOf != (kit.Position{}) {
		at = l.AsOf
	}
	if l.Token != "" {
		t, err := token.Parse(l.Query)
		if err != nil {
			return err
		}
		at, l.last = t.At, t.Key
	}
	var err error
	l.view.View, err = now.AsOf(at)
	l.present = at == now.Position()
	var e *kit.Error
	if l.Token != "" && errors.As(err, &e) && e.Fault == kit.ErrGone {
		return &kit.Error{Fault: kit.ErrGone, Detail: "the list can no longer be continued: " + e.Detail, Hint: "list again from the first page"}
	}
	return err
}

// cheaper tells whether r looks at fewer documents than other, or tests less on
// them.
func (r *route) cheaper(other *route) bool {
	if r.size != other.size {
		return r.size < other.size
	}
	return len(r.rest) < len(other.rest)
}

// cheapest returns the route with the fewest documents.
func (l *listing) cheapest() *route {
	best := &l.routes[0]
	for i := range l.routes {
		if l.routes[i].cheaper(best) {
			best = &l.routes[i]
		}
	}
	return best
}

// best returns the route for a page, and whether the documents have to be
// sorted then. That is so if there is a route to so few that walking through
// all in their order would likely look at more before the page is full.
func (l *listing) best() (r *route, sorted bool) {
	for i := range l.routes {
		if c := &l.routes[i]; c.leads(l.order) && (r == nil || c.cheaper(r)) {
			r = c
		}
	}
	few := l.cheapest()
	if few.size < r.size && few.size <= maxSorted && few.size*few.size < int64(l.Limit)*r.size {
		return few, true
	}
	return r, false
}

// fill puts the documents into the page.
func (l *listing) fill(ctx context.Context, page *kit.Page) error {
	r, sorted := l.best()
	if sorted {
		if done, err := l.fillSorted(ctx, page, r); done || err != nil {
			return err
		}
		for i := range l.routes {
			if l.routes[i].order == l.order {
				r = &l.routes[i]
			}
		}
	}
	room := pageRoom{limit: l.Limit}
	more := false
	last, err := l.scan(ctx, r, r.after(l.order, l.last, l.reverse), func(rec kit.Record) bool {
		if more = !room.take(rec); more {
			return false
		}
		page.Items = append(page.Items, l.projection.Of(rec))
		return true
	})
	if errors.Is(err, errSpent) && last.Link == "" {
		return l.tooMuch(r, err)
	}
	if more || errors.Is(err, errSpent) {
		page.Next = token.Token{At: l.view.Position(), Key: l.kind.memory.Key(l.order, last)}.Encode(l.Query)
		return nil
	}
	return err
}

// pageRoom says when a page is full.
type pageRoom struct{ limit, items, bytes int }

// take tells whether the document still has room. The first always has.
func (p *pageRoom) take(r kit.Record) bool {
	if p.items == p.limit || p.items > 0 && p.bytes+len(r.Body) > maxPage {
		return false
	}
	p.items++
	p.bytes += len(r.Body)
	return true
}

// fillSorted is fill by a route that does not lead in the order. It is not done
// where that would be too much work.
func (l *listing) fillSorted(ctx context.Context, page *kit.Page, r *route) (done bool, err error) {
	type keyed struct {
		key []byte
		rec kit.Record
	}
	found := make([]keyed, 0, r.size)
	direction := 1
	if l.reverse {
		direction = -1
	}
	_, err = l.scan(ctx, r, r.spans, func(rec kit.Record) bool {
		key := l.kind.memory.Key(l.order, rec)
		if l.last == nil || direction*bytes.Compare(key, l.last) > 0 {
			found = append(found, keyed{key, rec})
		}
		return true
	})
	if errors.Is(err, errSpent) {
		return false, nil
	}
	slices.SortFunc(found, func(a, b keyed) int { return direction * bytes.Compare(a.key, b.key) })
	room := pageRoom{limit: l.Limit}
	for i, f := range found {
		if !room.take(f.rec) {
			page.Next = token.Token{At: l.view.Position(), Key: found[i-1].key}.Encode(l.Query)
			break
		}
		page.Items = append(page.Items, l.projection.Of(f.rec))
	}
	return true, err
}

// groups computes.
func (l *listing) groups(ctx context.Context) ([]kit.Group, error) {
	all := l.grouping.Start()
	var wrong error
	r := l.cheapest()
	_, err := l.scan(ctx, r, r.spans, func(rec kit.Record) bool {
		wrong = all.Add(rec)
		return wrong == nil
	})
	if wrong != nil {
		return nil, wrong
	}
	if err != nil {
		return nil, l.tooMuch(r, err)
	}
	return all.Sorted(), nil
}

// count counts the documents on all pages, of which page is one.
func (l *listing) count(ctx context.Context, page kit.Page) (*int64, error) {
	n := int64(len(page.Items))
	if l.grouping == nil && l.last == nil && page.Next == "" {
		return &n, nil
	}
	r := l.cheapest()
	if n = r.size; l.present && l.visible == nil && len(r.rest) == 0 {
		return &n, nil
	}
	n = 0
	_, err := l.scan(ctx, r, r.spans, func(kit.Record) bool {
		n++
		return true
	})
	return &n, l.tooMuch(r, err)
}

// explain says how the query is answered. Who may not see all documents is told
// how many of those in the way it may see.
func (l *listing) explain(ctx context.Context) (*kit.Plan, error) {
	r, sorted := l.best()
	if l.grouping != nil {
		r, sorted = l.cheapest(), false
	}
	p := r.plan()
	p.Sorted = sorted
	if l.visible == nil {
		return p, nil
	}
	all := *r
	all.rest, p.Scanned = nil, 0
	_, err := l.scan(ctx, &all, r.spans, func(kit.Record) bool {
		p.Scanned++
		return true
	})
	return p, l.tooMuch(r, err)
}

// errSpent ends a scan that looks at too much.
var errSpent = errors.New("too much work")

// scan yields the visible documents in the spans that pass the rest of the
// route's filter, until yield returns false. It returns the last visible one
// that it has looked at and yield has not refused, and errSpent where it has
// looked at too much.
func (l *listing) scan(ctx context.Context, r *route, spans []memory.Span, yield func(kit.Record) bool) (last kit.Record, err error) {
	test := l.filter.Test(r.rest)
	work, checked := 0, 0
	goOn := func() bool {
		switch {
		case work >= maxWork:
			err = errSpent
		case work >= checked:
			checked = work + 100
			if ctx.Err() != nil {
				err = &kit.Error{Fault: kit.ErrTimeout, Detail: "the query was given up", Err: context.Cause(ctx)}
			}
		}
		return err == nil
	}
	skip := func(n int) bool {
		work += n
		return goOn()
	}
	l.view.Scan(l.kind.Name, spans, skip, func(rec kit.Record) bool {
		if !goOn() {
			return false
		}
		work += 1 + len(rec.Body)>>10
		if l.visible != nil && !l.visible(rec) {
			return true
		}
		passes, costly := test.Passes(rec)
		work += int(test.Cost()) / 1000
		if costly != nil {
			err = costly
			return false
		}
		if passes && !yield(rec) {
			return false
		}
		last = rec
		return true
	})
	return last, err
}

// tooMuch says what to do about errSpent.
func (l *listing) tooMuch(r *route, err error) error {
	if !errors.Is(err, errSpent) {
		return err
	}
	what := "all of " + l.kind.Name
	if l.Filter != "" {
		what = fmt.Sprintf("the %s that pass the filter %s", l.kind.Name, l.Filter)
	}
	e := kit.Errorf(kit.ErrTooLarge, "", "to answer for %s, more than the limit of %d documents, or KiB of them, have to be looked at", what, maxWork)
	e.Hint = "narrow the filter"
	if !l.present {
		e.Hint = "narrow the filter, or list as of now: what has changed since then counts too"
	}
	for _, c := range r.rest {
		if path := c.Field(); path != "" && l.kind.indexable(path) {
			e.Hint = fmt.Sprintf("declare an index of %s that begins with %q, or narrow the filter", l.kind.Name, path)
			break
		}
	}
	return e
}

// indexable tells whether an index that begins with the field could be
// declared and is not.
func (k *kind) indexable(path string) bool {
	_, _, none := k.ordering(path)
	return none != nil && key.Indexable(k.Type, path)
}
