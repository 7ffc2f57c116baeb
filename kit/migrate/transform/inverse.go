package transform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"landfall.dev/kit"
)

// Keep is what who takes a document back has to know beside it, in names of
// the older schema. Its zero value knows of nothing.
type Keep struct {
	// Fields are those that the newer schema has lost: they stay as they are.
	Fields []string `json:"fields,omitempty"`
	// Defaults are values that going up has added: a document that did not have
	// the field before does not get it by one of them.
	Defaults map[string]json.RawMessage `json:"defaults,omitempty"`
}

// Onto returns what becomes of the document original, nil if there is none,
// when the document returned comes back: the fields of returned, and what is to
// be kept of original. The order is that of original. The bodies are those of
// Apply; the error is a *FieldError.
func (k Keep) Onto(original, returned []byte) ([]byte, error) {
	if original == nil {
		return returned, nil
	}
	old, err := scanObject(original, nil)
	if err != nil {
		return nil, located("", fmt.Errorf("the document that is here is %w", err))
	}
	back, err := scanObject(returned, nil)
	if err != nil {
		return nil, located("", err)
	}
	values := make(map[string][]byte, len(back))
	for _, m := range back {
		values[string(m.name)] = m.value
	}
	var out []member
	for _, m := range old {
		if v, ok := values[string(m.name)]; ok {
			m.value = v
			delete(values, string(m.name))
		} else if !slices.Contains(k.Fields, string(m.name)) {
			continue
		}
		out = append(out, m)
	}
	for _, m := range back {
		v, added := values[string(m.name)]
		if d, ok := k.Defaults[string(m.name)]; added && !(ok && sameJSON(d, v)) {
			out = append(out, m)
		}
	}
	return appendObject(make([]byte, 0, len(original)+len(returned)), out), nil
}

// sameJSON tells whether a and b, which are JSON, differ at most in how
// encoding/json writes them.
func sameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y, plain bytes.Buffer
	json.HTMLEscape(&plain, a)
	_ = json.Compact(&x, plain.Bytes())
	plain.Reset()
	json.HTMLEscape(&plain, b)
	_ = json.Compact(&y, plain.Bytes())
	return bytes.Equal(x.Bytes(), y.Bytes())
}

// Back returns what changes documents of d from its current schema down to the
// schema number to, and what who has the older documents keeps of them: see
// Keep.Onto. For each document that has come up, what goes back gives the same
// again, and nothing is lost that was written to it meanwhile; but for a
// default of a field whose name meant something else in the older schema, which
// can only be dropped.
//
// It is ErrInvalid, naming kind, step and transformation, if a transformation
// has no inverse.
func Back(d *kit.Definition, to int) (Chain, Keep, error) {
	ops, err := path(d, to)
	if err != nil {
		return Chain{}, Keep{}, err
	}
	w := reversal{fields: map[string]bool{}, defaults: map[string]json.RawMessage{}}
	for i, op := range slices.Backward(ops) {
		err := w.revert(op.Transform, vacated(ops[:i]))
		if err != nil {
			return Chain{}, Keep{}, &kit.Error{
				Fault:  kit.ErrInvalid,
				Detail: fmt.Sprintf("%s: %v", op.place, err),
				Hint:   "declare how it is reverted, or upgrade without a way back",
			}
		}
	}
	keep := Keep{Fields: slices.Sorted(maps.Keys(w.fields))}
	if len(w.defaults) > 0 {
		keep.Defaults = w.defaults
	}
	return w.chain, keep, nil
}

// vacated returns the fields that ops take away and do not make again.
func vacated(ops []placed) map[string]bool {
	gone := map[string]bool{}
	for _, op := range ops {
		if op.Op == "convert" {
			continue
		}
		for _, f := range op.From {
			gone[f] = true
		}
		for _, f := range op.To {
			delete(gone, f)
		}
	}
	return gone
}

// reversal is the way back as far as it has been found. Fields and defaults are
// those of Keep, in names of the schema that it has come to.
type reversal struct {
	chain    Chain
	fields   map[string]bool
	defaults map[string]json.RawMessage
}

