package query

import (
	"bytes"
	"slices"

	"landfall.dev/kit/store/key"
)

// LinkParts returns where the links of the kind's documents are that the filter
// passes, and the conjunct that says so, if any: all links otherwise.
func (f *Filter) LinkParts(kind string) (parts []Part, used []*Conjunct) {
	for _, c := range f.conjuncts {
		if c.bound == nil || c.bound.path != "link" {
			continue
		}
		if parts, ok := linkParts(kind, c.bound); ok {
			return parts, []*Conjunct{c}
		}
	}
	return []Part{{}}, nil
}

// Without returns the conjuncts but those in used.
func (f *Filter) Without(used []*Conjunct) []*Conjunct {
	var rest []*Conjunct
	for _, c := range f.conjuncts {
		if !slices.Contains(used, c) {
			rest = append(rest, c)
		}
	}
	return rest
}

// Parts returns where the values of the field are that the filter passes, the
// conjuncts that say so, and those of them that need no test then.
func (f *Filter) Parts(field string) (parts []Part, used, exact []*Conjunct) {
	for _, c := range f.conjuncts {
		if c.bound == nil || c.bound.path != field {
			continue
		}
		more, covers, ok := c.bound.parts()
		if !ok {
			continue
		}
		if used == nil {
			parts = more
		} else {
			parts = intersect(parts, more)
		}
		used = append(used, c)
		if covers {
			exact = append(exact, c)
		}
	}
	return parts, used, exact
}

// Part is a range of the keys of one field's values, or of several fields' one
// after the other. A bound that is nil is none.
type Part struct {
	From, To []byte
	Point    bool // it is one value
}

// Join returns the parts of keys that continue one of firsts, which are single
// values, with one of nexts.
func Join(firsts, nexts []Part) []Part {
	joined := make([]Part, 0, len(firsts)*len(nexts))
	for _, a := range firsts {
		for _, b := range nexts {
			joined = append(joined, Part{
				From:  slices.Concat(a.From, b.From),
				To:    slices.Concat(a.From, b.To),
				Point: b.Point,
			})
		}
	}
	return joined
}

// intersect returns what is in one of a and one of b, both ascending.
func intersect(a, b []Part) []Part {
	var common []Part
	for _, p := range a {
		for _, q := range b {
			from, to := p.From, p.To
			if bytes.Compare(q.From, from) > 0 {
				from = q.From
			}
			if bytes.Compare(q.To, to) < 0 {
				to = q.To
			}
			if bytes.Compare(from, to) < 0 {
				common = append(common, Part{from, to, p.Point || q.Point})
			}
		}
	}
	return common
}

// Untagged returns the part for keys that have times without their tag.
func (p Part) Untagged() Part {
	u := Part{Point: p.Point}
	if len(p.From) > 0 {
		u.From = p.From[1:]
	}
	if len(p.To) > 0 && p.To[0] == key.Time {
		u.To = p.To[1:]
	}
	return u
}
