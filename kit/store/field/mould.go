package field

import (
	"cmp"
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

// Mould tells quickly of most JSON values that fit a type that they do. What it
// does not say yes to is for encoding/json to decide.
type Mould struct {
	of     reflect.Type
	fits   func(m *Mould, raw []byte) bool // of a value that is not null
	elem   *Mould                          // of lists and maps
	fields []namedMould                    // of structs, in the order of the type, as most documents have them
	folded map[string]bool                 // names of fields, see Fold
}

// namedMould is the mould of a field.
type namedMould struct {
	name string
	*Mould
}

// NewMould returns the mould of t.
func NewMould(t reflect.Type) *Mould { return newMould(t, map[reflect.Type]*Mould{}) }

// newMould is NewMould where known has the moulds of all types around t.
func newMould(t reflect.Type, known map[reflect.Type]*Mould) *Mould {
	if m, ok := known[t]; ok {
		return m
	}
	m := &Mould{of: t}
	known[t] = m
	switch kind := t.Kind(); {
	case t == reflect.TypeFor[time.Time]():
		m.fits = fitsTime
	case t == reflect.TypeFor[json.RawMessage](), kind == reflect.Interface && t.NumMethod() == 0:
		m.fits = func(*Mould, []byte) bool { return true }
	case kind == reflect.Pointer:
		m.elem = newMould(t.Elem(), known)
		m.fits = func(m *Mould, raw []byte) bool { return m.elem.take(raw) }
	case t == reflect.TypeFor[json.Number](), unmarshals(t):
		m.fits = fitsDecoded
	case kind == reflect.String:
		m.fits = func(_ *Mould, raw []byte) bool { return raw[0] == '"' }
	case kind == reflect.Bool:
		m.fits = func(_ *Mould, raw []byte) bool { return raw[0] == 't' || raw[0] == 'f' }
	case kind >= reflect.Int && kind <= reflect.Float64 && kind != reflect.Uintptr:
		m.fits = fitsNumber
	case kind == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		m.elem, m.fits = newMould(t.Elem(), known), fitsList
	case kind == reflect.Map && t.Key().Kind() == reflect.String && !unmarshals(t.Key()):
		m.elem, m.fits = newMould(t.Elem(), known), fitsMap
	case kind == reflect.Struct && plainStruct(t):
		m.fits, m.folded = fitsStruct, map[string]bool{}
		of := Of(t)
		for _, name := range slices.SortedFunc(maps.Keys(of), inOrder(t)) {
			m.fields = append(m.fields, namedMould{name, newMould(of[name], known)})
			m.folded[Fold(name)] = true
		}
	default:
		m.fits = fitsDecoded
	}
	return m
}

// inOrder returns what compares the names of fields of the struct t by where
// they are in it, those that it embeds last.
func inOrder(t reflect.Type) func(a, b string) int {
	places := map[string]int{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		places[cmp.Or(name, f.Name)] = i - t.NumField()
	}
	return func(a, b string) int { return cmp.Or(cmp.Compare(places[a], places[b]), cmp.Compare(a, b)) }
}

// unmarshals tells whether t has a JSON form of its own.
func unmarshals(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// plainStruct tells whether Of sees the fields of t as encoding/json
// does: none is written as a string, and at most one struct is embedded.
func plainStruct(t reflect.Type) bool {
	embedded := 0
	for i := range t.NumField() {
		f := t.Field(i)
		_, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if strings.Contains(options, "string") {
			return false
		}
		if f.Anonymous {
			embedded++
			if f.Type.Kind() != reflect.Struct || !plainStruct(f.Type) {
				return false
			}
		}
	}
	return embedded <= 1
}

// Fits tells whether body is a JSON object that fits. With valid it is known to
// be JSON.
func (m *Mould) Fits(body []byte, valid bool) bool {
	own := trimSpace(body)
	return len(own) > 0 && own[0] == '{' && (valid || json.Valid(own)) && m.take(own)
}

// take tells whether the JSON value fits. It is valid JSON without space around
// it.
func (m *Mould) take(raw []byte) bool {
	return len(raw) > 0 && (raw[0] == 'n' || m.fits(m, raw))
}

func fitsDecoded(m *Mould, raw []byte) bool {
	return json.Unmarshal(raw, reflect.New(m.of).Interface()) == nil
}

func fitsTime(_ *Mould, raw []byte) bool {
	var t time.Time
	return t.UnmarshalJSON(raw) == nil
}

func fitsNumber(m *Mould, raw []byte) bool {
	if raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return false
	}
	var err error
	switch bits := m.of.Bits(); m.of.Kind() {
	case reflect.Float32, reflect.Float64:
		_, err = strconv.ParseFloat(text(raw), bits)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		_, err = strconv.ParseInt(text(raw), 10, bits)
	default:
		_, err = strconv.ParseUint(text(raw), 10, bits)
	}
	return err == nil
}

func fitsList(m *Mould, raw []byte) bool {
	if raw[0] != '[' {
		return false
	}
	for rest := trimSpace(raw[1:]); rest[0] != ']'; {
		n := valueEnd(rest)
		if !m.elem.take(rest[:n]) {
			return false
		}
		if rest = trimSpace(rest[n:]); rest[0] == ',' {
			rest = trimSpace(rest[1:])
		}
	}
	return true
}

func fitsMap(m *Mould, raw []byte) bool {
	if raw[0] != '{' {
		return false
	}
	for f := Walk(raw); f.Next(); {
		if !m.elem.take(f.Raw) {
			return false
		}
	}
	return true
}

// fitsStruct says no to names that differ from a field's only in upper and
// lower case, too.
func fitsStruct(m *Mould, raw []byte) bool {
	if raw[0] != '{' {
		return false
	}
	next := 0
	for f := Walk(raw); f.Next(); {
		if i := m.field(f.Name, next); i >= 0 {
			if next = i + 1; !m.fields[i].take(f.Raw) {
				return false
			}
		} else if m.folded[Fold(string(f.Name))] {
			return false
		}
	}
	return true
}

// field returns the number of the field with the name, or -1. It looks from
// next on, and then from the start.
func (m *Mould) field(name []byte, next int) int {
	for i := next; i < len(m.fields); i++ {
		if m.fields[i].name == string(name) {
			return i
		}
	}
	for i := range m.fields[:next] {
		if m.fields[i].name == string(name) {
			return i
		}
	}
	return -1
}

// text returns b as a string that shares its memory, for as long as b does not
// change.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
