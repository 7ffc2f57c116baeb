package definition

import (
	"maps"
	"slices"
	"strings"

	"landfall.dev/capability/job/definition/catalog"
	"landfall.dev/capability/job/definition/python"
	"landfall.dev/capability/job/definition/yaml11"
)

// checkFields reports keys that are no field of their definition and that no
// text uses as a variable. In other kinds than jobs and templates, where
// variables that nothing uses are common, it reports only those close to a key
// that counts.
func (s *Set) checkFields() {
	used := usedNames(s)
	for _, kind := range kinds {
		known := s.options.keysOf(kind)
		for _, d := range s.sorted(kind) {
			for _, key := range slices.Sorted(maps.Keys(d.vars)) {
				if used[key] || key == "defaults" || key == "exclude" {
					continue
				}
				hint := yaml11.Suggest(key, known)
				if hint == "" && kind != kindJob && kind != kindTemplate {
					continue
				}
				if kind == kindJob || kind == kindTemplate {
					known = append([]string{"name", "id", "defaults"}, catalog.OwnKeys...)
				}
				s.report(d.keys[key].Errorf("unknown field %q%s (a %s has %s; no text uses {%s} as a variable)",
					yaml11.Brief(key), hint, kind, strings.Join(known, ", "), yaml11.Brief(key)))
			}
		}
	}
}

// usedNames returns all names that a text in s may use as a variable, and the
// keys of what is excluded.
func usedNames(s *Set) map[string]bool {
	used, seen := map[string]bool{}, map[*yaml11.Value]bool{}
	var walk func(v *yaml11.Value)
	walk = func(v *yaml11.Value) {
		if seen[v] {
			return
		}
		seen[v] = true
		switch data := v.Data.(type) {
		case string:
			for name := range python.Names(data) {
				used[name] = true
			}
		case []*yaml11.Value:
			for _, item := range data {
				walk(item)
			}
		case yaml11.Map:
			for _, e := range data {
				walk(e.Key)
				walk(e.Value)
			}
			if e := data.Lookup("exclude"); e != nil {
				for _, item := range e.List() {
					for _, e := range item.Map() {
						used[e.Key.Text()] = true
					}
				}
			}
		case yaml11.Tag:
			namesInTag(s.tree, data, func(name string) { used[name] = true })
		}
	}
	for _, kind := range kinds {
		for _, d := range s.byKind[kind] {
			walk(yaml11.New(d.at, d.body))
		}
	}
	return used
}
