package query

import (
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"landfall.dev/kit"
	"landfall.dev/kit/store/field"
)

// shape is what queries know of the values of a Go type in JSON: their type in
// CEL, and what a value that is missing or null counts as.
type shape struct {
	cel     *types.Type
	missing ref.Val           // nil if a missing value is none at all
	fields  map[string]*shape // of an object, by their JSON names
	element *shape            // of a list's and a map's values
}

// The shapes without parts.
var (
	textShape   = &shape{cel: types.StringType, missing: types.String("")}
	wholeShape  = &shape{cel: types.IntType, missing: types.IntZero}
	numberShape = &shape{cel: types.DoubleType, missing: types.Double(0)}
	truthShape  = &shape{cel: types.BoolType, missing: types.False}
	timeShape   = &shape{cel: types.TimestampType}
	anyShape    = &shape{cel: types.DynType}
)

// shapes makes the shapes of the types in a kind. One of each type, so that a
// type may contain itself.
type shapes struct {
	made  map[reflect.Type]*shape
	named map[string]*shape // the objects, by the names that CEL has for them
}

// of returns the shape of t, which is found at path in the kind.
func (s *shapes) of(t reflect.Type, path string) *shape {
	if t == reflect.TypeFor[time.Time]() {
		return timeShape
	}
	if t.Kind() == reflect.Pointer {
		return nullable(s.of(t.Elem(), path))
	}
	if encodesItself(t) {
		return &shape{cel: types.DynType, missing: plainZero(t)}
	}
	switch t.Kind() {
	case reflect.Bool:
		return truthShape
	case reflect.String:
		return textShape
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return wholeShape
	case reflect.Float32, reflect.Float64:
		return numberShape
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return anyShape // in base64
		}
		element := s.of(t.Elem(), path)
		return &shape{cel: types.NewListType(element.cel), missing: newList(nil), element: element}
	case reflect.Map:
		element := s.of(t.Elem(), path)
		return &shape{cel: types.NewMapType(types.StringType, element.cel), missing: newMap(nil), element: element}
	case reflect.Struct:
		return s.object(t, path)
	}
	return anyShape
}

func (s *shapes) object(t reflect.Type, path string) *shape {
	if made, ok := s.made[t]; ok {
		return made
	}
	// A name with a space cannot be written in a filter: it makes no objects.
	name := "object " + t.Name()
	if _, taken := s.named[name]; taken || t.Name() == "" {
		name = "object " + path
	}
	o := &shape{cel: types.NewObjectType(name), fields: map[string]*shape{}}
	o.missing = &object{shape: o, raw: []byte("{}")}
	s.made[t], s.named[name] = o, o
	fields := field.Of(t)
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		o.fields[field] = s.of(fields[field], path+"."+field)
	}
	return o
}

// nullable returns the shape of a pointer to a value of shape s.
func nullable(s *shape) *shape {
	n := *s
	n.missing = types.NullValue
	switch s.cel.Kind() {
	case types.BoolKind, types.StringKind, types.IntKind, types.DoubleKind:
		n.cel = types.NewNullableType(s.cel)
	}
	return &n
}

// encodesItself tells whether t has its own form in JSON.
func encodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	for _, codec := range []reflect.Type{
		reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](),
		reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	} {
		if p.Implements(codec) {
			return true
		}
	}
	return false
}

// plainZero returns the zero of a type that may encode itself, nil if its form
// is not known.
func plainZero(t reflect.Type) ref.Val {
	if t.Implements(reflect.TypeFor[json.Marshaler]()) {
		return nil
	}
	switch t.Kind() {
	case reflect.Bool:
		return types.False
	case reflect.String:
		return types.String("")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return types.IntZero
	case reflect.Float32, reflect.Float64:
		return types.Double(0)
	}
	return nil
}

// envelope returns the field of the envelope that is called name and has shape
// s, nil if it is not set, and whether there is one of that name.
func (s *shape) envelope(m *kit.Meta, name string) (v ref.Val, ok bool) {
	at := func(t time.Time) ref.Val {
		if t.IsZero() {
			return nil
		}
		return types.Timestamp{Time: t}
	}
	switch name {
	case "link":
		return types.String(m.Link), true
	case "kind":
		return types.String(m.Kind), true
	case "schema":
		return types.Int(m.Schema), true
	case "version":
		return types.Int(m.Version), true
	case "created":
		return at(m.Created), true
	case "updated":
		return at(m.Updated), true
	case "expires":
		return at(m.Expires), true
	case "source":
		return types.String(m.Source), true
	case "pending":
		if len(m.Pending) == 0 {
			return s.missing, true
		}
		raw, err := json.Marshal(m.Pending)
		if err != nil {
			return nil, true
		}
		return s.decode(raw), true
	}
	return nil, false
}
