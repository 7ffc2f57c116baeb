package yaml11

import (
	"math"
	"math/big"
	"strings"
)

// Value is a YAML value and the place that it was written at. Values are never
// changed and may be shared, so that one can be many times in another: Size
// and Depth count each time, and bound every walk.
type Value struct {
	At Position
	// Data is nil, bool, *big.Int, float64, string, Date, []*Value, Map or Tag.
	Data any
	// Lead is how many lines down from At a text begins that has lines of its
	// own, counted from 1: 1 for all of a file, 2 for a block; else 0.
	Lead int
	// Plain is true if nothing in the value is a tag, a date or text with a
	// brace: formatting it changes nothing.
	Plain bool
	Size  int
	Depth int
}

// Map is a YAML map in the order of the file. No two keys are equal.
type Map []Entry

// Entry is a key and what it stands for.
type Entry struct{ Key, Value *Value }

// Date is a date or time, as Python prints it.
type Date struct{ Text, Repr string }

// Tag is a value with a tag of the definitions' language, which decides what
// becomes of it: Kind is one of the caller's names for the tags, Arg a text or
// a list of texts.
type Tag struct {
	Kind string
	Arg  *Value
}

// Lookup returns the value of a text key, or nil.
func (m Map) Lookup(key string) *Value {
	for _, e := range m {
		if e.Key.Data == key {
			return e.Value
		}
	}
	return nil
}

// Map returns v as a map; nil if it is none.
func (v *Value) Map() Map {
	if v == nil {
		return nil
	}
	m, _ := v.Data.(Map)
	return m
}

// List returns v as a list; nil if it is none.
func (v *Value) List() []*Value {
	if v == nil {
		return nil
	}
	items, _ := v.Data.([]*Value)
	return items
}

// New makes a value out of data and the values in it.
func New(at Position, data any) *Value {
	v := &Value{At: at, Data: data, Plain: true, Size: 1}
	switch data := data.(type) {
	case string:
		v.Size += len(data)
		v.Plain = !strings.ContainsAny(data, "{}")
	case *big.Int:
		v.Size += data.BitLen() / 8
	case Date:
		v.Plain = false
	case []*Value:
		for _, item := range data {
			v.add(item)
		}
	case Map:
		for _, e := range data {
			v.add(e.Key)
			v.add(e.Value)
		}
	case Tag:
		v.add(data.Arg)
		v.Plain = false
	}
	return v
}

// add counts an inner value in the measures of v.
func (v *Value) add(inner *Value) {
	v.Size += inner.Size
	v.Depth = max(v.Depth, inner.Depth+1)
	v.Plain = v.Plain && inner.Plain
}

// TooLarge returns an error if v is larger or deeper than allowed.
func (v *Value) TooLarge() *Error {
	if v.Size > MaxSize {
		return v.At.Errorf("the value is larger than 4 MiB with all that it refers to: make it smaller")
	}
	if v.Depth > MaxDepth {
		return v.At.Errorf("lists and maps are nested more than %d deep: make it flatter", MaxDepth)
	}
	return nil
}

// Uniq returns m so that the last of equal keys wins, in the place of the
// first: what Python does.
func Uniq(m Map) Map {
	index := make(map[string]int, len(m))
	kept := make(Map, 0, len(m))
	for _, e := range m {
		id := "text " + e.Key.Text()
		if _, isText := e.Key.Data.(string); !isText {
			id = KindOf(e.Key) + " " + e.Key.Text()
		}
		if i, ok := index[id]; ok {
			kept[i] = e
			continue
		}
		index[id] = len(kept)
		kept = append(kept, e)
	}
	return kept
}

// KindOf names the kind of a value for a user.
func KindOf(v *Value) string {
	switch v.Data.(type) {
	case nil:
		return "empty"
	case bool:
		return "a boolean"
	case *big.Int, float64:
		return "a number"
	case string:
		return "text"
	case Date:
		return "a date"
	case []*Value:
		return "a list"
	case Tag:
		return "a tag"
	default:
		return "a map"
	}
}

// Equal reports whether two values are equal in Python, where 1, 1.0 and True
// are, but not '1'.
func Equal(a, b *Value) bool {
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x.Cmp(y) == 0
	}
	switch x := a.Data.(type) {
	case []*Value:
		y, ok := b.Data.([]*Value)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !Equal(x[i], y[i]) {
				return false
			}
		}
		return true
	case Map:
		_, ok := b.Data.(Map)
		return ok && a.Text() == b.Text()
	case Tag:
		return a == b
	}
	switch b.Data.(type) {
	case []*Value, Map, Tag:
		return false
	}
	return a.Data == b.Data
}

// number returns v as a number if Python counts it as one.
func number(v *Value) (*big.Float, bool) {
	switch data := v.Data.(type) {
	case bool:
		if data {
			return big.NewFloat(1), true
		}
		return new(big.Float), true
	case *big.Int:
		return new(big.Float).SetInt(data), true
	case float64:
		if math.IsNaN(data) {
			return nil, false
		}
		return big.NewFloat(data), true
	}
	return nil, false
}
