package definition

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"landfall.dev/capability/job/definition/python"
	"landfall.dev/capability/job/definition/yaml11"
)

// globalDefaults is the name of the defaults that all jobs have.
const globalDefaults = "global"

// managed ends the description of each job.
const managed = "<!-- Managed by Jenkins Job Builder -->"

// expansion is one run over all definitions.
type expansion struct {
	set       *Set
	options   Options
	formatter python.Formatter
	// side is what is made, by the kinds that it is made of.
	side  side
	items []*item
	errs  []*Error
	seen  map[string]bool // errors by their text and chain
	// owner has the errors in its components, nil while there are none yet.
	owner *item
	work  *work
	// calls are the calls of macros that have been expanded.
	calls    map[callKey][]Component
	elements elements
	links    map[frame]string // of calls of macros
}

// side tells jobs from views.
type side struct{ plain, template, group string }

var (
	jobs  = side{kindJob, kindTemplate, kindGroup}
	views = side{kindView, kindViewTemplate, kindViewGroup}
)

// item is a job or view that has been made.
type item struct {
	name   string
	keys   yaml11.Map
	at     yaml11.Position // of what asked for it
	frame  *frame
	origin []string
	errs   []*Error
	seen   map[string]bool
	// reports counts what has been reported, again or not.
	reports int
}

func (s *Set) expansion() *expansion {
	return &expansion{
		set: s, options: s.options, side: jobs, seen: map[string]bool{}, work: &work{left: maxWork}, calls: map[callKey][]Component{}, elements: newElements(), links: map[frame]string{},
		formatter: python.Formatter{Ordered: s.options.Dialect == Classic},
	}
}

// run makes all items of a side whose names match, or all if match is nil,
// sorted by name with numbers in their natural order.
func (x *expansion) run(of side, match func(name string) bool) {
	x.side = of
	for _, d := range x.set.order[of.plain] {
		x.plain(d)
	}
	for _, d := range x.set.order[kindProject] {
		x.project(d)
	}
	if match != nil && x.options.Dialect == Classic {
		x.items = slices.DeleteFunc(x.items, func(i *item) bool { return !match(i.name) })
	}
	x.dropDuplicates()
	if match != nil {
		x.items = slices.DeleteFunc(x.items, func(i *item) bool { return !match(i.name) })
	}
	slices.SortStableFunc(x.items, func(a, b *item) int { return python.CompareNames(a.name, b.name) })
}

// report adds an error with its chain, each only once: a mistake in a template
// shows at all points of its axes.
func (x *expansion) report(at *frame, e *Error) {
	e.Chain = at.chain()
	id := fmt.Sprintf("%s:%d:%d %q %q", e.File, e.Line, e.Column, e.Message, e.Chain)
	if x.owner != nil {
		x.owner.reports++
	}
	if x.owner != nil && x.work.left >= 0 {
		x.work.left -= costOfComponent
		if !x.owner.seen[id] && len(x.owner.errs) < maxWrong {
			x.owner.seen[id] = true
			x.owner.errs = append(x.owner.errs, e)
		}
		return
	}
	x.work.left -= costOfError
	if x.seen[id] || x.work.errors >= maxErrors {
		return
	}
	x.seen[id] = true
	x.errs = append(x.errs, e)
	x.work.errors++
}

// references returns what a project or group makes on the side of x.
func (x *expansion) references(d *definition) []reference {
	if x.side == views {
		return d.views
	}
	return d.jobs
}

// project makes all jobs of a project.
func (x *expansion) project(p *definition) {
	at := &frame{in: p}
	listed := map[string]bool{}
	for _, r := range x.references(p) {
		if x.work.ended() {
			return
		}
		switch d := x.target(r); {
		case d == nil:
			x.report(at, r.at.Errorf("there is no template, group or job %q%s", yaml11.Brief(r.name),
				yaml11.Suggest(r.name, x.names(x.side.template, x.side.group, x.side.plain))))
		case d.kind == x.side.plain:
			x.checkPlain(at, r, listed)
		case d.kind == x.side.template:
			x.template(d, call{p, nil, r, reference{}}, at)
		default:
			x.group(p, d, r, listed, at)
		}
	}
}

