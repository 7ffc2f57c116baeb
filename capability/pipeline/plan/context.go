package plan

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// context returns the argument of main.
func (p *program) context() starlark.Value {
	event, project := p.in.Event, p.in.Project
	ctx := record("ctx", starlark.StringDict{
		"event": record("ctx.event", starlark.StringDict{
			"type":     starlark.String(event.Type),
			"change":   starlark.MakeInt(event.Change),
			"patchset": starlark.MakeInt(event.PatchSet),
			"branch":   starlark.String(event.Branch),
			"author":   starlark.String(event.Author),
			"commit":   starlark.String(event.Commit),
		}),
		"project": record("ctx.project", starlark.StringDict{
			"name":  starlark.String(project.Name),
			"kind":  starlark.String(project.Kind),
			"attrs": dict(project.Attrs),
		}),
		"params":  dict(p.in.Params),
		"jobs":    list(p.in.Jobs),
		"changed": starlark.NewBuiltin("changed", p.changed),
		"read":    starlark.NewBuiltin("read", p.read),
		"exists":  starlark.NewBuiltin("exists", p.exists),
		"glob":    starlark.NewBuiltin("glob", p.glob),
	})
	ctx.Freeze()
	return ctx
}

// changed tells whether a changed path matches one of the patterns.
func (p *program) changed(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	patterns, err := globs(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	return starlark.Bool(slices.ContainsFunc(p.in.Changed, func(name string) bool {
		segments := strings.Split(name, "/")
		return slices.ContainsFunc(patterns, func(pattern []string) bool { return matches(pattern, segments) })
	})), nil
}

// globs reads the arguments of a function, patterns, each split at slashes.
func globs(b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) ([][]string, error) {
	if len(args) == 0 || len(kwargs) > 0 {
		return nil, fmt.Errorf(`%s: want patterns, as in ctx.%[1]s("db/**")`, b.Name())
	}
	var all [][]string
	for _, arg := range args {
		pattern, ok := starlark.AsString(arg)
		if !ok {
			return nil, fmt.Errorf("%s: got %s, want a pattern, which is a string", b.Name(), typeOf(arg))
		}
		segments := strings.Split(pattern, "/")
		for _, s := range segments {
			if _, err := path.Match(s, ""); err != nil {
				return nil, fmt.Errorf("%s: %q is not a pattern: %w", b.Name(), pattern, err)
			}
		}
		all = append(all, segments)
	}
	return all, nil
}

// matches tells whether name matches pattern, both split at slashes; each
// segment of the pattern is well-formed.
func matches(pattern, name []string) bool {
	for len(pattern) > 0 && pattern[0] != "**" {
		if len(name) == 0 {
			return false
		}
		if ok, _ := path.Match(pattern[0], name[0]); !ok {
			return false
		}
		pattern, name = pattern[1:], name[1:]
	}
	if len(pattern) == 0 {
		return len(name) == 0
	}
	for i := range len(name) + 1 {
		if matches(pattern[1:], name[i:]) {
			return true
		}
	}
	return false
}

func record(name string, fields starlark.StringDict) *starlarkstruct.Struct {
	return starlarkstruct.FromStringDict(starlark.String(name), fields)
}

// dict returns m in the order of its keys, so that a loop over it is the same
// each time.
func dict(m map[string]string) *starlark.Dict {
	d := starlark.NewDict(len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		d.SetKey(starlark.String(k), starlark.String(m[k])) // fails only if frozen
	}
	return d
}

func list(s []string) *starlark.List {
	elems := make([]starlark.Value, len(s))
	for i := range s {
		elems[i] = starlark.String(s[i])
	}
	return starlark.NewList(elems)
}
