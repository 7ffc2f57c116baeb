package query

import (
	"encoding/json"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"landfall.dev/kit"
	"landfall.dev/kit/store/field"
	"landfall.dev/kit/store/key"
)

// column is a field that a query names outside of its filter: "amount",
// "address.city".
type column struct {
	path  []string
	top   *shape // of the first name in path
	shape *shape // of the last
}

// column returns the field at the dotted path, or ErrInvalid with the right
// names.
func (v *vocabulary) column(path string) (column, error) {
	c := column{path: strings.Split(path, ".")}
	at, place := v.document, v.name
	for i, name := range c.path {
		var next *shape
		switch {
		case at.fields != nil:
			next = at.fields[name]
			if next == nil {
				return c, noField(place, name, at)
			}
		case at.cel.Kind() == types.MapKind:
			next = at.element
		default:
			return c, kit.Errorf(kit.ErrInvalid, "", "the field %q has no fields in it", strings.Join(c.path[:i], "."))
		}
		if i == 0 {
			c.top = next
		}
		at, place = next, place+"."+name
	}
	c.shape = at
	return c, nil
}

// of returns the value in the document, nil where it has none.
func (c *column) of(r kit.Record) ref.Val {
	v, ok := c.top.envelope(&r.Meta, c.path[0])
	if !ok {
		v = c.top.missing
		if raw := field.Find(r.Body, c.path[:1]); raw != nil {
			v = c.top.decode(raw)
		}
	}
	for _, name := range c.path[1:] {
		switch o := v.(type) {
		case *object:
			v, _ = o.field(name)
		case traits.Mapper:
			v, _ = o.Find(types.String(name))
		default:
			return nil
		}
	}
	if v == types.NullValue {
		return nil
	}
	return v
}

// appendScalar appends what equal values have the same of, in the order of
// values; it is not ok for lists and objects.
func appendScalar(b []byte, v ref.Val) (to []byte, ok bool) {
	switch v := v.(type) {
	case nil:
		return key.AppendValue(b, nil), true
	case types.Bool:
		return key.AppendValue(b, bool(v)), true
	case types.Int:
		return key.AppendValue(b, int64(v)), true
	case types.Uint:
		return key.AppendValue(b, uint64(v)), true
	case types.Double:
		return key.AppendValue(b, float64(v)), true
	case types.Timestamp:
		return key.AppendValue(b, v.Time), true
	case types.String: // all of it, unlike an index
		b = append(b, key.String)
		for i := range len(v) {
			if b = append(b, v[i]); v[i] == 0 {
				b = append(b, 0xff)
			}
		}
		return append(b, 0, 1), true
	}
	return b, false
}

// scalarJSON returns what appendScalar takes in JSON; null too for a number
// that JSON has not.
func scalarJSON(v ref.Val) json.RawMessage {
	var plain any
	switch v := v.(type) {
	case types.Bool:
		plain = bool(v)
	case types.Int:
		plain = int64(v)
	case types.Uint:
		plain = uint64(v)
	case types.Double:
		plain = float64(v)
	case types.String:
		plain = string(v)
	case types.Timestamp:
		plain = v.Time.UTC()
	}
	raw, err := json.Marshal(plain)
	if err != nil {
		return json.RawMessage("null")
	}
	return raw
}

// Projection keeps some own fields of documents.
type Projection map[string]bool

// Projection returns what keeps the named fields, nil if all.
func (f *Filter) Projection(names []string) (Projection, error) {
	v := f.vocabulary
	if len(names) == 0 {
		return nil, nil
	}
	p := Projection{}
	for _, name := range names {
		if v.document.fields[name] == nil {
			if top, _, nested := strings.Cut(name, "."); nested && v.document.fields[top] != nil {
				return nil, kit.Errorf(kit.ErrInvalid, "", "only whole fields can be selected: %q, not %q", top, name)
			}
			return nil, noField(v.name, name, v.document)
		}
		p[name] = true
	}
	return p, nil
}

// Of returns the document with the fields only.
func (p Projection) Of(r kit.Record) kit.Record {
	if p == nil {
		return r
	}
	body := []byte{'{'}
	for m := field.Walk(r.Body); m.Next(); {
		if !p[string(m.Name)] {
			continue
		}
		if len(body) > 1 {
			body = append(body, ',')
		}
		name, _ := json.Marshal(string(m.Name))
		body = append(append(append(body, name...), ':'), m.Raw...)
	}
	r.Body = append(body, '}')
	return r
}
