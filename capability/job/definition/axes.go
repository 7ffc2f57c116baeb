package definition

import (
	"iter"
	"strconv"
	"strings"

	"landfall.dev/capability/job/definition/python"
	"landfall.dev/capability/job/definition/yaml11"
)

// axis is a variable whose name is in the name of a template: there is a job
// for each of its points.
type axis struct {
	name   string
	points []variables
}

// axes are all axes of a template, in the order that their points follow each
// other in.
type axes []axis

// findAxes returns the axes of a template with this name in the modern
// dialect: each variable in it, of which one that is no list has one point.
func (x *expansion) findAxes(template *yaml11.Value, vars variables, at *frame) (axes, bool) {
	var all axes
	count := 1
	seen := map[string]bool{}
	fallbacks := python.Defaults(template.Text())
	for _, name := range python.Fields(template.Text()) {
		if seen[name] {
			continue
		}
		seen[name] = true
		v := vars[name]
		if v == nil {
			if fallback, ok := fallbacks[name]; ok {
				all = append(all, axis{name, []variables{{name: yaml11.New(template.At, fallback)}}})
			}
			continue
		}
		if _, isTag := v.Data.(yaml11.Tag); isTag {
			s := x.scope(at, vars)
			s.objects = true
			if v = s.format(v); v == nil {
				return nil, false
			}
		}
		items, isList := v.Data.([]*yaml11.Value)
		if !isList {
			continue
		}
		a, ok := x.checkAxis(name, v, items, &count, at)
		if !ok {
			return nil, false
		}
		all = append(all, a)
	}
	return all, true
}

// checkAxis returns the axis that a list stands for, and multiplies count by
// its points.
func (x *expansion) checkAxis(name string, v *yaml11.Value, items []*yaml11.Value, count *int, at *frame) (axis, bool) {
	if len(items) == 0 && x.options.Strict {
		x.report(at, v.At.Errorf("the axis %q is an empty list, which makes no jobs: give it values, or do not list the template", yaml11.Brief(name)))
		return axis{}, false
	}
	if *count *= len(items); *count > maxJobs {
		x.report(at, v.At.Errorf("with the axis %q, the template makes more than %d jobs: make the lists shorter", yaml11.Brief(name), maxJobs))
		return axis{}, false
	}
	lax := x.options.Dialect == Classic && !x.options.Strict
	a, err := newAxis(name, items, lax)
	if err != nil {
		x.report(at, err)
	}
	return a, err == nil
}

// newAxis returns the points of an axis. An item may be a map with one key, the
// point, and further variables that come with it.
func newAxis(name string, items []*yaml11.Value, lax bool) (axis, *Error) {
	a := axis{name: name}
	for _, item := range items {
		m, ok := item.Data.(yaml11.Map)
		if !ok {
			a.points = append(a.points, variables{name: item})
			continue
		}
		if len(m) == 0 || len(m) > 1 && !lax {
			return a, item.At.Errorf("an item of the axis %q must be a value or a map with one key, but has %d keys: "+
				"indent its variables by two more spaces", yaml11.Brief(name), len(m))
		}
		point := variables{name: m[0].Key}
		extras, ok := m[0].Value.Data.(yaml11.Map)
		if !ok {
			return a, item.At.Errorf("the item %q of the axis %q must have variables as a map, but has %s: "+
				"write it without a colon, or with {variable: value} after it",
				yaml11.Brief(m[0].Key.Text()), yaml11.Brief(name), yaml11.KindOf(m[0].Value))
		}
		for _, e := range extras {
			key, ok := e.Key.Data.(string)
			if !ok {
				return a, e.Key.At.Errorf("the name of a variable must be text, but this is %s: quote it", yaml11.KindOf(e.Key))
			}
			point[key] = e.Value
		}
		a.points = append(a.points, point)
	}
	return a, nil
}

// points returns the variables of each point of the product, the last axis
// first. What comes with a point overrides all axes if extrasWin, else only
// those before it.
func (a axes) points(extrasWin bool) iter.Seq[variables] {
	return func(yield func(variables) bool) {
		at := make([]int, len(a))
		for i := range a {
			if len(a[i].points) == 0 {
				return
			}
		}
		for {
			if !yield(a.point(at, extrasWin)) {
				return
			}
			i := len(a) - 1
			for ; i >= 0; i-- {
				if at[i]++; at[i] < len(a[i].points) {
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

func (a axes) point(at []int, extrasWin bool) variables {
	point := variables{}
	for i := range a {
		for name, v := range a[i].points[at[i]] {
			point[name] = v
		}
	}
	for i := range a {
		for name, v := range a[i].points[at[i]] {
			if extrasWin && name != a[i].name {
				point[name] = v
			}
		}
	}
	return point
}

// isExcluded reports whether the variable exclude, a list of maps, has a map
// whose keys all equal the variables of s in kind and value.
func isExcluded(s *scope) (excluded, ok bool) {
	if !s.Has("exclude") {
		return false, true
	}
	v := s.variable("exclude")
	items, isList := v.Data.([]*yaml11.Value)
	if !isList {
		if v.Data == nil && !s.x.options.Strict {
			return false, true
		}
		s.report(v.At.Errorf(`exclude must be a list of maps ("- {axis: value}"), but is %s`, yaml11.KindOf(v)))
		return false, false
	}
	if err := s.x.work.spend(v, v.Size); err != nil {
		s.report(err)
		return false, false
	}
	ok = true
	for _, item := range items {
		all, right := s.matches(item)
		excluded, ok = excluded || all && right, ok && right
	}
	return excluded, ok
}

// matches reports whether the variables of s equal those of an item of exclude.
func (s *scope) matches(item *yaml11.Value) (all, ok bool) {
	m, isMap := item.Data.(yaml11.Map)
	if !isMap || len(m) == 0 {
		s.report(item.At.Errorf(`an item of exclude must be a map ("axis: value"), but is %s`, yaml11.KindOf(item)))
		return false, false
	}
	all, ok = true, true
	for _, e := range m {
		name := e.Key.Text()
		if !s.Has(name) {
			s.report(e.Key.At.Errorf("exclude names %q, which is no axis or variable%s (there are %s)",
				yaml11.Brief(name), yaml11.Suggest(name, s.names()), yaml11.Brief(quoteAll(s.names()))))
			ok = false
			continue
		}
		all = all && yaml11.Equal(s.variable(name), e.Value)
	}
	return all, ok
}

// quoteAll returns the words in quotes, with commas.
func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(yaml11.Brief(w))
	}
	return strings.Join(quoted, ", ")
}
