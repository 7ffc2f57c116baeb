// Package explain tells where each part of an expanded job is written: which
// file and line, and which macros brought it there.
//
// It is pure, and decides nothing.
package explain

import (
	"maps"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/yaml11"
)

// Job returns each key and component of j with its place.
func Job(j definition.Job) api.JobExplanation {
	x := api.JobExplanation{Job: j.Name, Origin: j.Origin}
	for _, e := range j.Keys {
		if _, ok := j.Components[e.Key.Text()]; !ok {
			x.Parts = append(x.Parts, part(e.Key.Text(), e.Value, e.Value.At))
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(j.Components)) {
		for _, c := range j.Components[kind] {
			x.Parts = append(x.Parts, component(c))
		}
	}
	return x
}

func component(c definition.Component) api.JobPart {
	p := part(c.Kind+" "+c.Type, c.Args, c.At)
	p.Via = c.Via
	for _, inside := range c.Children {
		p.Parts = append(p.Parts, component(inside))
	}
	return p
}

func part(name string, v *yaml11.Value, at yaml11.Position) api.JobPart {
	p := api.JobPart{Name: name}
	if at.Line > 0 { // else it is Landfall that has made it
		p.At = at.String()
	}
	if v == nil || v.Data == nil {
		return p
	}
	p.Text = strings.TrimSpace(strings.TrimSuffix(v.Text(), "<!-- Managed by Jenkins Job Builder -->"))
	if v.Lead > 0 && v.At.File() == at.File() && strings.HasPrefix(v.Text(), p.Text) {
		p.Line = v.At.Line + v.Lead - 1
	}
	return p
}
