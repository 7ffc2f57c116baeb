package query

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"landfall.dev/kit"
)

// The limits of the groups of one query.
const (
	maxGroups     = 10_000
	maxGroupBytes = 16 << 20 // of their keys and their least and greatest values
)

// Grouping is what a query computes instead of listing documents.
type Grouping struct {
	by       []column
	computes []compute
}

// compute is one of a query's computations.
type compute struct {
	function string
	column   column // none for a count
}

// Grouping returns what q computes, nil if it lists documents.
func (f *Filter) Grouping(q kit.Query) (*Grouping, error) {
	v := f.vocabulary
	if len(q.Group) == 0 && len(q.Compute) == 0 {
		return nil, nil
	}
	if len(q.Select) > 0 || q.Order != "" || q.Token != "" {
		return nil, kit.Errorf(kit.ErrInvalid, "", "a query with group or compute lists no documents: it takes no select, order or token")
	}
	g := &Grouping{}
	for _, name := range q.Group {
		c, err := v.column(name)
		if err != nil {
			return nil, err
		}
		if k := c.shape.cel.Kind(); k != types.DynKind && sortOf(c.shape.cel) == 0 {
			return nil, kit.Errorf(kit.ErrInvalid, "", "cannot group by %q: it is %s", name, inWords(c.shape.cel.String()))
		}
		g.by = append(g.by, c)
	}
	for _, text := range q.Compute {
		c, err := v.compute(text)
		if err != nil {
			return nil, err
		}
		g.computes = append(g.computes, c)
	}
	return g, nil
}

var computeForm = regexp.MustCompile(`^\s*(\w+)\s*\(\s*([^()\s]+)\s*\)\s*$`)

func (v *vocabulary) compute(text string) (compute, error) {
	if strings.TrimSpace(text) == "count" {
		return compute{function: "count"}, nil
	}
	m := computeForm.FindStringSubmatch(text)
	if m == nil || !slices.Contains([]string{"sum", "min", "max", "avg"}, m[1]) {
		return compute{}, &kit.Error{
			Fault: kit.ErrInvalid, Detail: fmt.Sprintf("%q cannot be computed", text),
			Hint: "use count, sum(field), min(field), max(field) or avg(field)",
		}
	}
	c, err := v.column(m[2])
	if err != nil {
		return compute{}, err
	}
	kind := c.shape.cel.Kind()
	number := kind == types.IntKind || kind == types.DoubleKind || kind == types.DynKind
	ordered := number || kind == types.StringKind || kind == types.TimestampKind
	if !number && (m[1] == "sum" || m[1] == "avg") || !ordered {
		return compute{}, kit.Errorf(kit.ErrInvalid, "", "%s: %q is no number, but %s", text, m[2], inWords(c.shape.cel.String()))
	}
	return compute{m[1], c}, nil
}

// Groups collects documents.
type Groups struct {
	*Grouping
	found map[string]*group // by the keys of their values
	bytes int               // see maxGroupBytes
	id    []byte            // that of the last document
}

// group has what is computed of the documents with the same values.
type group struct {
	key     []json.RawMessage
	count   int64
	results []result // one for each compute
}

// Start returns groups without documents.
func (g *Grouping) Start() *Groups {
	all := &Groups{Grouping: g, found: map[string]*group{}}
	if len(g.by) == 0 {
		all.found[""] = &group{results: make([]result, len(g.computes))}
	}
	return all
}

// Add counts the document in.
func (g *Groups) Add(r kit.Record) error {
	id := g.id[:0]
	for i := range g.by {
		c := &g.by[i]
		var ok bool
		if id, ok = appendScalar(id, c.of(r)); !ok {
			return kit.Errorf(kit.ErrInvalid, r.Link, "cannot group by %q: it is a list or an object in this document", strings.Join(c.path, "."))
		}
	}
	g.id = id
	to := g.found[string(id)]
	if to == nil {
		if len(g.found) == maxGroups {
			return tooManyGroups("there are more than %d groups", maxGroups)
		}
		to = &group{results: make([]result, len(g.computes))}
		for i := range g.by {
			value := scalarJSON(g.by[i].of(r))
			to.key = append(to.key, value)
			g.bytes += len(value)
		}
		g.bytes += len(id)
		g.found[string(id)] = to
	}
	to.count++
	for i := range g.computes {
		if c := &g.computes[i]; c.function != "count" {
			before := to.results[i].size()
			to.results[i].add(c.function, c.column.of(r))
			g.bytes += to.results[i].size() - before
		}
	}
	if g.bytes > maxGroupBytes {
		return tooManyGroups("the values of the groups have more than %d bytes", maxGroupBytes)
	}
	return nil
}

func tooManyGroups(format string, limit int) error {
	return &kit.Error{
		Fault: kit.ErrTooLarge, Detail: fmt.Sprintf(format, limit),
		Hint: "narrow the filter, or group by fields with fewer or shorter values",
	}
}

// Sorted returns the groups by their values.
func (g *Groups) Sorted() []kit.Group {
	ids := make([]string, 0, len(g.found))
	for id := range g.found {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	out := make([]kit.Group, 0, len(ids))
	for _, id := range ids {
		from := g.found[id]
		to := kit.Group{Key: from.key}
		for i, c := range g.computes {
			if c.function == "count" {
				to.Values = append(to.Values, fmt.Appendf(nil, "%d", from.count))
			} else {
				to.Values = append(to.Values, from.results[i].json(c.function))
			}
		}
		out = append(out, to)
	}
	return out
}

// result is a computation under way.
type result struct {
	n         int64
	whole     big.Int // the sum of the whole numbers
	fractions float64 // the sum of the others
	mixed     bool    // there were others
	extreme   ref.Val // the least or the greatest so far
}

// size is how many bytes of a string it keeps.
func (r *result) size() int {
	s, _ := r.extreme.(types.String)
	return len(s)
}

// add takes in a value; nil is none.
func (r *result) add(function string, v ref.Val) {
	if v == nil {
		return
	}
	if function == "min" || function == "max" {
		r.compare(function, v)
		return
	}
	switch v := v.(type) {
	case types.Int:
		r.whole.Add(&r.whole, big.NewInt(int64(v)))
	case types.Uint:
		r.whole.Add(&r.whole, new(big.Int).SetUint64(uint64(v)))
	case types.Double:
		r.fractions, r.mixed = r.fractions+float64(v), true
	default:
		return
	}
	r.n++
}

func (r *result) compare(function string, v ref.Val) {
	if sortOf(v.Type()) == 0 {
		return
	}
	if r.extreme == nil {
		r.extreme = v
		return
	}
	n, ok := r.extreme.(traits.Comparer).Compare(v).(types.Int)
	if ok && (function == "min" && n > 0 || function == "max" && n < 0) {
		r.extreme = v
	}
}

// json returns the result: null if nothing was added, or if it is too large for
// a number.
func (r *result) json(function string) json.RawMessage {
	sum, _ := new(big.Float).SetInt(&r.whole).Float64()
	sum += r.fractions
	switch {
	case function == "min" || function == "max":
		return scalarJSON(r.extreme)
	case function == "sum" && !r.mixed:
		return json.RawMessage(r.whole.String())
	case function == "sum":
		return scalarJSON(types.Double(sum))
	case r.n > 0:
		return scalarJSON(types.Double(sum / float64(r.n)))
	}
	return json.RawMessage("null")
}
