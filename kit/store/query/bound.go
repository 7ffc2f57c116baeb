package query

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"

	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"landfall.dev/kit"
	"landfall.dev/kit/store/key"
)

// bound is what a conjunct says of one field, where that is all that it says:
// status == "open", amount >= 3, name.startsWith("a"), state in ["a", "b"].
type bound struct {
	path   string // of the field
	shape  *shape // of its values
	op     string // an operator of CEL, or startsWith
	values []ref.Val
}

// mirrored are the operators for operands in the other order.
var mirrored = map[string]string{
	operators.Equals: operators.Equals,
	operators.Less:   operators.Greater, operators.LessEquals: operators.GreaterEquals,
	operators.Greater: operators.Less, operators.GreaterEquals: operators.LessEquals,
}

// bound returns what e says of one field, or nil.
func (v *vocabulary) bound(e celast.Expr) *bound {
	if path, s := v.path(e); s != nil {
		return bind(path, s, operators.Equals, types.True)
	}
	if e.Kind() != celast.CallKind {
		return nil
	}
	c := e.AsCall()
	args := c.Args()
	switch op := c.FunctionName(); {
	case op == operators.LogicalNot:
		if path, s := v.path(args[0]); s != nil {
			return bind(path, s, operators.Equals, types.False)
		}
	case op == overloads.StartsWith && c.IsMemberFunction():
		if path, s := v.path(c.Target()); s != nil {
			return bind(path, s, op, constant(args[0]))
		}
	case op == operators.In && args[1].Kind() == celast.ListKind:
		var values []ref.Val
		for _, element := range args[1].AsList().Elements() {
			values = append(values, constant(element))
		}
		if path, s := v.path(args[0]); s != nil && len(values) > 0 {
			return bind(path, s, op, values...)
		}
	case mirrored[op] != "":
		if path, s := v.path(args[0]); s != nil {
			return bind(path, s, op, constant(args[1]))
		}
		if path, s := v.path(args[1]); s != nil {
			return bind(path, s, mirrored[op], constant(args[0]))
		}
	}
	return nil
}

// bind returns the bound if all values are of the sort that s is.
func bind(path string, s *shape, op string, values ...ref.Val) *bound {
	for _, v := range values {
		if v == nil || sortOf(v.Type()) == 0 || s.cel.Kind() != types.DynKind && sortOf(v.Type()) != sortOf(s.cel) {
			return nil
		}
	}
	return &bound{path: path, shape: s, op: op, values: values}
}

// sortOf tells values apart that never compare: 0 is what no index orders.
func sortOf(t ref.Type) int {
	switch k := t.(*types.Type).Kind(); k {
	case types.IntKind, types.UintKind, types.DoubleKind:
		return int(types.DoubleKind)
	case types.StringKind, types.BoolKind, types.TimestampKind:
		return int(k)
	}
	return 0
}

// constant returns the value that e always has, or nil.
func constant(e celast.Expr) ref.Val {
	if v := literal(e); v != nil {
		return v
	}
	if e.Kind() != celast.CallKind {
		return nil
	}
	c := e.AsCall()
	if c.FunctionName() != overloads.TypeConvertTimestamp || len(c.Args()) != 1 {
		return nil
	}
	text, ok := literal(c.Args()[0]).(types.String)
	at, err := time.Parse(time.RFC3339Nano, string(text))
	if !ok || err != nil {
		return nil
	}
	return types.Timestamp{Time: at}
}

// parts returns where in the keys of an index the values are that b passes, in
// ascending order, and whether these are no others: a value that is missing is
// in there if it may pass, but has to be tested. It is not ok if the keys do
// not tell.
func (b *bound) parts() (parts []Part, covers, ok bool) {
	covers = true
	for _, v := range b.values {
		p, ok := b.part(v)
		if !ok {
			return nil, false, false
		}
		parts = append(parts, p)
		if covers && b.passesMissing(v) {
			null := key.AppendValue(nil, nil)
			parts = append(parts, Part{null, key.PrefixEnd(null), true})
			covers = false
		}
	}
	slices.SortFunc(parts, func(p, q Part) int { return bytes.Compare(p.From, q.From) })
	parts = slices.CompactFunc(parts, func(p, q Part) bool { return bytes.Equal(p.From, q.From) })
	return parts, covers, true
}

