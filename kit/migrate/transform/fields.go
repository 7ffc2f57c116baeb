package transform

import (
	"encoding/json"
	"errors"
	"iter"
	"unsafe"
)

// fields are the members of a document that a function edits. It implements
// kit.Fields.
type fields struct {
	ms  []member
	err error // the first that was done wrong
}

// find returns the place of the field, or -1.
func (f *fields) find(name string) int {
	return find(f.ms, unsafe.Slice(unsafe.StringData(name), len(name)))
}

// Value returns the value of the field.
func (f *fields) Value(name string) json.RawMessage {
	if i := f.find(name); i >= 0 {
		return f.ms[i].value
	}
	return nil
}

// Set gives the field a value.
func (f *fields) Set(name string, v json.RawMessage) {
	v, err := scanValue(v)
	if err == nil && envelope[name] {
		err = errors.New("it belongs to the envelope, which is kept as it is")
	}
	if err != nil {
		if f.err == nil {
			f.err = &FieldError{name, err}
		}
		return
	}
	if i := f.find(name); i >= 0 {
		f.ms[i].value = v
		return
	}
	f.ms = append(f.ms, named(name, v))
}

// Remove takes the field away.
func (f *fields) Remove(name string) {
	if i := f.find(name); i >= 0 {
		f.ms = append(f.ms[:i], f.ms[i+1:]...)
	}
}

// All yields the fields.
func (f *fields) All() iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for _, m := range f.ms {
			if !yield(string(m.name), m.value) {
				return
			}
		}
	}
}

// edit takes the members through a function.
func (s *step) edit(ms []member) ([]member, error) {
	f := &fields{ms: ms}
	_, err := guard(func(f *fields) (struct{}, error) { return struct{}{}, s.Edit(f) }, f)
	if err == nil {
		err = f.err
	}
	return f.ms, err
}
