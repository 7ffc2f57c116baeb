package key

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/field"
)

// Index is a declared index of a kind.
type Index struct {
	Name   string // its fields with commas between
	fields []indexField
}

type indexField struct {
	name string   // as declared
	path []string // the same, split at its dots
	time bool     // it holds times, which JSON has as strings
}

// NewIndex returns the index over the fields of documents of type t. It panics
// if one cannot be indexed: that is a mistake of the program.
func NewIndex(def *kit.Definition, fields []string) Index {
	x := Index{Name: strings.Join(fields, ",")}
	if len(fields) == 0 {
		panic("store: " + def.Name + ": an index without fields")
	}
	for _, name := range fields {
		path := strings.Split(name, ".")
		t, err := fieldAt(def.Type, path)
		if err != nil {
			panic(fmt.Sprintf("store: %s: index %s: %v", def.Name, x.Name, err))
		}
		x.fields = append(x.fields, indexField{name, path, t == reflect.TypeFor[time.Time]()})
	}
	return x
}

// Indexable tells whether the field of documents of type t, with dots between
// the names in it, can be indexed.
func Indexable(t reflect.Type, name string) bool {
	_, err := fieldAt(t, strings.Split(name, "."))
	return err == nil
}

// fieldAt returns the type of the field that the path leads to, or why it
// cannot be indexed.
func fieldAt(t reflect.Type, path []string) (reflect.Type, error) {
	for i, name := range path {
		switch {
		case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
			t = t.Elem()
		case t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]():
			return nil, fmt.Errorf("%q is no object", strings.Join(path[:i], "."))
		default:
			ft, ok := field.Of(t)[name]
			if _, envelope := field.Of(reflect.TypeFor[kit.Meta]())[name]; !ok || i == 0 && envelope {
				return nil, fmt.Errorf("there is no own field %q", strings.Join(path[:i+1], "."))
			}
			t = ft
		}
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
	}
	if t == reflect.TypeFor[time.Time]() {
		return t, nil
	}
	if t.Implements(reflect.TypeFor[json.Marshaler]()) {
		return nil, fmt.Errorf("%q has a JSON form of its own", strings.Join(path, "."))
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return t, nil
	}
	return nil, fmt.Errorf("%q is no string, number, boolean or time", strings.Join(path, "."))
}

// Append appends the values of a document with the body.
func (x *Index) Append(b []byte, body []byte) []byte {
	for i := range x.fields {
		b = x.fields[i].appendKey(b, field.Find(body, x.fields[i].path))
	}
	return b
}

// appendKey appends the key of the JSON value. What the field cannot hold
// counts as null.
func (f *indexField) appendKey(b []byte, raw []byte) []byte {
	if len(raw) == 0 {
		return append(b, Null)
	}
	switch c := raw[0]; {
	case c == '"':
		return f.appendString(b, raw)
	case c == 't' || c == 'f':
		return AppendValue(b, c == 't')
	case c == '-' || c >= '0' && c <= '9':
		return appendJSONNumber(b, string(raw))
	}
	return append(b, Null)
}

func (f *indexField) appendString(b []byte, raw []byte) []byte {
	s, ok := field.Unquote(raw)
	if !ok {
		return append(b, Null)
	}
	if !f.time {
		return AppendValue(b, s)
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return append(b, Null)
	}
	return AppendValue(b, t)
}

func appendJSONNumber(b []byte, s string) []byte {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return AppendValue(b, n)
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return AppendValue(b, n)
	}
	f, _ := strconv.ParseFloat(s, 64)
	return AppendValue(b, f)
}