// part returns where the values are that compare with v as b says.
func (b *bound) part(v ref.Val) (Part, bool) {
	prefix, point, ok := b.key(v)
	if !ok {
		return Part{}, false
	}
	first, end := []byte{prefix[0]}, key.PrefixEnd(prefix[:1])
	if v.Type() == types.BoolType {
		first, end = []byte{key.False}, key.PrefixEnd([]byte{key.True})
	}
	switch b.op {
	case operators.Less:
		return Part{From: first, To: prefix}, true
	case operators.LessEquals:
		return Part{From: first, To: key.PrefixEnd(prefix)}, true
	case operators.Greater:
		return Part{From: key.PrefixEnd(prefix), To: end}, true
	case operators.GreaterEquals:
		return Part{From: prefix, To: end}, true
	case overloads.StartsWith:
		start := key.AppendPrefix(nil, string(v.(types.String)))
		return Part{From: start, To: key.PrefixEnd(start)}, true
	}
	return Part{From: prefix, To: key.PrefixEnd(prefix), Point: point}, true
}

// key returns what the keys of all values start with that are equal to v, and
// whether it is all of their keys.
func (b *bound) key(v ref.Val) (prefix []byte, point, ok bool) {
	switch v := v.(type) {
	case types.String:
		return key.AppendValue(nil, string(v)), true, len(v) < key.MaxIndexed
	case types.Bool:
		return key.AppendValue(nil, bool(v)), true, true
	case types.Timestamp:
		return key.AppendValue(nil, v.Time), true, true
	case types.Int:
		if b.shape.cel.Kind() == types.IntKind {
			return key.AppendValue(nil, int64(v)), true, true
		}
		return keyOfFloat(float64(v))
	case types.Uint:
		if b.shape.cel.Kind() == types.IntKind {
			return key.AppendValue(nil, uint64(v)), true, true
		}
		return keyOfFloat(float64(v))
	case types.Double:
		return keyOfFloat(float64(v))
	}
	return nil, false, false
}

// keyOfFloat leaves out what a key says of whole numbers beyond the precision
// of f: they are equal to it.
func keyOfFloat(f float64) (prefix []byte, point, ok bool) {
	prefix = key.AppendValue(nil, f)
	if math.Abs(f) < 1<<53 {
		return prefix, true, true
	}
	return prefix[:len(prefix)-2], false, true
}

// passesMissing tells whether a document without the field may pass.
func (b *bound) passesMissing(v ref.Val) bool {
	missing := b.shape.missing
	if missing == nil || missing == types.NullValue {
		return false
	}
	if b.op == overloads.StartsWith {
		return v == types.String("")
	}
	c, ok := missing.(traits.Comparer)
	if !ok {
		return false
	}
	n, ok := c.Compare(v).(types.Int)
	switch b.op {
	case operators.Less:
		return ok && n < 0
	case operators.LessEquals:
		return ok && n <= 0
	case operators.Greater:
		return ok && n > 0
	case operators.GreaterEquals:
		return ok && n >= 0
	}
	return ok && n == 0
}

// linkParts returns where the documents of the kind are whose links b passes.
// It is not ok if the order by link does not tell.
func linkParts(kind string, b *bound) (parts []Part, ok bool) {
	if b.op == overloads.StartsWith {
		return prefixParts(kind, string(b.values[0].(types.String))), true
	}
	if b.op != operators.Equals && b.op != operators.In {
		return nil, false
	}
	for _, v := range b.values {
		l := kit.Link(v.(types.String))
		if l.Check() != nil || l.Kind() != kind {
			continue
		}
		from := key.AppendID(nil, l.ID())
		parts = append(parts, Part{From: from, To: key.After(from)})
	}
	slices.SortFunc(parts, func(a, b Part) int { return bytes.Compare(a.From, b.From) })
	return slices.CompactFunc(parts, func(a, b Part) bool { return bytes.Equal(a.From, b.From) }), true
}

// prefixParts returns where the links are that start with prefix. Ids that are
// numbers are in the order of these: all that start with 12 are 12, 120 to 129,
// 1200 to 1299 and so on.
func prefixParts(kind, prefix string) []Part {
	all := kind + "/"
	id, ok := strings.CutPrefix(prefix, all)
	switch {
	case strings.HasPrefix(all, prefix):
		return []Part{{}}
	case !ok || kit.CheckID(id) != nil && id != "." && id != "..":
		return nil
	}
	var parts []Part
	if n := key.Number(id); n != math.MaxUint64 {
		for low, high := n, n+1; high <= 1e18; low, high = low*10, high*10 {
			parts = append(parts, Part{From: binary.BigEndian.AppendUint64(nil, low), To: binary.BigEndian.AppendUint64(nil, high)})
		}
	}
	words := append([]byte{id[0] | 0x80}, id[1:]...)
	return append(parts, Part{From: words, To: key.PrefixEnd(words)})
}
