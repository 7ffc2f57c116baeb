package definition

import (
	"maps"
	"slices"
	"strings"
)

// The kinds of definitions.
const (
	kindDefaults = "defaults"
	kindGroup    = "job-group"
	kindJob      = "job"
	kindProject  = "project"
	kindTemplate = "job-template"
)

var kinds = []string{kindJob, kindTemplate, kindProject, kindGroup, kindDefaults}

// keysOf lists the keys of each kind that are not variables.
var keysOf = map[string][]string{
	kindJob:      append([]string{"name", "id", "defaults"}, fieldNames...),
	kindTemplate: append([]string{"name", "id", "defaults"}, fieldNames...),
	kindDefaults: append([]string{"name", "id"}, fieldNames...),
	kindProject:  {"name", "id", "jobs"},
	kindGroup:    {"name", "id", "jobs"},
}

// Set is the definitions of a project. It is not changed once it is loaded, so
// that it may be expanded by several goroutines.
type Set struct {
	// byKind holds the definitions of each kind by id, or name without one.
	byKind map[string]map[string]*definition
	errs   []*Error
}

// definition is one item of a file.
type definition struct {
	kind string
	at   position
	name *value // text or a number
	id   string // empty if there is none

	// fields is what a job, template or defaults says of the job itself.
	fields map[string]*value
	// vars are all other keys, keys is where each of them is.
	vars variables
	keys map[string]position
	// jobs is what a project or group makes.
	jobs []reference
}

// variables are values that can be used as {name}.
type variables map[string]*value

// reference is an item under jobs: the name of a job, template or group, and
// variables for it.
type reference struct {
	at   position
	name string
	vars variables
}

// key is what d is found by.
func (d *definition) key() string {
	if d.id != "" {
		return d.id
	}
	return d.name.text()
}

// link is the line of an error's chain that stands for d.
func (d *definition) link() string {
	return "in " + d.kind + " \"" + d.name.text() + "\" (" + d.at.String() + ")"
}

func newSet() *Set {
	s := &Set{byKind: map[string]map[string]*definition{}}
	for _, k := range kinds {
		s.byKind[k] = map[string]*definition{}
	}
	return s
}

func (s *Set) report(err *Error) {
	if len(s.errs) < maxErrors {
		s.errs = append(s.errs, err)
	}
}

// sorted returns the definitions of a kind in the order of their keys.
func (s *Set) sorted(kind string) []*definition {
	all := s.byKind[kind]
	var list []*definition
	for _, key := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[key])
	}
	return list
}

// define adds the items of a file to s.
func (s *Set) define(top *value) {
	if top.data == nil {
		return
	}
	items, ok := top.data.([]*value)
	if !ok {
		s.report(top.at.errorf(`the file must be a list of definitions ("- job: ..."), but is %s`, kindOf(top)))
		return
	}
	for _, item := range items {
		m, ok := item.data.(mapping)
		if !ok || len(m) == 0 {
			s.report(item.at.errorf(`a definition must be a map with one key, its kind ("- job: ..."), but is %s`, kindOf(item)))
			continue
		}
		if len(m) > 1 {
			s.report(m[1].key.at.errorf("a definition must have one key, its kind, but after %q comes %q: "+
				"indent what belongs to %[1]s by two more spaces, or begin a new item with a dash",
				brief(m[0].key.text()), brief(m[1].key.text())))
			continue
		}
		s.add(m[0].key, m[0].value)
	}
}

// add adds one definition to s. Kinds that begin with _ are a place for
// anchors and skipped.
func (s *Set) add(kind, body *value) {
	name := kind.text()
	if strings.HasPrefix(name, "_") {
		return
	}
	if !slices.Contains(kinds, name) {
		s.report(kind.at.errorf("unknown kind %q%s (the kinds are %s)",
			brief(name), suggest(name, kinds), strings.Join(kinds, ", ")))
		return
	}
	m, ok := body.data.(mapping)
	if !ok {
		s.report(kind.at.errorf("the %s must be a map that begins with its name, but is %s", name, kindOf(body)))
		return
	}
	d := &definition{kind: name, at: kind.at, fields: map[string]*value{}, vars: variables{}, keys: map[string]position{}}
	if !s.fill(d, m) {
		return
	}
	if d.name == nil {
		s.report(d.at.errorf("the %s has no name: add \"name: ...\"", d.kind))
		return
	}
	if other, ok := s.byKind[name][d.key()]; ok {
		s.report(d.at.errorf("there is already a %s %q at %s: give one of them another name or an id",
			name, brief(d.key()), other.at))
		return
	}
	s.byKind[name][d.key()] = d
}

