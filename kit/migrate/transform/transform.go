// Package transform changes documents from one schema of a kind to another, and
// back, as the kind declares it.
//
// It compiles the declared transformations to steps over a document's raw JSON:
// what they do not name keeps its bytes and its order, and is not decoded. The
// way back follows from the way there:
//
//	older document  --Compile-->  newer document
//	      |                             |  is written
//	   is kept                          v
//	      +------Keep.Onto-----<--Back--+
//
// It is pure: no clock, disk, network or log.
package transform

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"landfall.dev/kit"
)

// Chain changes documents from one schema of a kind to another. Its methods may
// be called concurrently. The zero value changes nothing.
type Chain struct{ steps []step }

// Empty tells that the chain leaves every document as it is, and does not even
// check that it is JSON.
func (c Chain) Empty() bool { return len(c.steps) == 0 }

// Compile returns what changes documents of d from the schema number to the
// current one. It is ErrInvalid if there is no way, or a transformation on it
// is not complete.
func Compile(d *kit.Definition, from int) (Chain, error) {
	ops, err := path(d, from)
	if err != nil {
		return Chain{}, err
	}
	var c Chain
	for _, o := range ops {
		c.steps = append(c.steps, newStep(o.Transform))
	}
	return c, nil
}

// FieldError tells that a document cannot be transformed, and why.
type FieldError struct {
	Field string // empty if it is not about one field
	Err   error
}

func (e *FieldError) Error() string {
	if e.Field == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("field %q: %v", e.Field, e.Err)
}

// Unwrap returns the cause.
func (e *FieldError) Unwrap() error { return e.Err }

// located makes err a *FieldError.
func located(field string, err error) error {
	if e, ok := err.(*FieldError); ok {
		return e
	}
	return &FieldError{Field: field, Err: err}
}

// maxScratch is how many members are kept to be used again: documents have fewer.
const maxScratch = 1 << 10

// scratch are members that are not used any more.
var scratch = sync.Pool{New: func() any { return new([]member) }}

// Apply returns the document's own fields body, a JSON object, in the new
// schema. Fields that no transformation names keep their bytes and order. The
// error is a *FieldError. It does not change body.
func (c Chain) Apply(body []byte) ([]byte, error) {
	if len(c.steps) == 0 {
		return body, nil
	}
	return c.Append(make([]byte, 0, len(body)+len(body)/4+32), body)
}

// Append appends what Apply returns to b. It is for who transforms many. After
// an error b is as it was.
func (c Chain) Append(b, body []byte) ([]byte, error) {
	if len(c.steps) == 0 {
		return append(b, body...), nil
	}
	kept := scratch.Get().(*[]member)
	ms, err := scanObject(body, (*kept)[:0])
	for i := 0; err == nil && i < len(c.steps); i++ {
		ms, err = c.steps[i].apply(ms)
	}
	if err == nil {
		b = appendObject(b, ms)
	} else {
		err = located("", err)
	}
	if cap(ms) <= maxScratch {
		clear(ms)
		*kept = ms
		scratch.Put(kept)
	}
	return b, err
}

// action is what a step does.
type action uint8

const (
	rename action = iota
	add
	drop
	convert
	split
	merge
	edit
	rewrite
)

var actions = map[string]action{
	"rename": rename, "default": add, "drop": drop, "convert": convert, "split": split, "merge": merge, "edit": edit, "func": rewrite,
}

// step is a transformation in the form that is applied. The members have no
// value, but for a default.
type step struct {
	kit.Transform
	action   action
	from, to []member
	// absent are the values by which a merge on the way back takes a field of
	// from as missing: they come from defaults. It is nil for none.
	absent [][]byte
	// back tells that the step reverts another.
	back bool
}

func newStep(t kit.Transform) step {
	s := step{Transform: t, action: actions[t.Op]}
	for _, f := range t.From {
		s.from = append(s.from, named(f, nil))
	}
	for _, f := range t.To {
		s.to = append(s.to, named(f, t.Value))
	}
	return s
}

func named(field string, value []byte) member {
	for i := range len(field) {
		if c := field[i]; c < ' ' || c > '~' || strings.IndexByte(`"\<>&`, c) >= 0 {
			key, _ := json.Marshal(field) // a string has JSON
			return member{key: key, name: []byte(field), value: value}
		}
	}
	key := append(append(append(make([]byte, 0, len(field)+2), '"'), field...), '"')
	return member{key: key, name: key[1 : len(key)-1], value: value}
}

func (s *step) apply(ms []member) ([]member, error) {
	switch s.action {
	case edit:
		return s.edit(ms)
	case rewrite:
		return s.rewrite(ms)
	case add:
		if find(ms, s.to[0].name) < 0 {
			ms = append(ms, s.to[0])
		}
		return ms, nil
	case merge:
		return s.merge(ms)
	}
	i := find(ms, s.from[0].name)
	if i < 0 {
		return ms, nil
	}
	switch s.action {
	case drop:
		return append(ms[:i], ms[i+1:]...), nil
	case rename:
		if find(ms, s.to[0].name) >= 0 {
			return ms, s.taken(s.to[0])
		}
		ms[i].key, ms[i].name = s.to[0].key, s.to[0].name
		return ms, nil
	case split:
		return s.split(ms, i)
	}
	v, err := guard(s.Convert, ms[i].value)
	if err == nil {
		v, err = scanValue(v)
	}
	if err != nil {
		return ms, located(s.From[0], err)
	}
	ms[i].value = v
	return ms, nil
}

// taken says that the step would write over the field to.
func (s *step) taken(to member) error {
	does := map[action]string{rename: "renamed to", split: "split into", merge: "merged to"}[s.action]
	return &FieldError{s.From[0], fmt.Errorf("it cannot be %s %q: the document has both", does, to.name)}
}

// rewrite takes the whole document through a function. The envelope is not its
// business.
func (s *step) rewrite(ms []member) ([]member, error) {
	out, err := guard(s.Convert, appendObject(make([]byte, 0, objectSize(ms)), ms))
	if err != nil {
		return ms, err
	}
	ms, err = scanObject(out, ms[:0])
	kept := ms[:0]
	for _, m := range ms {
		if !envelope[string(m.name)] {
			kept = append(kept, m)
		}
	}
	return kept, err
}

// guard calls a function of a kind, which must not end the process.
func guard[In, Out any](f func(In) (Out, error), v In) (out Out, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the transformation panicked: %v", p)
		}
	}()
	return f(v)
}
