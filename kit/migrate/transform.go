package migrate

import (
	"encoding/json"
	"fmt"
	"sync"

	"landfall.dev/kit"
)

// Transformer changes documents from one schema of a kind to its current one.
// Its methods may be called concurrently. The zero value changes nothing.
type Transformer struct {
	steps []step
	// whole tells that a Func sees the documents.
	whole bool
}

// step is a transformation with its names as bytes.
type step struct {
	kit.Transform
	field   []byte
	written member // by rename, without the value, and by default
}

func newStep(t kit.Transform) step {
	s := step{Transform: t, field: []byte(t.Field)}
	name := t.Field
	if t.Op == "rename" {
		name = t.To
	}
	key, _ := json.Marshal(name)
	s.written = member{key: key, name: []byte(name), value: t.Value}
	return s
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

// Compile returns what changes documents of d from the schema number to the
// current one. It is ErrInvalid if there is no way, or a transformation on it
// is not complete.
func Compile(d *kit.Definition, from int) (Transformer, error) {
	var t Transformer
	if from < 1 || from > d.Schema {
		return t, &kit.Error{
			Fault:  kit.ErrInvalid,
			Detail: fmt.Sprintf("%s of schema %d cannot become schema %d: transformations lead upwards from schema 1", d.Name, from, d.Schema),
			Hint:   "copy to a binary with the same or a higher schema",
		}
	}
	for n := from; n < d.Schema; n++ {
		for i, op := range d.Steps[n-1] {
			if err := check(op); err != nil {
				return Transformer{}, kit.Errorf(kit.ErrInvalid, "", "%s, from schema %d to %d, transformation %d: %v", d.Name, n, n+1, i+1, err)
			}
			t.steps = append(t.steps, newStep(op))
			t.whole = t.whole || op.Op == "func"
		}
	}
	return t, nil
}

// check returns an error unless op says all that it has to.
func check(op kit.Transform) error {
	if op.Op == "func" {
		if op.Func == nil {
			return fmt.Errorf("func has no function")
		}
		return nil
	}
	fields := []string{op.Field}
	switch op.Op {
	case "drop":
	case "rename":
		fields = append(fields, op.To)
		if op.Field == op.To {
			return fmt.Errorf("%q is renamed to itself", op.Field)
		}
	case "default":
		if _, err := scanValue(op.Value); err != nil {
			return fmt.Errorf("the default of %q is %w", op.Field, err)
		}
	case "convert":
		if op.Convert == nil {
			return fmt.Errorf("convert of %q has no function", op.Field)
		}
	default:
		return fmt.Errorf("%q is no transformation: there are rename, default, drop, convert and func", op.Op)
	}
	for _, f := range fields {
		if f == "" {
			return fmt.Errorf("%s has no field", op.Op)
		}
		if enveloped(f) {
			return fmt.Errorf("field %q belongs to the envelope, which is kept as it is", f)
		}
	}
	return nil
}

// enveloped tells whether the field belongs to the envelope.
func enveloped(field string) bool {
	name, _ := json.Marshal(field)
	own, err := kit.StripEnvelope([]byte("{" + string(name) + ":0}"))
	return err == nil && string(own) == "{}"
}

// scratch are members that are not used any more.
var scratch = sync.Pool{New: func() any { return new([]member) }}

// Apply returns the document's own fields body, a JSON object, in the new
// schema. Fields that no transformation names keep their bytes and order. The
// error is a *FieldError. It does not change body.
func (t Transformer) Apply(body []byte) ([]byte, error) {
	if len(t.steps) == 0 {
		return body, nil
	}
	kept := scratch.Get().(*[]member)
	defer func() {
		clear(*kept)
		scratch.Put(kept)
	}()
	ms, err := scanObject(body, (*kept)[:0])
	for i := 0; err == nil && i < len(t.steps); i++ {
		ms, err = t.steps[i].apply(ms)
	}
	*kept = ms
	if err != nil {
		return nil, located("", err)
	}
	return appendObject(make([]byte, 0, len(body)+len(body)/4+32), ms), nil
}

// located makes err a *FieldError.
func located(field string, err error) error {
	if e, ok := err.(*FieldError); ok {
		return e
	}
	return &FieldError{Field: field, Err: err}
}

func (s *step) apply(ms []member) ([]member, error) {
	if s.Op == "func" {
		return s.rewrite(ms)
	}
	i := find(ms, s.field)
	switch {
	case s.Op == "default" && i < 0:
		return append(ms, s.written), nil
	case s.Op == "default" || i < 0:
		return ms, nil
	case s.Op == "drop":
		return append(ms[:i], ms[i+1:]...), nil
	case s.Op == "rename":
		if find(ms, s.written.name) >= 0 {
			return ms, &FieldError{s.Field, fmt.Errorf("it cannot be renamed to %q: the document has both", s.To)}
		}
		ms[i].key, ms[i].name = s.written.key, s.written.name
		return ms, nil
	}
	v, err := guard(s.Convert, ms[i].value)
	if err == nil {
		v, err = scanValue(v)
	}
	if err != nil {
		return ms, located(s.Field, err)
	}
	ms[i].value = v
	return ms, nil
}

// rewrite takes the whole document through a function.
func (s *step) rewrite(ms []member) ([]member, error) {
	out, err := guard(s.Func, appendObject(nil, ms))
	if err != nil {
		return ms, err
	}
	return scanObject(out, ms[:0])
}

// guard calls a function of a kind, which must not end the process.
func guard(f func(json.RawMessage) (json.RawMessage, error), v []byte) (out []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the transformation panicked: %v", p)
		}
	}()
	return f(v)
}
