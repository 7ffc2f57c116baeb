package transform

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"landfall.dev/kit"
)

// placed is a transformation with its place in the kind.
type placed struct {
	kit.Transform
	place string
}

// path returns the transformations of d from the schema number to the current
// one, or why they do not lead there.
func path(d *kit.Definition, from int) ([]placed, error) {
	if from < 1 || from > d.Schema {
		return nil, &kit.Error{
			Fault:  kit.ErrInvalid,
			Detail: fmt.Sprintf("%s of schema %d cannot become schema %d: transformations lead upwards from schema 1", d.Name, from, d.Schema),
			Hint:   "copy to a binary with the same or a higher schema",
		}
	}
	if len(d.Steps) != d.Schema-1 {
		return nil, &kit.Error{
			Fault:  kit.ErrInvalid,
			Detail: fmt.Sprintf("%s has %d of the %d lists of transformations that lead to schema %d: there is a gap", d.Name, len(d.Steps), d.Schema-1, d.Schema),
			Hint:   "declare one list for each step from schema 1, if need be an empty one",
		}
	}
	var ops []placed
	made := map[string]bool{}
	for n := from; n < d.Schema; n++ {
		for i, op := range d.Steps[n-1] {
			p := placed{op, fmt.Sprintf("%s, from schema %d to %d, transformation %d", d.Name, n, n+1, i+1)}
			err := check(op)
			if err == nil {
				err = mark(made, op)
			}
			if err != nil {
				return nil, kit.Errorf(kit.ErrInvalid, "", "%s: %v", p.place, err)
			}
			ops = append(ops, p)
		}
	}
	return ops, nil
}

// mark adds the fields that op makes to made, and takes those out that it takes
// away. It returns an error if one is made twice.
func mark(made map[string]bool, op kit.Transform) error {
	switch op.Op {
	case "convert":
		return nil
	case "edit", "func":
		clear(made)
	}
	for _, f := range op.From {
		delete(made, f)
	}
	for _, f := range op.To {
		if made[f] && op.Op != "default" {
			return fmt.Errorf("%s makes the field %q, which an earlier transformation has made", op.Op, f)
		}
		made[f] = true
	}
	return nil
}

// check returns an error unless op says all that it has to, and no more.
func check(op kit.Transform) error {
	if _, ok := actions[op.Op]; !ok {
		return fmt.Errorf("%q is no transformation: there are rename, default, drop, convert, split, merge, edit and func", op.Op)
	}
	if err := checkFields(op); err != nil {
		return err
	}
	switch op.Op {
	case "rename":
		if op.From[0] == op.To[0] {
			return fmt.Errorf("%q is renamed to itself", op.From[0])
		}
	case "default":
		if _, err := scanValue(op.Value); err != nil {
			return fmt.Errorf("the default of %q is %w", op.To[0], err)
		}
	case "edit":
		if op.Edit == nil {
			return errors.New("edit has no function")
		}
	case "func":
		if op.Convert == nil {
			return errors.New("func has no function")
		}
	case "convert":
		if op.Convert == nil {
			return fmt.Errorf("convert of %q has no function", op.From[0])
		}
	case "split":
		if op.Separator == "" && op.Split == nil {
			return fmt.Errorf("split of %q has neither a separator nor a function", op.From[0])
		}
	case "merge":
		if op.Separator == "" && op.Merge == nil {
			return fmt.Errorf("merge to %q has neither a separator nor a function", op.To[0])
		}
	}
	return nil
}

// checkFields checks the fields that op reads and writes.
func checkFields(op kit.Transform) error {
	from, to := [2]int{1, 1}, [2]int{1, 1} // at least, at most
	const many = 1 << 10
	switch op.Op {
	case "default":
		from = [2]int{0, 0}
	case "drop":
		to = [2]int{0, 0}
	case "split":
		to = [2]int{2, many}
	case "merge":
		from = [2]int{2, many}
	case "edit", "func":
		from, to = [2]int{0, 0}, [2]int{0, 0}
	}
	if n := len(op.From); n < from[0] || n > from[1] {
		return fmt.Errorf("%s reads %s, not %d", op.Op, span(from), n)
	}
	if n := len(op.To); n < to[0] || n > to[1] {
		return fmt.Errorf("%s writes %s, not %d", op.Op, span(to), n)
	}
	for _, fields := range [][]string{op.From, op.To} {
		for i, f := range fields {
			switch {
			case f == "":
				return fmt.Errorf("%s names an empty field", op.Op)
			case envelope[f]:
				return fmt.Errorf("field %q belongs to the envelope, which is kept as it is", f)
			case slices.Contains(fields[:i], f):
				return fmt.Errorf("%s names the field %q twice", op.Op, f)
			}
		}
	}
	return nil
}

func span(n [2]int) string {
	switch {
	case n[1] == 0:
		return "no fields"
	case n[0] == n[1]:
		return "one field"
	}
	return "two fields or more"
}

// envelope are the fields of kit.Meta.
var envelope = func() map[string]bool {
	names := map[string]bool{}
	for f := range reflect.TypeFor[kit.Meta]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names[name] = true
	}
	return names
}()