// call is what asks for the jobs of a template: a project by a reference, or a
// project by a reference to a group by a reference in it.
type call struct {
	project, group *definition
	ref, inner     reference
}

// group makes the jobs of group g, which project p lists by from.
func (x *expansion) group(p, g *definition, from reference, listed map[string]bool, up *frame) {
	at := &frame{up: up, in: g}
	lax := x.options.Dialect == Classic && !x.options.Strict
	for _, r := range x.references(g) {
		if x.work.ended() {
			return
		}
		switch d := x.target(r); {
		case d != nil && d.kind == x.side.plain:
			x.checkPlain(at, r, listed)
		case d != nil && d.kind == x.side.template:
			x.template(d, call{p, g, from, r}, at)
		case lax: // groups do not see what is no template
		case d == nil:
			x.report(at, r.at.Errorf("there is no template or job %q%s", yaml11.Brief(r.name),
				yaml11.Suggest(r.name, x.names(x.side.template, x.side.plain))))
		default:
			x.report(at, r.at.Errorf("a group cannot hold the group %q%s: list that group in the project instead",
				yaml11.Brief(r.name), x.cycle(g.key(), r.name)))
		}
	}
}

// target returns what r means, or nil if there is no such thing. The classic
// dialect looks for groups before templates.
func (x *expansion) target(r reference) *definition {
	order := []string{x.side.plain, x.side.template, x.side.group}
	if x.options.Dialect == Classic {
		order = []string{x.side.plain, x.side.group, x.side.template}
	}
	for _, kind := range order {
		if d := x.set.byKind[kind][r.name]; d != nil {
			return d
		}
	}
	return nil
}

// checkPlain reports mistakes in listing a plain job, which is made whether it
// is listed or not.
func (x *expansion) checkPlain(at *frame, r reference, listed map[string]bool) {
	if x.options.Strict && len(r.vars) > 0 {
		x.report(at, r.at.Errorf("%q is a job, which takes no variables: make it a job-template", yaml11.Brief(r.name)))
	}
	if listed[r.name] && x.options.Dialect == Classic && !x.options.AllowDuplicates {
		x.report(at, r.at.Errorf("the job %q is listed twice: remove one", yaml11.Brief(r.name)))
	}
	listed[r.name] = true
}

// cycle returns a remark if group from comes back to itself by way of group to.
func (x *expansion) cycle(from, to string) string {
	path, seen := []string{from}, map[string]bool{}
	var walk func(name string) bool
	walk = func(name string) bool {
		path = append(path, name)
		if name == from {
			return true
		}
		g := x.set.byKind[x.side.group][name]
		if g != nil && !seen[name] && len(path) < maxChain {
			seen[name] = true
			for _, r := range x.references(g) {
				if walk(r.name) {
					return true
				}
			}
		}
		path = path[:len(path)-1]
		return false
	}
	if !walk(to) {
		return ""
	}
	return " (groups in a cycle: " + yaml11.Brief(strings.Join(path, " -> ")) + ")"
}

// names returns the names of all definitions of some kinds.
func (x *expansion) names(kinds ...string) []string {
	var all []string
	for _, kind := range kinds {
		all = append(all, slices.Sorted(maps.Keys(x.set.byKind[kind]))...)
	}
	return all
}

// plain makes a plain job.
func (x *expansion) plain(d *definition) {
	at := &frame{in: d}
	made := &item{at: d.at, frame: at, origin: []string{d.at.Origin()}}
	if x.options.Dialect == Classic {
		if keys, ok := x.classicDefaults(d.body, at); ok {
			x.add(made, keys)
		}
		return
	}
	vars, fields, ok := x.withDefaults(d.defaults, d.vars, d, at)
	if !ok {
		return
	}
	if keys := x.scope(at, vars).keys(d, fields); keys != nil {
		x.add(made, keys)
	}
}