// revert goes back by op; gone are the fields that were taken away before.
func (w *reversal) revert(op kit.Transform, gone map[string]bool) error {
	inverse := kit.Transform{Op: op.Op, From: op.To, To: op.From, Separator: op.Separator}
	switch op.Op {
	case "rename":
		w.move(op)
	case "default":
		field := op.To[0]
		if !gone[field] {
			w.defaults[field] = op.Value
			return nil
		}
		delete(w.fields, field)
		delete(w.defaults, field)
		inverse = kit.Drop(field)
	case "drop":
		if !gone[op.From[0]] {
			w.fields[op.From[0]] = true
		}
		return nil
	case "convert", "func":
		if op.Back == nil {
			return fmt.Errorf("%s%s has no function for the way back", op.Op, of(op))
		}
		inverse.Convert = op.Back
		w.convert(op)
	case "edit":
		if op.EditBack == nil {
			return errors.New("edit has no function for the way back")
		}
		inverse.Edit = op.EditBack
	case "split":
		return w.revertSplit(op, inverse)
	case "merge":
		if op.Separator == "" && op.Split == nil {
			return fmt.Errorf("merge to %q has no function that splits it again", op.To[0])
		}
		inverse.Op, inverse.Split = "split", op.Split
		w.move(op)
	}
	w.chain.steps = append(w.chain.steps, newStep(inverse))
	return nil
}

// of names the field of a convert.
func of(op kit.Transform) string {
	if len(op.From) == 0 {
		return ""
	}
	return fmt.Sprintf(" of %q", op.From[0])
}

// move changes the names and values of what is kept over a rename or a merge.
func (w *reversal) move(op kit.Transform) {
	to := op.To[0]
	if w.fields[to] {
		delete(w.fields, to)
		for _, f := range op.From {
			w.fields[f] = true
		}
	}
	v, ok := w.defaults[to]
	if !ok {
		return
	}
	delete(w.defaults, to)
	values := []json.RawMessage{v}
	if op.Op == "merge" {
		s := newStep(kit.Transform{Op: "split", From: op.To, To: op.From, Separator: op.Separator, Split: op.Split})
		var err error
		if values, err = s.parts(v); err != nil || len(values) != len(op.From) {
			return // documents that have it tell why
		}
	}
	for i, f := range op.From {
		if values[i] != nil {
			w.defaults[f] = values[i]
		}
	}
}

// convert takes the default that there is for the field of op back.
func (w *reversal) convert(op kit.Transform) {
	if op.Op != "convert" || w.defaults[op.From[0]] == nil {
		return
	}
	v, err := guard(op.Back, w.defaults[op.From[0]])
	if err == nil {
		v, err = scanValue(v)
	}
	if err != nil {
		delete(w.defaults, op.From[0]) // documents that have it tell why
		return
	}
	w.defaults[op.From[0]] = v
}

// revertSplit goes back by a split. Fields that have a default by a later
// transformation count as missing, if they have it and none after them counts.
func (w *reversal) revertSplit(op, inverse kit.Transform) error {
	if op.Separator == "" && op.Merge == nil {
		return fmt.Errorf("split of %q has no function that merges it again", op.From[0])
	}
	inverse.Op, inverse.Merge = "merge", op.Merge
	s := newStep(inverse)
	s.back = true
	dropped := 0
	for i, f := range op.To {
		if w.fields[f] {
			delete(w.fields, f)
			dropped++
		}
		if v, ok := w.defaults[f]; ok {
			if s.absent == nil {
				s.absent = make([][]byte, len(op.To))
			}
			s.absent[i] = v
			delete(w.defaults, f)
		}
	}
	switch dropped {
	case 0:
	case len(op.To):
		w.fields[op.From[0]] = true
	default:
		return fmt.Errorf("%q was split, and some of its parts, not all, are dropped later: it cannot be merged again", op.From[0])
	}
	if s.absent != nil && s.absent[0] != nil {
		values := make([]json.RawMessage, len(op.To))
		values[0] = s.absent[0]
		if v, err := s.whole(values, 1); err == nil {
			w.defaults[op.From[0]] = v
		}
	}
	w.chain.steps = append(w.chain.steps, s)
	return nil
}
