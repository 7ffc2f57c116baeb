package kit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// All yields the documents that the CEL filter passes, in the given order; see
// Query for both. It reads them page by page, as they were when it began.
//
// Who takes the documents so slowly that the history kept no longer goes back
// to that gets the rest as it is by then: no document is yielded twice, and none
// is missed that was there and passed the filter all the time; what was
// changed, added or deleted meanwhile shows in its older state or in its newer,
// and in an order other than by link it may come late. In such an order All
// keeps the links of all that it has yielded, and fails with ErrGone where the
// history is too short even to come a page further.
func (k Kind[T]) All(ctx context.Context, c Client, filter, order string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for r, err := range Records(ctx, c, Query{Kind: k.Name, Filter: filter, Order: order, Limit: 1000}) {
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			if !yield(k.Decode(r)) {
				return
			}
		}
	}
}

// Records yields the documents that q lists, on all pages, as Kind.All does. An
// error is the last.
func Records(ctx context.Context, c Client, q Query) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		done := yielded{order: q.Order}
		filter := q.Filter
		more := false // since the first page was read
		for {
			p, err := c.List(ctx, q)
			if more && errors.Is(err, ErrGone) && q.Token != "" {
				q.Token, q.Filter, more = "", done.rest(q.Kind, filter), false
				continue
			}
			if err != nil {
				yield(Record{}, err)
				return
			}
			for _, r := range p.Items {
				if !done.add(r.Link) {
					continue
				}
				if more = true; !yield(r, nil) {
					return
				}
			}
			if q.Token = p.Next; q.Token == "" {
				return
			}
		}
	}
}

// yielded tells which documents a list in the order has yielded: by link all up
// to the last, else each for itself, as a change moves it.
type yielded struct {
	order string
	last  string // id
	links map[Link]bool
}

// byLink tells whether the order is that by link.
func (y *yielded) byLink() (ok, reverse bool) {
	field, reverse := strings.CutPrefix(y.order, "-")
	return field == "" || field == "link", reverse
}

// add notes the link and tells whether it is new.
func (y *yielded) add(l Link) bool {
	byLink, reverse := y.byLink()
	if !byLink {
		if y.links == nil {
			y.links = map[Link]bool{}
		}
		known := y.links[l]
		y.links[l] = true
		return !known
	}
	way := compareIDs(l.ID(), y.last)
	if reverse {
		way = -way
	}
	if y.last != "" && way <= 0 {
		return false
	}
	y.last = l.ID()
	return true
}

// rest returns a filter for what filter passes and is not yielded yet. It may
// pass some that are, too; by link they are few.
func (y *yielded) rest(kind, filter string) string {
	byLink, reverse := y.byLink()
	if !byLink {
		return filter
	}
	than := ">"
	if reverse {
		than = "<"
	}
	last := NewLink(kind, y.last)
	rest := fmt.Sprintf("link %s %q", than, last)
	number := isNumber(y.last)
	if number {
		rest = fmt.Sprintf("size(link) %s %d || size(link) == %[2]d && %s", than, len(last), rest)
	}
	switch numbers := fmt.Sprintf("link.matches(%q)", "^"+kind+"/[1-9][0-9]{0,17}$"); {
	case number && !reverse:
		rest += " || !" + numbers
	case !number && reverse:
		rest += " || " + numbers
	}
	if filter == "" {
		return rest
	}
	return "(" + filter + ") && (" + rest + ")"
}

// compareIDs compares ids as lists by link do: numbers come first, by value.
func compareIDs(a, b string) int {
	switch x, y := isNumber(a), isNumber(b); {
	case x && y:
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	case x:
		return -1
	case y:
		return 1
	}
	return cmp.Compare(a, b)
}

// isNumber tells whether id counts as a number in the order by link: one of up
// to 18 digits without leading zeros.
func isNumber(id string) bool {
	return id != "" && len(id) <= 18 && id[0] != '0' && strings.Trim(id, "0123456789") == ""
}
