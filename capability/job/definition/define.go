package definition

import (
	"maps"
	"slices"
	"strings"

	"landfall.dev/capability/job/definition/include"
	"landfall.dev/capability/job/definition/yaml11"
)

// Error is one mistake in the definitions.
type Error = yaml11.Error

// Set is the definitions of a project. It is not changed once it is loaded, so
// that it may be expanded by several goroutines.
type Set struct {
	options Options
	tree    *include.Tree
	// byKind holds the definitions of each kind by id, or name without one.
	byKind map[string]map[string]*definition
	// order holds the definitions of each kind in the order of the files.
	order map[string][]*definition
	errs  []*Error
	// underscore is where a kind begins with _ in the classic dialect.
	underscore *yaml11.Position
}

// definition is one item of a file.
type definition struct {
	kind string
	at   yaml11.Position
	name *yaml11.Value // text or a number
	id   string        // empty if there is none
	// link is the line of an error's chain that stands for it.
	link string

	// body is all that is written in it.
	body yaml11.Map
	// fields is what a job, view, template or defaults says of the job itself.
	fields yaml11.Map
	// vars are all other keys, keys is where each of them is.
	vars variables
	keys map[string]yaml11.Position
	// defaults is the name of its defaults, nil if it has none.
	defaults *yaml11.Value
	// jobs and views are what a project or group makes.
	jobs, views []reference
	// elements is what a macro consists of.
	elements *yaml11.Value
}

// variables are values that can be used as {name}.
type variables map[string]*yaml11.Value

// reference is an item under jobs or views: the name of a job, template or
// group, and variables for it.
type reference struct {
	at   yaml11.Position
	name string
	vars variables
	// order holds the names of vars as they are written.
	order []string
}

// key is what d is found by.
func (d *definition) key() string {
	if d.id != "" {
		return d.id
	}
	return d.name.Text()
}

