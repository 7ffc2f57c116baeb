package definition

import (
	"encoding/binary"
	"maps"
	"slices"

	"landfall.dev/capability/job/definition/include"
	"landfall.dev/capability/job/definition/python"
	"landfall.dev/capability/job/definition/yaml11"
)

// elements remembers what the elements of macros are, formatted: most calls of
// a macro, in all jobs, make the same of most of them.
type elements struct {
	made map[elementKey]element
	uses map[*yaml11.Value]uses
	// texts and values number what variables have been.
	texts  map[string]uint64
	values map[*yaml11.Value]uint64
}

// elementKey is all that a formatted element depends on.
type elementKey struct {
	written *yaml11.Value
	vars    string // the numbers of its variables
}

type element struct {
	formatted *yaml11.Value
	work      int
}

// uses are the variables that an element may use: true if as a value, which has
// a place of its own in a file, false if only within a text.
type uses struct {
	names []string
	whole map[string]bool
	// unknown is true if files may use others, which depend on variables.
	unknown bool
}

func newElements() elements {
	return elements{
		made: map[elementKey]element{}, uses: map[*yaml11.Value]uses{},
		texts: map[string]uint64{}, values: map[*yaml11.Value]uint64{},
	}
}

// formatElement is format for an element of a macro in a scope that is not lazy,
// done once for all whose variables are equal, as far as the element uses them.
func (s *scope) formatElement(v *yaml11.Value) *yaml11.Value {
	if v.Plain {
		return v
	}
	known := &s.x.elements
	u, ok := known.uses[v]
	if !ok {
		u = usesOf(s.x.set.tree, v)
		known.uses[v] = u
	}
	if u.unknown {
		return s.format(v)
	}
	key := elementKey{v, known.numbers(u, s)}
	if e, ok := known.made[key]; ok {
		if err := s.x.work.spend(v, e.work); err != nil {
			s.report(err)
		}
		return e.formatted
	}
	left := s.x.work.left
	out := s.format(v)
	if out != nil {
		known.made[key] = element{out, left - s.x.work.left}
	}
	return out
}

// numbers returns what stands for the variables that an element uses.
func (e *elements) numbers(u uses, s *scope) string {
	b := make([]byte, 0, 3*len(u.names))
	for _, name := range u.names {
		v := s.raw(name)
		var n uint64 // of what is not defined
		if v != nil {
			text, isText := v.Data.(string)
			n = e.number(v, text, isText && !u.whole[name])
		}
		b = binary.AppendUvarint(b, n)
	}
	return string(b)
}

// number returns the number of v, or of its text if its place does not count.
func (e *elements) number(v *yaml11.Value, text string, placeless bool) uint64 {
	next := uint64(len(e.texts) + len(e.values) + 1)
	if placeless {
		if n, ok := e.texts[text]; ok {
			return n
		}
		e.texts[text] = next
		return next
	}
	if n, ok := e.values[v]; ok {
		return n
	}
	e.values[v] = next
	return next
}

func usesOf(t *include.Tree, v *yaml11.Value) uses {
	u := uses{whole: map[string]bool{}}
	u.add(t, v)
	u.names = slices.Sorted(maps.Keys(u.whole))
	return u
}

// add adds the names that v may use as variables.
func (u *uses) add(t *include.Tree, v *yaml11.Value) {
	if v.Plain {
		return
	}
	switch data := v.Data.(type) {
	case string:
		whole := python.IsVariable(data)
		for name := range python.Names(data) {
			u.whole[name] = u.whole[name] || whole
		}
	case []*yaml11.Value:
		for _, item := range data {
			u.add(t, item)
		}
	case yaml11.Map:
		for _, e := range data {
			u.add(t, e.Key)
			u.add(t, e.Value)
		}
	case yaml11.Tag:
		u.addTag(t, data)
	}
}

// addTag adds the names that the text may use that a tag includes, unless the
// tag is of YAML or Jinja2, or its path uses variables itself.
func (u *uses) addTag(t *include.Tree, tag yaml11.Tag) {
	if tag.Kind != include.Expand && tag.Kind != include.Verbatim || !tag.Arg.Plain {
		u.unknown = true
		return
	}
	for _, p := range include.Paths(tag) {
		text, err := t.Text(p.Text(), p.At)
		if err != nil {
			u.unknown = true
			return
		}
		if tag.Kind == include.Expand {
			u.add(t, text)
		}
	}
}
