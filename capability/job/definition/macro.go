package definition

import (
	"maps"
	"slices"

	"landfall.dev/capability/job/definition/catalog"
	"landfall.dev/capability/job/definition/include"
	"landfall.dev/capability/job/definition/yaml11"
)

// listKinds maps the lists of components in a job to the kind of macros that
// can be called in them.
var listKinds = map[string]string{
	"parameters": "parameter", "properties": "property", "prebuilders": "builder", "builders": "builder",
	"postbuilders": "builder", "wrappers": "wrapper", "triggers": "trigger", "publishers": "publisher",
	"scm": "scm", "reporters": "reporter", "notifications": "notification",
}

var lists = slices.Sorted(maps.Keys(listKinds))

// scmIsNoList lists the project types in which scm is no list of components.
var scmIsNoList = map[any]bool{"githuborg": true, "multibranch": true, "multibranch-defaults": true, "pipeline": true}

// maxMacros is how deep macros may call each other.
const maxMacros = 50

// components returns what job i is made of. What is wrong goes to i.
func (x *expansion) components(i *item) map[string][]Component {
	all := map[string][]Component{}
	x.owner, i.seen = i, map[string]bool{}
	defer func() { x.owner = nil }()
	for _, list := range lists {
		v := i.keys.Lookup(list)
		if list == "scm" {
			if projectType := i.keys.Lookup("project-type"); projectType != nil && scmIsNoList[projectType.Data] {
				v = i.keys.Lookup("pipeline-scm").Map().Lookup("scm")
			} else if v == nil {
				v = i.keys.Lookup("pipeline-scm").Map().Lookup("scm")
			}
		}
		if v == nil {
			continue
		}
		c := caller{x: x, list: list, job: i, at: i.frame}
		if got := c.components(nil, v); len(got) > 0 {
			all[list] = got
		}
	}
	return all
}

// caller expands the components of one list.
type caller struct {
	x    *expansion
	list string
	job  *item
	at   *frame
	via  []string // the calls of macros, outermost first
	// scope is that of the macro whose elements these are, in the classic
	// dialect, where each element is formatted by itself, if there are arguments.
	scope   *scope
	hasArgs bool
}

// components adds to all the components in a list, or of the names that are the
// keys of a map, as Python would walk it.
func (c caller) components(all []Component, v *yaml11.Value) []Component {
	items := v.List()
	switch data := v.Data.(type) {
	case nil:
	case []*yaml11.Value:
	case yaml11.Map:
		if c.x.options.Strict {
			c.x.report(c.at, v.At.Errorf("%s must be a list (\"- item\" in each line), but is %s", c.list, yaml11.KindOf(v)))
		}
		for _, e := range data {
			items = append(items, e.Key)
		}
	default:
		c.x.report(c.at, v.At.Errorf("%s must be a list (\"- item\" in each line), but is %s", c.list, yaml11.KindOf(v)))
	}
	all = slices.Grow(all, len(items))
	for _, item := range items {
		all = c.add(all, item)
	}
	return all
}

// add adds the components to all that v stands for: itself, or those of the
// macro that it calls.
func (c caller) add(all []Component, v *yaml11.Value) []Component {
	if err := c.x.work.spend(v, costOfComponent); err != nil {
		c.x.report(c.at, err)
	}
	if c.x.work.left < 0 {
		return all
	}
	name, args := v, (*yaml11.Value)(nil)
	if m, ok := v.Data.(yaml11.Map); ok {
		if len(m) == 0 || len(m) > 1 && c.x.options.Strict {
			c.x.report(c.at, v.At.Errorf("an item of %s must have one key, its name, but has %d: "+
				"indent its arguments by two more spaces than the name", c.list, len(m)))
			return all
		}
		name, args = m[0].Key, m[0].Value
		if args = c.formatClassic(args); args == nil {
			return all
		}
	}
	macro := c.x.set.byKind[listKinds[c.list]][name.Text()]
	if macro != nil {
		return c.remembered(all, macro, v, args)
	}
	c.check(name)
	if args != nil && hasTag(args) {
		c.x.report(c.at, args.At.Errorf("a tag that needs variables stays as it is here: in the classic dialect, plain jobs and macros without arguments are not formatted"))
	}
	made := Component{Kind: c.list, Type: name.Text(), Args: args, At: v.At, Via: c.via}
	made.Children = c.children(made)
	return append(all, made)
}

// remembered is call, done once for a call in a job that is the same in all
// jobs: without variables, and right.
func (c caller) remembered(all []Component, macro *definition, v, args *yaml11.Value) []Component {
	key := callKey{c.list, v}
	if got, ok := c.x.calls[key]; ok && c.via == nil {
		return append(all, got...)
	}
	reports, before := c.job.reports, len(all)
	all = c.call(all, macro, v, args)
	if c.via == nil && v.Plain && c.list != "properties" && c.job.reports == reports {
		c.x.calls[key] = all[before:len(all):len(all)]
	}
	return all
}

// callKey is a call of a macro in a list of a job.
type callKey struct {
	list string
	call *yaml11.Value
}

// check reports a component that nobody knows: in the modern dialect, of which
// newer versions know more, only what looks like a slip.
func (c caller) check(name *yaml11.Value) {
	text := name.Text()
	if catalog.Has(c.list, text) {
		return
	}
	kind := listKinds[c.list]
	known := slices.Concat(catalog.Names(c.list), slices.Sorted(maps.Keys(c.x.set.byKind[kind])))
	hint := yaml11.Suggest(text, known)
	if hint == "" && c.x.options.Dialect != Classic && !c.x.options.Strict {
		return
	}
	c.x.report(c.at, name.At.Errorf("unknown %s %q%s (it is no macro, and Jenkins Job Builder has none of this name)",
		kind, yaml11.Brief(text), hint))
}

