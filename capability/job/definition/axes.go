package definition

import (
	"iter"
	"math/big"
	"strconv"
	"strings"
)

// axis is a list whose name is in the name of a template: there is a job for
// each of its points.
type axis []variables

// axes are all axes of a template, in the order of its name.
type axes []axis

// findAxes returns the axes of a template with this name.
func findAxes(template *value, vars variables, report func(*Error)) (axes, bool) {
	var all axes
	count := 1
	seen := map[string]bool{}
	for _, name := range namesInOrder(template.text()) {
		v := vars[name]
		if v == nil || seen[name] {
			continue
		}
		seen[name] = true
		items, isList := v.data.([]*value)
		if !isList {
			continue
		}
		if len(items) == 0 {
			report(v.at.errorf("the axis %q is an empty list, which makes no jobs: give it values, or do not list the template", brief(name)))
			return nil, false
		}
		if count *= len(items); count > maxJobs {
			report(v.at.errorf("with the axis %q, the template makes more than %d jobs: make the lists shorter", brief(name), maxJobs))
			return nil, false
		}
		a, err := newAxis(name, items)
		if err != nil {
			report(err)
			return nil, false
		}
		all = append(all, a)
	}
	return all, true
}

// namesInOrder returns the variables that a name is made of.
func namesInOrder(text string) []string {
	text = applyDefaults(text, func(string) bool { return true })
	var names []string
	for i := 0; i < len(text); {
		if text[i] != '{' {
			i++
			continue
		}
		if strings.HasPrefix(text[i:], "{{") {
			i += 2
			continue
		}
		f, err := readField(text[i:])
		if err != nil {
			return names // it is reported when the name is formatted
		}
		name, _, _ := strings.Cut(f.name, "[")
		if name == "obj" {
			name = f.spec
		}
		names = append(names, name)
		i += len(f.fragment)
	}
	return names
}

// newAxis returns the points of an axis. An item may be a map with one key, the
// point, and further variables that come with it.
func newAxis(name string, items []*value) (axis, *Error) {
	var a axis
	for _, item := range items {
		m, ok := item.data.(mapping)
		if !ok {
			a = append(a, variables{name: item})
			continue
		}
		if len(m) != 1 {
			return nil, item.at.errorf("an item of the axis %q must be a value or a map with one key, but has %d keys: "+
				"indent its variables by two more spaces", brief(name), len(m))
		}
		point := variables{name: m[0].key}
		extras, ok := m[0].value.data.(mapping)
		if !ok {
			return nil, item.at.errorf("the item %q of the axis %q must have variables as a map, but has %s: "+
				"write it without a colon, or with {variable: value} after it", brief(m[0].key.text()), brief(name), kindOf(m[0].value))
		}
		for _, e := range extras {
			key, ok := e.key.data.(string)
			if !ok {
				return nil, e.key.at.errorf("the name of a variable must be text, but this is %s: quote it", kindOf(e.key))
			}
			point[key] = e.value
		}
		a = append(a, point)
	}
	return a, nil
}

// points returns the variables of each point of the product, the last axis
// first. What comes with a point overrides other axes.
func (a axes) points() iter.Seq[variables] {
	return func(yield func(variables) bool) {
		at := make([]int, len(a))
		for {
			point := variables{}
			for i := range a {
				for name, v := range a[i][at[i]] {
					point[name] = v
				}
			}
			if !yield(point) {
				return
			}
			i := len(a) - 1
			for ; i >= 0; i-- {
				if at[i]++; at[i] < len(a[i]) {
					break
				}
				at[i] = 0
			}
			if i < 0 {
				return
			}
		}
	}
}

// isExcluded reports whether the variable exclude, a list of maps, has a map
// whose keys all equal the variables of s in kind and value.
func isExcluded(s *scope) (excluded, ok bool) {
	if !s.has("exclude") {
		return false, true
	}
	v := s.variable("exclude")
	items, isList := v.data.([]*value)
	if !isList {
		s.report(v.at.errorf(`exclude must be a list of maps ("- {axis: value}"), but is %s`, kindOf(v)))
		return false, false
	}
	if err := s.work.spend(v, v.size); err != nil {
		s.report(err)
		return false, false
	}
	ok = true
	for _, item := range items {
		m, isMap := item.data.(mapping)
		if !isMap || len(m) == 0 {
			s.report(item.at.errorf(`an item of exclude must be a map ("axis: value"), but is %s`, kindOf(item)))
			ok = false
			continue
		}
		all := true
		for _, e := range m {
			name := e.key.text()
			if !s.has(name) {
				s.report(e.key.at.errorf("exclude names %q, which is no axis or variable%s (there are %s)",
					brief(name), suggest(name, s.sorted), brief(quoteAll(s.sorted))))
				all, ok = false, false
				continue
			}
			all = all && equal(s.variable(name), e.value)
		}
		excluded = excluded || all
	}
	return excluded, ok
}

// equal reports whether two values are of one kind and equal.
func equal(a, b *value) bool {
	switch x := a.data.(type) {
	case *big.Int:
		y, ok := b.data.(*big.Int)
		return ok && x.Cmp(y) == 0
	case []*value:
		y, ok := b.data.([]*value)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	case mapping:
		return kindOf(b) == "a map" && a.repr() == b.repr()
	}
	switch b.data.(type) {
	case []*value, mapping:
		return false
	}
	return a.data == b.data
}

// quoteAll returns the words in quotes, with commas.
func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(brief(w))
	}
	return strings.Join(quoted, ", ")
}
