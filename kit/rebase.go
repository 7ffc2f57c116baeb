package kit

import (
	"bytes"
	"encoding/json"
	"errors"
)

// original is a value of a document as it is kept, with the fields that a
// program does not know. It is read only where that matters. Nil stands for
// none.
type original struct {
	value  json.RawMessage
	of     *original // which it is a field of, until it is read
	name   string
	fields object // once they are asked for
	read   bool
}

// inside returns the original of a field.
func (o *original) inside(name string) *original {
	if o == nil {
		return nil
	}
	return &original{of: o, name: name}
}

// bytes returns the value, nil if there is none.
func (o *original) bytes() json.RawMessage {
	if o.of != nil {
		o.value, o.of = o.of.field(o.name), nil
	}
	return o.value
}

func (o *original) field(name string) json.RawMessage {
	if !o.read {
		o.read = true
		if v := o.bytes(); isObject(v) {
			o.fields, _ = parseObject(v) // what is no object has no fields
		}
	}
	if i, ok := o.fields.find(nil, name); ok {
		return o.fields[i].value
	}
	return nil
}

// rebase returns what becomes of the value full when a program that has read it
// as before makes it after.
func rebase(full, before, after json.RawMessage) (json.RawMessage, error) {
	switch {
	case bytes.Equal(before, after):
		return full, nil
	case isObject(full) && isObject(before) && isObject(after):
		patch, err := diff(before, after, &original{value: full})
		if err != nil {
			return nil, err
		}
		return MergePatch(full, patch)
	case isList(full) && isList(before) && isList(after):
		return rebaseList(full, before, after)
	}
	return after, nil
}

// rebaseList keeps what is not known of the items of a list that are still
// there, and of those that stayed in their place and are alike.
func rebaseList(full, before, after json.RawMessage) (json.RawMessage, error) {
	var have, old, items []json.RawMessage
	err := errors.Join(json.Unmarshal(full, &have), json.Unmarshal(before, &old), json.Unmarshal(after, &items))
	if err != nil {
		return nil, &Error{Op: "compare", Err: err}
	}
	if len(have) != len(old) {
		return after, nil
	}
	from := matches(old, items)
	taken := make([]bool, len(old))
	for _, j := range from {
		if j >= 0 {
			taken[j] = true
		}
	}
	for i, v := range items {
		switch j := from[i]; {
		case j >= 0:
			items[i] = have[j]
		case len(items) == len(old) && !taken[i] && alike(old[i], v):
			if items[i], err = rebase(have[i], old[i], v); err != nil {
				return nil, err
			}
		}
	}
	return join(items), nil
}

// matches returns for each item which of old it is, or -1: those at the start
// and at the end of both first, then others in their order.
func matches(old, items []json.RawMessage) []int {
	from := make([]int, len(items))
	start, end := 0, 0
	for n := min(len(old), len(items)); start < n && bytes.Equal(old[start], items[start]); start++ {
		from[start] = start
	}
	for n := min(len(old), len(items)) - start; end < n && bytes.Equal(old[len(old)-1-end], items[len(items)-1-end]); end++ {
		from[len(items)-1-end] = len(old) - 1 - end
	}
	rest := map[string][]int{}
	for i := start; i < len(old)-end; i++ {
		rest[string(old[i])] = append(rest[string(old[i])], i)
	}
	for i := start; i < len(items)-end; i++ {
		from[i] = -1
		if places := rest[string(items[i])]; len(places) > 0 {
			from[i], rest[string(items[i])] = places[0], places[1:]
		}
	}
	return from
}

// join returns the list of the items. Unlike encoding/json it keeps their bytes.
func join(items []json.RawMessage) json.RawMessage {
	b := []byte{'['}
	for i, v := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, v...)
	}
	return append(b, ']')
}

// alike tells whether two values seem to be the same one, changed: lists, or
// objects of which at least half of the fields are equal.
func alike(a, b json.RawMessage) bool {
	if !isObject(a) || !isObject(b) {
		return isList(a) && isList(b)
	}
	x, errX := parseObject(a)
	y, errY := parseObject(b)
	if errX != nil || errY != nil {
		return false
	}
	at, equal := y.index(), 0
	for _, m := range x {
		if i, ok := at[m.name]; ok && bytes.Equal(m.value, y[i].value) {
			equal++
		}
	}
	return 2*equal >= max(len(x), len(y))
}

func isList(v json.RawMessage) bool {
	v = bytes.TrimLeft(v, " \t\r\n")
	return len(v) > 0 && v[0] == '['
}