// template makes the jobs of template t.
func (x *expansion) template(t *definition, c call, up *frame) {
	at := &frame{up: up, in: t}
	made := item{at: c.ref.at, frame: at, origin: []string{c.project.at.Origin()}}
	if c.group != nil {
		made.origin = append(made.origin, c.group.at.Origin())
	}
	made.origin = append(made.origin, t.at.Origin())
	if x.options.Dialect == Classic {
		x.classicTemplate(t, c, made)
		return
	}
	x.modernTemplate(t, c, made)
}

// modernTemplate makes the jobs of template t in the modern dialect.
func (x *expansion) modernTemplate(t *definition, c call, made item) {
	at := made.frame
	vars := merged(t.vars, c.project.vars, variables{"name": c.project.name}, c.ref.vars)
	if c.group != nil {
		vars = merged(vars, c.group.vars, c.inner.vars)
	}
	defaults := c.project.defaults
	if defaults == nil {
		defaults = t.defaults
	}
	vars, fields, ok := x.withDefaults(defaults, vars, t, at)
	if !ok {
		return
	}
	vars["template-name"] = t.name
	if t.id != "" {
		vars["id"] = yaml11.New(t.at, t.id)
	}
	axes, ok := x.findAxes(t.name, vars, at)
	if !ok {
		return
	}
	wrong := 0
	for point := range axes.points(true) {
		if x.work.ended() || wrong == maxWrong {
			return
		}
		if x.modernPoint(t, vars, point, fields, made) {
			continue
		}
		wrong++
	}
}

// modernPoint makes the job of t at one point of its axes, unless it is
// excluded, and reports whether all was right.
func (x *expansion) modernPoint(t *definition, vars, point variables, fields yaml11.Map, made item) bool {
	if err := x.work.spend(t.name, costOfVar*(len(vars)+len(fields))); err != nil {
		x.report(made.frame, err)
		return false
	}
	s := x.lazyScope(made.frame, vars, point)
	s.done["template-name"] = vars["template-name"]
	if !s.formatAll() {
		return false
	}
	if excluded, ok := isExcluded(s); excluded || !ok {
		return ok
	}
	keys := s.keys(t, fields)
	return keys != nil && x.add(&made, keys)
}

// keys returns the formatted keys of a job: fields and the name of d. It is nil
// after something was wrong.
func (s *scope) keys(d *definition, fields yaml11.Map) yaml11.Map {
	name := s.format(d.name)
	ok := name != nil
	keys := make(yaml11.Map, 0, len(fields)+3)
	for _, e := range fields {
		v := s.format(e.Value)
		if v == nil {
			ok = false
			continue
		}
		keys = append(keys, yaml11.Entry{Key: e.Key, Value: v})
		if err := s.x.work.spend(v, v.Size); err != nil {
			s.report(err)
		}
	}
	if !ok || s.x.work.ended() {
		return nil
	}
	if s.x.side == views && fields.Lookup("view-type") == nil {
		keys = append(keys, yaml11.Entry{Key: viewTypeKey, Value: yaml11.New(d.at, "list")})
	}
	return append(keys, yaml11.Entry{Key: nameKey, Value: name})
}

var (
	nameKey        = yaml11.New(yaml11.Position{}, "name")
	viewTypeKey    = yaml11.New(yaml11.Position{}, "view-type")
	descriptionKey = yaml11.New(yaml11.Position{}, "description")
)

// withDefaults returns vars and the fields of d, completed by the named
// defaults and by the global ones.
func (x *expansion) withDefaults(name *yaml11.Value, vars variables, d *definition, at *frame) (variables, yaml11.Map, bool) {
	levels, fields, ok := x.defaults(name, at)
	return merged(append(levels, vars)...), mergedFields(fields, d.fields), ok
}