// hasTag reports whether a tag is left in v.
func hasTag(v *yaml11.Value) bool {
	if v.Plain {
		return false
	}
	switch data := v.Data.(type) {
	case yaml11.Tag:
		return true
	case []*yaml11.Value:
		return slices.ContainsFunc(data, hasTag)
	case yaml11.Map:
		return slices.ContainsFunc(data, func(e yaml11.Entry) bool { return hasTag(e.Value) })
	}
	return false
}

// formatClassic formats the arguments of an element of a macro by those of the
// call: in the classic dialect, and only if there are any.
func (c caller) formatClassic(args *yaml11.Value) *yaml11.Value {
	tag, isTag := args.Data.(yaml11.Tag)
	isJinja := isTag && (tag.Kind == include.Jinja || tag.Kind == include.JinjaYAML || tag.Kind == include.JinjaFile)
	if c.x.options.Dialect != Classic || !c.hasArgs && !isJinja {
		return args
	}
	if c.scope == nil { // in a job
		return c.macroScope(nil).format(args)
	}
	return c.scope.formatElement(args)
}

// macroScope returns the scope of a macro that is called with args, where levels
// hold too. Macros of properties see the job's keys, which are stronger.
func (c caller) macroScope(args yaml11.Map, levels ...variables) *scope {
	if c.list == "properties" {
		return c.x.scope(c.at, append(levels, toVariables(args), toVariables(c.job.keys))...)
	}
	s := c.x.scope(c.at, levels...)
	s.args = args
	return s
}

// call adds the components to all that a call of a macro makes.
func (c caller) call(all []Component, macro *definition, v, args *yaml11.Value) []Component {
	at := &frame{up: c.at, in: macro, call: v.At}
	if len(c.via) >= maxMacros {
		c.x.report(at, v.At.Errorf("macros call each other more than %d deep: does %q call itself?", maxMacros, yaml11.Brief(macro.name.Text())))
		return all
	}
	if args == nil || args.Data == nil || args.Data == "" {
		args = yaml11.New(v.At, yaml11.Map{})
	}
	m, isMap := args.Data.(yaml11.Map)
	if !isMap {
		c.x.report(c.at, args.At.Errorf("the arguments of the macro %q must be a map (\"%[1]s: {argument: value}\"), but are %s",
			yaml11.Brief(macro.name.Text()), yaml11.KindOf(args)))
		return all
	}
	inner := caller{x: c.x, list: c.list, job: c.job, at: at, via: append(c.via[:len(c.via):len(c.via)], c.x.link(at))}
	if macro.elements == nil {
		c.x.report(at, macro.at.Errorf("the macro has no list %s", macroLists[macro.kind]))
		return all
	}
	if c.x.options.Dialect == Classic {
		inner.scope, inner.hasArgs = inner.macroScope(m), len(m) > 0
		return inner.components(all, macro.elements)
	}
	return inner.modern(all, macro, m)
}

// modern adds the components to all of a macro in the modern dialect, where each
// element is formatted by the arguments, those of the macro itself and those
// of its defaults.
func (c caller) modern(all []Component, macro *definition, args yaml11.Map) []Component {
	levels, _, ok := c.x.defaults(macro.defaults, c.at)
	if !ok {
		return all
	}
	s := c.macroScope(args, append(levels, macro.vars)...)
	elements := macro.elements
	if tag, isTag := elements.Data.(yaml11.Tag); isTag {
		s.texts = true
		elements = s.expandTag(elements, tag)
		s.texts = false
		if elements == nil {
			return all
		}
	}
	items := elements.List()
	if items == nil {
		return c.components(all, elements)
	}
	format := s.formatElement
	if elements != macro.elements { // they are made anew for each call
		format = s.format
	}
	for _, item := range items {
		if v := format(item); v != nil {
			all = c.add(all, v)
		}
	}
	return all
}

// children returns the components that a component runs itself.
func (c caller) children(of Component) []Component {
	var all []Component
	in := func(list string, v *yaml11.Value) {
		if v != nil {
			inner := caller{x: c.x, list: list, job: c.job, at: c.at, via: c.via}
			all = inner.components(all, v)
		}
	}
	args := of.Args.Map()
	switch of.Kind + " " + of.Type {
	case "builders conditional-step", "prebuilders conditional-step", "postbuilders conditional-step":
		in("builders", args.Lookup("steps"))
	case "publishers postbuildscript":
		for _, b := range args.Lookup("builders").List() {
			if steps := b.Map().Lookup("build-steps"); steps != nil {
				in("builders", steps)
			} else {
				in("builders", yaml11.New(b.At, []*yaml11.Value{b}))
			}
		}
	case "wrappers pre-scm-buildstep":
		if of.Args.List() != nil {
			in("builders", of.Args)
		}
		in("builders", args.Lookup("buildsteps"))
	case "wrappers release":
		in("parameters", args.Lookup("parameters"))
		for _, when := range []string{"pre-build", "post-build", "post-success", "post-fail"} {
			in("builders", args.Lookup(when))
		}
	case "publishers conditional-publisher":
		for _, action := range of.Args.List() {
			in("publishers", action.Map().Lookup("action"))
		}
	case "publishers join-trigger":
		in("publishers", args.Lookup("publishers"))
	}
	return all
}
