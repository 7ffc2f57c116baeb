package definition

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"landfall.dev/capability/job/definition/python"
	"landfall.dev/capability/job/definition/yaml11"
)

// errReported stands for an error that has been reported where it arose.
var errReported = errors.New("reported")

// scope is what one job or one call of a macro can see, and how texts are
// formatted with it.
type scope struct {
	x  *expansion
	at *frame
	// levels are the variables, the strongest last; done those that are
	// formatted (nil: was wrong, which has been reported). Without lazy,
	// variables are used as they are.
	levels []variables
	done   variables
	// args are those of a call, which are stronger than the levels.
	args  yaml11.Map
	lazy  bool
	stack []string // the variables that are being formatted, outermost first
	depth int      // of included files

	// allowEmpty makes variables that are not defined empty, but not in other
	// variables.
	allowEmpty bool
	// objects leaves texts as they are, texts leaves tags as they are.
	objects, texts bool
}

// frame is how an expansion came to where it is, as a list from the innermost.
type frame struct {
	up   *frame
	in   *definition
	file string          // included, if there is no definition
	call yaml11.Position // of the macro or the include
}

// link is the line of an error's chain that stands for f.
func (f *frame) link() string {
	switch {
	case f.in == nil:
		return "in " + f.file + ", included at " + f.call.String()
	case macroLists[f.in.kind] != "":
		return f.in.link + ", called at " + f.call.String()
	}
	return f.in.link
}

// link is f.link for the call of a macro, made once for all jobs that have it.
func (x *expansion) link(f *frame) string {
	key := frame{in: f.in, call: f.call}
	text, ok := x.links[key]
	if !ok {
		text = f.link()
		x.links[key] = text
	}
	return text
}

// chain returns all links, outermost first; that of a macro which calls itself
// once.
func (f *frame) chain() []string {
	var all []string
	for ; f != nil; f = f.up {
		all = append(all, f.link())
	}
	slices.Reverse(all)
	return slices.Compact(all)
}

// work counts what an expansion has formatted and reported, so that it ends.
type work struct {
	left   int
	errors int
}

// What it costs besides the size of values.
const (
	costOfValue = 64      // to format it
	costOfVar   = 128     // to put it into a scope
	costOfError = 1 << 16 // to report it, found before or not

	costOfComponent = 1 << 11 // to find what it stands for, and to keep it
	costOfTag       = 1 << 13 // to find and read its files
)

// spend takes size off and returns an error at v once all is spent.
func (w *work) spend(v *yaml11.Value, size int) *Error {
	if w.left < 0 {
		return nil
	}
	if w.left -= size; w.left < 0 {
		return v.At.Errorf("the definitions are too much work to expand: make fewer or smaller jobs")
	}
	return nil
}

// ended reports whether to give up.
func (w *work) ended() bool { return w.left < 0 || w.errors >= maxErrors }

// scope returns a scope in which variables are used as they are.
func (x *expansion) scope(at *frame, levels ...variables) *scope {
	return &scope{x: x, at: at, levels: levels, allowEmpty: x.options.AllowEmptyVariables}
}

// lazyScope returns a scope in which variables may use each other: each is
// formatted when it is needed first.
func (x *expansion) lazyScope(at *frame, levels ...variables) *scope {
	s := x.scope(at, levels...)
	s.lazy, s.done = true, variables{}
	return s
}

func (s *scope) report(err *Error) { s.x.report(s.at, err) }

// Has reports whether the variable is defined.
func (s *scope) Has(name string) bool { return s.raw(name) != nil }

// raw returns a variable as it is written, or nil.
func (s *scope) raw(name string) *yaml11.Value {
	if v := s.args.Lookup(name); v != nil {
		return v
	}
	for i := len(s.levels) - 1; i >= 0; i-- {
		if v := s.levels[i][name]; v != nil {
			return v
		}
	}
	return nil
}

// names returns the names of all variables.
func (s *scope) names() []string {
	return slices.Sorted(maps.Keys(merged(append(s.levels[:len(s.levels):len(s.levels)], toVariables(s.args))...)))
}

// formatAll formats all variables, whether used or not, and reports whether
// all were right.
func (s *scope) formatAll() bool {
	ok := true
	var rest []string
	for _, level := range s.levels {
		for name := range level {
			if v := s.raw(name); v.Plain {
				s.done[name] = v
			} else {
				rest = append(rest, name)
			}
		}
	}
	slices.Sort(rest)
	for _, name := range slices.Compact(rest) {
		ok = s.variable(name) != nil && ok
	}
	return ok
}

// variable returns a defined variable, or nil after its error was reported.
func (s *scope) variable(name string) *yaml11.Value {
	if !s.lazy {
		return s.raw(name)
	}
	if v, ok := s.done[name]; ok {
		return v
	}
	raw := s.raw(name)
	if i := slices.Index(s.stack, name); i >= 0 {
		cycle := strings.Join(append(slices.Clone(s.stack[i:]), name), " -> ")
		s.report(raw.At.Errorf("variables refer to each other in a cycle: %s", cycle))
		return nil
	}
	if len(s.stack) >= maxChain {
		s.report(raw.At.Errorf("more than %d variables refer to each other in a row", maxChain))
		return nil
	}
	s.stack = append(s.stack, name)
	v := s.format(raw)
	s.stack = s.stack[:len(s.stack)-1]
	s.done[name] = v
	return v
}