// fill sets what d consists of, and reports whether d can be found by its
// name: without, what uses d would be wrong too.
func (s *Set) fill(d *definition, m mapping) bool {
	ok := true
	for _, e := range m {
		key, isText := e.key.data.(string)
		if !isText {
			s.report(e.key.at.errorf("a key must be text, but this is %s: quote it", kindOf(e.key)))
			ok = false
			continue
		}
		switch {
		case key == "name":
			d.name = s.label(d, key, e.value)
			ok = ok && d.name != nil
		case key == "id":
			if id := s.label(d, key, e.value); id != nil {
				d.id = id.text()
			}
		case key == "jobs" && slices.Contains(keysOf[d.kind], key):
			d.jobs = s.references(e.value)
		case slices.Contains(fieldNames, key) && slices.Contains(keysOf[d.kind], key):
			d.fields[key] = e.value
		default:
			d.vars[key], d.keys[key] = e.value, e.key.at
		}
	}
	if d.fields["script"] != nil && d.fields["builders"] != nil {
		s.report(d.fields["builders"].at.errorf("a %s can have script or builders, not both", d.kind))
	}
	return ok
}

// label returns v if it can be a name or id.
func (s *Set) label(d *definition, key string, v *value) *value {
	if kind := kindOf(v); kind != "text" && kind != "a number" || v.text() == "" {
		s.report(v.at.errorf("the %s of the %s must be text, but is %s", key, d.kind, kind))
		return nil
	}
	return v
}

// references returns the items under jobs.
func (s *Set) references(v *value) []reference {
	if v.data == nil {
		return nil
	}
	items, ok := v.data.([]*value)
	if !ok {
		s.report(v.at.errorf(`jobs must be a list of names ("- name" or "- name: {variable: value}"), but is %s`, kindOf(v)))
		return nil
	}
	var refs []reference
	for _, item := range items {
		if r, err := newReference(item); err != nil {
			s.report(err)
		} else {
			refs = append(refs, r)
		}
	}
	return refs
}

func newReference(item *value) (reference, *Error) {
	m, ok := item.data.(mapping)
	if !ok {
		m = mapping{{key: item, value: newValue(item.at, nil)}}
	}
	if len(m) != 1 {
		return reference{}, item.at.errorf("an item of jobs must be a name or a map with one key, but has %d keys: "+
			"indent the variables by two more spaces than the name", len(m))
	}
	key, args := m[0].key, m[0].value
	if kind := kindOf(key); kind != "text" && kind != "a number" {
		return reference{}, key.at.errorf("an item of jobs must be a name, but is %s", kind)
	}
	r := reference{at: key.at, name: key.text(), vars: variables{}}
	pairs, ok := args.data.(mapping)
	if !ok && args.data != nil {
		return reference{}, args.at.errorf("the variables for %q must be a map, but are %s", brief(r.name), kindOf(args))
	}
	for _, e := range pairs {
		name, ok := e.key.data.(string)
		if !ok {
			return reference{}, e.key.at.errorf("the name of a variable must be text, but this is %s: quote it", kindOf(e.key))
		}
		r.vars[name] = e.value
	}
	return r, nil
}

// checkFields reports keys that are no field of their definition and that no
// text uses as a variable. In other kinds than jobs and templates, where
// variables that nothing uses are common, it reports only those close to a key
// that counts.
func (s *Set) checkFields() {
	used := usedNames(s)
	for _, kind := range kinds {
		for _, d := range s.sorted(kind) {
			for _, key := range slices.Sorted(maps.Keys(d.vars)) {
				if used[key] || key == "defaults" || key == "exclude" {
					continue
				}
				hint := suggest(key, keysOf[kind])
				if hint == "" && kind != kindJob && kind != kindTemplate {
					continue
				}
				s.report(d.keys[key].errorf("unknown field %q%s (a %s has %s; no text uses {%s} as a variable)",
					brief(key), hint, kind, strings.Join(keysOf[kind], ", "), brief(key)))
			}
		}
	}
}

// usedNames returns all names that a text in s may use as a variable, and the
// keys of what is excluded.
func usedNames(s *Set) map[string]bool {
	used, seen := map[string]bool{}, map[*value]bool{}
	var walk func(v *value)
	walk = func(v *value) {
		if seen[v] {
			return
		}
		seen[v] = true
		switch data := v.data.(type) {
		case string:
			for name := range namesIn(data) {
				used[name] = true
			}
		case []*value:
			for _, item := range data {
				walk(item)
			}
		case mapping:
			for _, e := range data {
				walk(e.key)
				walk(e.value)
			}
		}
	}
	exclude := func(v *value) {
		items, _ := v.data.([]*value)
		for _, item := range items {
			m, _ := item.data.(mapping)
			for _, e := range m {
				used[e.key.text()] = true
			}
		}
	}
	for _, kind := range kinds {
		for _, d := range s.byKind[kind] {
			walk(d.name)
			scopes := []variables{d.fields, d.vars}
			for _, r := range d.jobs {
				scopes = append(scopes, r.vars)
			}
			for _, vars := range scopes {
				for name, v := range vars {
					walk(v)
					if name == "exclude" {
						exclude(v)
					}
				}
			}
		}
	}
	return used
}

// brief returns text, cut to what is good to read in a message.
func brief(text string) string {
	const limit = 80
	runes := []rune(text)
	if len(runes) <= limit {
		return text
	}
	return string(runes[:limit]) + "..."
}