func newSet(t *include.Tree, o Options) *Set {
	s := &Set{options: o, tree: t, byKind: map[string]map[string]*definition{}, order: map[string][]*definition{}}
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

// define adds the items of a file to s.
func (s *Set) define(top *yaml11.Value) {
	if top.Data == nil {
		return
	}
	items, ok := top.Data.([]*yaml11.Value)
	if !ok {
		s.report(top.At.Errorf(`the file must be a list of definitions ("- job: ..."), but is %s`, yaml11.KindOf(top)))
		return
	}
	for _, item := range items {
		m := s.unwrap(item).Map()
		if len(m) == 0 {
			s.report(item.At.Errorf(`a definition must be a map with one key, its kind ("- job: ..."), but is %s`, yaml11.KindOf(item)))
			continue
		}
		if len(m) > 1 {
			s.report(m[1].Key.At.Errorf("a definition must have one key, its kind, but after %q comes %q: "+
				"indent what belongs to %[1]s by two more spaces, or begin a new item with a dash",
				yaml11.Brief(m[0].Key.Text()), yaml11.Brief(m[1].Key.Text())))
			continue
		}
		s.add(m[0].Key, m[0].Value)
	}
}

// unwrap returns what a file that v includes holds, or v.
func (s *Set) unwrap(v *yaml11.Value) *yaml11.Value {
	if _, isTag := v.Data.(yaml11.Tag); !isTag {
		return v
	}
	x := s.expansion()
	sc := x.scope(nil, variables{})
	sc.objects = true
	out := sc.format(v)
	for _, err := range x.errs {
		s.report(err)
	}
	if out == nil {
		return yaml11.New(v.At, nil)
	}
	return out
}

// add adds one definition to s. In the modern dialect, kinds that begin with _
// are a place for anchors and skipped; in the classic one, all unknown kinds.
func (s *Set) add(kind, body *yaml11.Value) {
	name := kind.Text()
	classic := s.options.Dialect == Classic
	if strings.HasPrefix(name, "_") && !classic {
		return
	}
	if strings.HasPrefix(name, "_") && s.underscore == nil {
		s.underscore = &kind.At
	}
	known := slices.Contains(kinds, name)
	if !known && (!classic || s.options.Strict) {
		s.report(kind.At.Errorf("unknown kind %q%s (the kinds are %s)",
			yaml11.Brief(name), yaml11.Suggest(name, kinds), strings.Join(kinds, ", ")))
		return
	}
	m, ok := s.unwrap(body).Data.(yaml11.Map)
	if !ok {
		s.report(kind.At.Errorf("the %s must be a map that begins with its name, but is %s", yaml11.Brief(name), yaml11.KindOf(body)))
		return
	}
	d := &definition{kind: name, at: kind.At, body: m, vars: variables{}, keys: map[string]yaml11.Position{}}
	if !s.fill(d, m) {
		return
	}
	if d.name == nil {
		s.report(d.at.Errorf("the %s has no name: add \"name: ...\"", yaml11.Brief(d.kind)))
		return
	}
	d.link = "in " + d.kind + " \"" + d.name.Text() + "\" (" + d.at.String() + ")"
	list := macroLists[name]
	if list != "" && d.elements == nil && (!classic || s.options.Strict) {
		s.report(d.at.Errorf("the %s %q has no list %s: add it", name, yaml11.Brief(d.name.Text()), list))
		return
	}
	if !known {
		return
	}
	if other, ok := s.byKind[name][d.key()]; ok {
		mayReplace := name == kindDefaults && !classic && !s.options.Strict
		if !s.options.AllowDuplicates && !mayReplace {
			s.report(d.at.Errorf("there is already a %s %q at %s: give one of them another name or an id",
				name, yaml11.Brief(d.key()), other.at))
			return
		}
		*other = *d
		return
	}
	s.byKind[name][d.key()] = d
	s.order[name] = append(s.order[name], d)
}

// fill sets what d consists of, and reports whether d can be found by its
// name: without, what uses d would be wrong too.
func (s *Set) fill(d *definition, m yaml11.Map) bool {
	ok := true
	counts := s.options.keysOf(d.kind)
	for _, e := range m {
		key, isText := e.Key.Data.(string)
		if !isText {
			s.report(e.Key.At.Errorf("a key must be text, but this is %s: quote it", yaml11.KindOf(e.Key)))
			ok = false
			continue
		}
		switch {
		case key == "name":
			d.name = s.label(d, key, e.Value)
			ok = ok && d.name != nil
		case key == "id" && (s.options.Dialect == Classic || slices.Contains(counts, key)):
			if id := s.label(d, key, e.Value); id != nil {
				d.id = id.Text()
			}
		case !slices.Contains(counts, key):
			d.vars[key], d.keys[key] = e.Value, e.Key.At
		case key == "defaults":
			d.defaults = e.Value
		case key == "jobs":
			d.jobs = s.references(key, e.Value)
		case key == "views" && (d.kind == kindProject || d.kind == kindViewGroup):
			d.views = s.references(key, e.Value)
		case key == macroLists[d.kind]:
			d.elements = e.Value
		default:
			d.fields = append(d.fields, e)
		}
	}
	if s.options.Strict && d.fields.Lookup("script") != nil && d.fields.Lookup("builders") != nil {
		s.report(d.fields.Lookup("builders").At.Errorf("a %s can have script or builders, not both", d.kind))
	}
	return ok
}

// label returns v if it can be a name or id.
func (s *Set) label(d *definition, key string, v *yaml11.Value) *yaml11.Value {
	if kind := yaml11.KindOf(v); kind != "text" && kind != "a number" || v.Text() == "" {
		s.report(v.At.Errorf("the %s of the %s must be text, but is %s", key, yaml11.Brief(d.kind), kind))
		return nil
	}
	return v
}

// references returns the items under jobs or views.
func (s *Set) references(key string, v *yaml11.Value) []reference {
	v = s.unwrap(v)
	if v.Data == nil {
		return nil
	}
	items, ok := v.Data.([]*yaml11.Value)
	if !ok {
		s.report(v.At.Errorf(`%s must be a list of names ("- name" or "- name: {variable: value}"), but is %s`, key, yaml11.KindOf(v)))
		return nil
	}
	var refs []reference
	for _, item := range items {
		if r, err := s.reference(key, item); err != nil {
			s.report(err)
		} else {
			refs = append(refs, r)
		}
	}
	return refs
}

func (s *Set) reference(list string, item *yaml11.Value) (reference, *Error) {
	lax := s.options.Dialect == Classic && !s.options.Strict
	m, ok := item.Data.(yaml11.Map)
	if !ok {
		m = yaml11.Map{{Key: item, Value: yaml11.New(item.At, nil)}}
	}
	if len(m) == 0 || len(m) > 1 && !lax {
		return reference{}, item.At.Errorf("an item of %s must be a name or a map with one key, but has %d keys: "+
			"indent the variables by two more spaces than the name", list, len(m))
	}
	key, args := m[0].Key, m[0].Value
	if kind := yaml11.KindOf(key); kind != "text" && kind != "a number" {
		return reference{}, key.At.Errorf("an item of %s must be a name, but is %s", list, kind)
	}
	r := reference{at: key.At, name: key.Text(), vars: variables{}}
	pairs, ok := s.unwrap(args).Data.(yaml11.Map)
	if !ok && args.Data != nil && !lax {
		return reference{}, args.At.Errorf("the variables for %q must be a map, but are %s", yaml11.Brief(r.name), yaml11.KindOf(args))
	}
	for _, e := range pairs {
		name, ok := e.Key.Data.(string)
		if !ok {
			return reference{}, e.Key.At.Errorf("the name of a variable must be text, but this is %s: quote it", yaml11.KindOf(e.Key))
		}
		r.vars[name] = e.Value
		r.order = append(r.order, name)
	}
	return r, nil
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
