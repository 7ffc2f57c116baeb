package native

import (
	"math/big"
	"slices"
	"strings"

	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/yaml11"
)

// kind is what is known of a type of component. Arguments are names with
// blanks between them.
type kind struct {
	support Support
	note    string // why it is left out or cannot run
	takes   string // arguments that are carried out
	free    string // arguments that make no difference here
	lacks   string // arguments that are reported if they are set
	do      func(*translation, args)
}

// args are the arguments of a component: a map, or a bare value.
type args struct {
	c     definition.Component
	value *yaml11.Value
	m     yaml11.Map
}

// read returns the arguments of c, and reports those that are not carried out
// and those that nobody knows.
func (t *translation) read(c definition.Component, k kind) args {
	a := args{c: c, value: c.Args, m: c.Args.Map()}
	if k.takes+k.free+k.lacks == "" {
		return a
	}
	for _, m := range calls(c.Args) {
		t.check(c, m, k)
	}
	return a
}

// check reports the arguments in m that are not carried out, or not known.
func (t *translation) check(c definition.Component, m yaml11.Map, k kind) {
	takes, free, lacks := strings.Fields(k.takes), strings.Fields(k.free), strings.Fields(k.lacks)
	for _, e := range m {
		name := text(e.Key)
		switch {
		case slices.Contains(takes, name) || slices.Contains(free, name):
		case slices.Contains(lacks, name):
			if set(e.Value) {
				t.miss(c, Without, "the argument %s is not carried out", name)
			}
		default:
			hint := yaml11.Suggest(name, slices.Concat(takes, free, lacks))
			t.miss(c, Without, "unknown argument %q%s", yaml11.Brief(name), hint)
			if hint != "" { // else newer versions of Jenkins' plugins may know it
				t.mistake(e.Key.At, "unknown argument %q of %s%s", yaml11.Brief(name), c.Type, hint)
			}
		}
	}
}

func (a args) text(name string) string       { return text(a.m.Lookup(name)) }
func (a args) get(name string) *yaml11.Value { return a.m.Lookup(name) }

// flag returns a boolean argument, or otherwise if it is not there.
func (a args) flag(name string, otherwise bool) bool {
	v := a.m.Lookup(name)
	if v == nil || v.Data == nil {
		return otherwise
	}
	return set(v)
}

// number returns an argument as a number that is not negative; 0 if it is not
// one.
func (a args) number(name string) int {
	v := a.m.Lookup(name)
	if v == nil {
		return 0
	}
	n, ok := new(big.Int).SetString(strings.TrimSpace(text(v)), 10)
	if !ok || n.Sign() < 0 || !n.IsInt64() || n.Int64() > 1<<31 {
		return 0
	}
	return int(n.Int64())
}

// set tells whether v is something else than empty or false, as text too.
func set(v *yaml11.Value) bool {
	if v == nil {
		return false
	}
	switch data := v.Data.(type) {
	case nil:
		return false
	case bool:
		return data
	case []*yaml11.Value:
		return len(data) > 0
	case yaml11.Map:
		return len(data) > 0
	}
	word := strings.ToLower(strings.TrimSpace(v.Text()))
	return word != "" && word != "false" && word != "0"
}

// text is v as text: "" for nothing, true and false as Jenkins writes them.
func text(v *yaml11.Value) string {
	if v == nil || v.Data == nil {
		return ""
	}
	if b, ok := v.Data.(bool); ok {
		if b {
			return "true"
		}
		return "false"
	}
	return v.Text()
}

// list is v as a list of texts; a text may have commas between its items.
func list(v *yaml11.Value) []string {
	if v == nil || v.Data == nil {
		return nil
	}
	var all []string
	if items := v.List(); items != nil {
		for _, item := range items {
			all = append(all, text(item))
		}
		return all
	}
	for item := range strings.SplitSeq(text(v), ",") {
		if item = strings.TrimSpace(item); item != "" {
			all = append(all, item)
		}
	}
	return all
}