// format returns v with each text in it formatted and each tag replaced, or
// nil after all that was wrong has been reported.
func (s *scope) format(v *yaml11.Value) *yaml11.Value {
	if v.Plain {
		return v
	}
	if err := s.x.work.spend(v, v.Size+costOfValue); err != nil {
		s.report(err)
	}
	if s.x.work.ended() {
		return nil
	}
	out := s.formatted(v)
	if out == nil {
		return nil
	}
	if err := out.TooLarge(); err != nil {
		s.report(err)
		return nil
	}
	return out
}

func (s *scope) formatted(v *yaml11.Value) *yaml11.Value {
	switch data := v.Data.(type) {
	case string:
		if s.objects {
			return v
		}
		return s.formatText(v, data)
	case []*yaml11.Value:
		return s.formatList(v.At, data)
	case yaml11.Map:
		return s.formatMap(v.At, data)
	case yaml11.Tag:
		if s.texts {
			return v
		}
		return s.expandTag(v, data)
	case yaml11.Date:
		if s.x.options.Dialect != Classic {
			s.report(v.At.Errorf("%s is a date in YAML 1.1: quote it if it is text", data.Text))
			return nil
		}
	}
	return v
}

func (s *scope) formatList(at yaml11.Position, items []*yaml11.Value) *yaml11.Value {
	out := make([]*yaml11.Value, 0, len(items))
	for _, item := range items {
		if v := s.format(item); v != nil {
			out = append(out, v)
		}
	}
	if len(out) < len(items) {
		return nil
	}
	return yaml11.New(at, out)
}

func (s *scope) formatMap(at yaml11.Position, m yaml11.Map) *yaml11.Value {
	out := make(yaml11.Map, 0, len(m))
	newKeys := false
	for _, e := range m {
		k, v := s.format(e.Key), s.format(e.Value)
		if k != nil && k.Depth > 0 {
			s.report(e.Key.At.Errorf("a key must be text, but the variable is %s", yaml11.KindOf(k)))
			continue
		}
		if k != nil && v != nil {
			newKeys = newKeys || k != e.Key
			out = append(out, yaml11.Entry{Key: k, Value: v})
		}
	}
	if len(out) < len(m) {
		return nil
	}
	if newKeys {
		out = yaml11.Uniq(out)
	}
	return yaml11.New(at, out)
}

// formatText returns the formatted text of v, or the variable that is all of it.
func (s *scope) formatText(v *yaml11.Value, text string) *yaml11.Value {
	out, err := s.x.formatter.Format(v, text, s)
	if err == nil {
		return asWritten(out, v, text)
	}
	if wrong, ok := errors.AsType[*python.Error](err); ok {
		s.report(v.Find(wrong.Fragment).Errorf("%s", wrong.Message))
	}
	return nil
}

// asWritten returns out, the formatted text of v, with where its lines are if
// these are still those of v.
func asWritten(out, v *yaml11.Value, text string) *yaml11.Value {
	made, ok := out.Data.(string)
	if !ok || v.Lead == 0 || out.At != v.At || strings.Count(made, "\n") != strings.Count(text, "\n") {
		return out
	}
	kept := *out
	kept.Lead = v.Lead
	return &kept
}

// Lookup is what texts find variables with.
func (s *scope) Lookup(name, fragment string, afterDollar bool) (*yaml11.Value, error) {
	if s.Has(name) {
		if v := s.variable(name); v != nil {
			return v, nil
		}
		return nil, errReported
	}
	if s.allowEmpty && len(s.stack) == 0 {
		return empty, nil
	}
	return nil, &python.Error{Fragment: fragment, Message: s.undefined(name, fragment, afterDollar)}
}

// empty is what an undefined variable is where that is allowed.
var empty = yaml11.New(yaml11.Position{}, "")

// undefined says what to do about a variable that is not there.
func (s *scope) undefined(name, fragment string, afterDollar bool) string {
	inner, isObj := strings.CutPrefix(fragment, "{obj:")
	inner = strings.TrimSuffix(inner, "}")
	if isObj && s.Has(inner) {
		return "{obj:" + yaml11.Brief(inner) + "} can only be the whole text: write {" + yaml11.Brief(inner) + "}"
	}
	if isObj {
		name = inner
	}
	hint := yaml11.Suggest(name, s.names())
	if before, _, found := strings.Cut(name, "|"); found {
		return "only a variable of letters, digits and underscores can have a default, but this is " +
			"\"" + yaml11.Brief(before) + "\": rename it"
	}
	message := "the variable \"" + yaml11.Brief(name) + "\" is not defined" + hint
	if afterDollar {
		return message + " (write ${{" + yaml11.Brief(name) + "}} if you mean the shell's ${" + yaml11.Brief(name) + "})"
	}
	if end := python.WordEnd(name); end < len(name) && strings.ContainsAny(name, " ;\n'\"$") {
		return message + " (write {{ and }} if you mean braces)"
	}
	return message + " (define it in the project, or write {" + yaml11.Brief(name) + "|text} for a default, " +
		"or {{" + yaml11.Brief(name) + "}} if you mean braces)"
}
