package definition

import (
	"maps"
	"slices"
	"strings"

	"landfall.dev/capability/job/definition/include"
	"landfall.dev/capability/job/definition/yaml11"
)

// classicDefaults returns body, completed by the defaults that it names, or
// the global ones.
func (x *expansion) classicDefaults(body yaml11.Map, at *frame) (yaml11.Map, bool) {
	defaults, ok := x.defaultsOf(body, at)
	return updated(defaults, body), ok
}

func (x *expansion) defaultsOf(body yaml11.Map, at *frame) (yaml11.Map, bool) {
	name := body.Lookup("defaults")
	key := globalDefaults
	if name != nil {
		key = name.Text()
	}
	if d := x.set.byKind[kindDefaults][key]; d != nil {
		return d.body, true
	}
	if name != nil && key != globalDefaults {
		x.report(at, x.unknownDefaults(name))
		return nil, false
	}
	return nil, true
}

// updated returns the entries of all maps, the strongest last.
func updated(maps ...yaml11.Map) yaml11.Map {
	return yaml11.Uniq(slices.Concat(maps...))
}

// refs returns the variables of a reference as a map.
func (r reference) refs() yaml11.Map {
	var m yaml11.Map
	for _, name := range r.order {
		m = append(m, yaml11.Entry{Key: yaml11.New(r.at, name), Value: r.vars[name]})
	}
	return m
}

// classicTemplate makes the jobs of template t in the classic dialect, where a
// template and its defaults are one map, which is formatted once by what the
// project, its references and groups say.
func (x *expansion) classicTemplate(t *definition, c call, made item) {
	at := made.frame
	body, ok := x.classicDefaults(t.body, at)
	if !ok {
		return
	}
	project := updated(c.project.body, c.ref.refs())
	if c.group != nil {
		project = updated(project, c.group.body, c.inner.refs(), yaml11.Map{{Key: nameKey, Value: c.project.name}})
	}
	listKey := "jobs"
	if x.side == views {
		listKey = "views"
	}
	var exclude *yaml11.Value
	project = slices.DeleteFunc(project, func(e yaml11.Entry) bool {
		if e.Key.Data == "exclude" {
			exclude = e.Value
		}
		return e.Key.Data == "exclude" || e.Key.Data == listKey
	})
	axes, ok := x.classicAxes(t.name.Text(), project, at)
	if !ok {
		return
	}
	defaults, ok := x.defaultsOf(project, at)
	if !ok {
		return
	}
	weak := make(yaml11.Map, len(defaults))
	for i, e := range defaults {
		weak[i] = e
		if key, _ := e.Key.Data.(string); body.Lookup(key) != nil {
			weak[i].Value = body.Lookup(key)
		}
	}
	params := toVariables(updated(weak, project))
	params["template-name"] = yaml11.New(t.name.At, include.Doubled.Replace(t.name.Text()))
	wrong := 0
	for point := range axes.points(false) {
		if x.work.ended() || wrong == maxWrong {
			return
		}
		if !x.classicPoint(body, merged(params, point), exclude, made) {
			wrong++
		}
	}
}

// classicPoint makes the job at one point of the axes, unless it is excluded,
// and reports whether all was right.
func (x *expansion) classicPoint(body yaml11.Map, params variables, exclude *yaml11.Value, made item) bool {
	if err := x.work.spend(body[0].Key, costOfVar*(len(params)+len(body))); err != nil {
		x.report(made.frame, err)
		return false
	}
	raw := x.scope(made.frame, params)
	raw.allowEmpty = false
	formatted, ok := make(variables, len(params)), true
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if formatted[name] = raw.format(params[name]); formatted[name] == nil {
			ok = false
		}
	}
	if !ok {
		return false
	}
	if excluded, ok := x.classicExcluded(exclude, formatted, made.frame); excluded || !ok {
		return ok
	}
	for _, e := range body {
		if key, isText := e.Key.Data.(string); isText && formatted[key] == nil {
			formatted[key] = e.Value
		}
	}
	v := x.scope(made.frame, formatted).format(yaml11.New(made.at, body))
	if v == nil {
		return false
	}
	if err := x.work.spend(v, v.Size); err != nil {
		x.report(made.frame, err)
		return false
	}
	return x.add(&made, v.Map())
}

func toVariables(m yaml11.Map) variables {
	vars := make(variables, len(m))
	for _, e := range m {
		if key, ok := e.Key.Data.(string); ok {
			vars[key] = e.Value
		}
	}
	return vars
}

// classicAxes returns the lists of a project whose names are in the name of a
// template, in the order of the project.
func (x *expansion) classicAxes(name string, project yaml11.Map, at *frame) (axes, bool) {
	var all axes
	count := 1
	for _, e := range project {
		key, isText := e.Key.Data.(string)
		items, isList := e.Value.Data.([]*yaml11.Value)
		if !isText || !isList || !strings.Contains(name, "{"+key+"}") {
			continue
		}
		a, ok := x.checkAxis(key, e.Value, items, &count, at)
		if !ok {
			return nil, false
		}
		all = append(all, a)
	}
	return all, true
}

// classicExcluded reports whether all variables that an item of exclude names
// have its values: what is no variable does not count.
func (x *expansion) classicExcluded(exclude *yaml11.Value, params variables, at *frame) (excluded, ok bool) {
	if exclude == nil || exclude.Data == nil {
		return false, true
	}
	items, isList := exclude.Data.([]*yaml11.Value)
	if !isList {
		x.report(at, exclude.At.Errorf(`exclude must be a list of maps ("- {axis: value}"), but is %s`, yaml11.KindOf(exclude)))
		return false, false
	}
	for _, item := range items {
		m, isMap := item.Data.(yaml11.Map)
		if !isMap || x.options.Strict && len(m) == 0 {
			x.report(at, item.At.Errorf(`an item of exclude must be a map ("axis: value"), but is %s`, yaml11.KindOf(item)))
			return false, false
		}
		all := true
		for _, e := range m {
			v := params[e.Key.Text()]
			if v == nil && x.options.Strict {
				x.report(at, e.Key.At.Errorf("exclude names %q, which is no axis or variable", yaml11.Brief(e.Key.Text())))
				return false, false
			}
			all = all && (v == nil || yaml11.Equal(v, e.Value))
		}
		if all {
			return true, true
		}
	}
	return false, true
}