// defaults returns the variables of the global and the named defaults, and
// their fields.
func (x *expansion) defaults(name *yaml11.Value, at *frame) (levels []variables, fields yaml11.Map, ok bool) {
	known := x.set.byKind[kindDefaults]
	if global := known[globalDefaults]; global != nil {
		levels, fields = append(levels, global.vars), global.fields
	}
	if name == nil || name.Data == globalDefaults {
		return levels, fields, true
	}
	chosen := known[name.Text()]
	if chosen == nil {
		x.report(at, x.unknownDefaults(name))
		return nil, nil, false
	}
	return append(levels, chosen.vars), mergedFields(fields, chosen.fields), true
}

func (x *expansion) unknownDefaults(name *yaml11.Value) *Error {
	return name.At.Errorf("there are no defaults called %q%s", yaml11.Brief(name.Text()),
		yaml11.Suggest(name.Text(), x.names(kindDefaults)))
}

// merged returns all variables of the given levels, the strongest last.
func merged(levels ...variables) variables {
	size := 0
	for _, vars := range levels {
		size += len(vars)
	}
	all := make(variables, size)
	for _, vars := range levels {
		maps.Copy(all, vars)
	}
	return all
}

// mergedFields returns the fields of strong and those of weak that are not in
// strong. Script and builders say the same.
func mergedFields(weak, strong yaml11.Map) yaml11.Map {
	says := strong.Lookup("script") != nil || strong.Lookup("builders") != nil
	var all yaml11.Map
	for _, e := range weak {
		key, _ := e.Key.Data.(string)
		if strong.Lookup(key) != nil || says && (key == "script" || key == "builders") {
			continue
		}
		all = append(all, e)
	}
	return append(all, strong...)
}

// add adds the job that keys describe, and reports whether it can be.
func (x *expansion) add(made *item, keys yaml11.Map) bool {
	name := keys.Lookup("name")
	made.name = name.Text()
	if folder := keys.Lookup("folder"); folder != nil && x.side == jobs {
		made.name = folder.Text() + "/" + made.name
	}
	if len(x.items) >= maxJobs {
		x.report(made.frame, made.at.Errorf("there are more than %d jobs: make fewer", maxJobs))
		x.work.left = -1
		return false
	}
	made.keys = keys
	x.items = append(x.items, made)
	return true
}

// described returns keys with the full name and the description that marks
// what is managed.
func (x *expansion) described(i *item) yaml11.Map {
	var keys yaml11.Map
	description := i.keys.Lookup("description")
	for _, e := range i.keys {
		switch e.Key.Data {
		case "name":
			e.Value = yaml11.New(e.Value.At, i.name)
		case "description":
			continue
		}
		keys = append(keys, e)
	}
	if description == nil || description.Data == nil {
		if x.options.KeepDescriptions {
			return keys
		}
		description = yaml11.New(i.at, "")
	}
	marked := yaml11.New(description.At, description.Text()+managed)
	return append(keys, yaml11.Entry{Key: descriptionKey, Value: marked})
}

// dropDuplicates reports jobs of one name, or drops all but the last.
func (x *expansion) dropDuplicates() {
	made := make(map[string]*item, len(x.items))
	kept := x.items[:0]
	for _, i := range x.items {
		other, exists := made[i.name]
		if exists && !x.options.AllowDuplicates {
			x.report(i.frame, i.at.Errorf("two jobs are called %q: the other is made at %s; give them different names, "+
				"by a variable in the name of the template, or remove one", yaml11.Brief(i.name), other.at))
			continue
		}
		if exists {
			kept = slices.DeleteFunc(kept, func(k *item) bool { return k == other })
		}
		made[i.name] = i
		kept = append(kept, i)
	}
	x.items = kept
}
