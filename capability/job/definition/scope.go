package definition

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// errReported stands for an error that has been reported where it arose.
var errReported = errors.New("reported")

// scope is what one job can see: variables, each formatted when it is needed
// first.
type scope struct {
	raw    variables
	done   variables // nil: was wrong, which has been reported
	sorted []string  // the names of all variables
	stack  []string  // the variables that are being formatted, outermost first
	report func(*Error)
	work   *work
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
)

// spend takes size off and returns an error at v once all is spent.
func (w *work) spend(v *value, size int) *Error {
	if w.left < 0 {
		return nil
	}
	if w.left -= size; w.left < 0 {
		return v.at.errorf("the definitions are too much work to expand: make fewer or smaller jobs")
	}
	return nil
}

// ended reports whether to give up.
func (w *work) ended() bool { return w.left < 0 || w.errors >= maxErrors }

func newScope(raw variables, report func(*Error), w *work) *scope {
	return &scope{raw: raw, done: variables{}, sorted: slices.Sorted(maps.Keys(raw)), report: report, work: w}
}

// has reports whether the variable is defined.
func (s *scope) has(name string) bool { return s.raw[name] != nil }

// formatAll formats all variables, whether used or not, and reports whether
// all were right.
func (s *scope) formatAll() bool {
	ok := true
	for _, name := range s.sorted {
		ok = s.variable(name) != nil && ok
	}
	return ok
}

// variable returns a defined variable, formatted, or nil after its error was
// reported.
func (s *scope) variable(name string) *value {
	if v, ok := s.done[name]; ok {
		return v
	}
	raw := s.raw[name]
	if i := slices.Index(s.stack, name); i >= 0 {
		cycle := strings.Join(append(slices.Clone(s.stack[i:]), name), " -> ")
		s.report(raw.at.errorf("variables refer to each other in a cycle: %s", cycle))
		return nil
	}
	if len(s.stack) >= maxChain {
		s.report(raw.at.errorf("more than %d variables refer to each other in a row", maxChain))
		return nil
	}
	s.stack = append(s.stack, name)
	v := s.format(raw)
	s.stack = s.stack[:len(s.stack)-1]
	s.done[name] = v
	return v
}

// format returns v with each text in it formatted, or nil after all that was
// wrong has been reported.
func (s *scope) format(v *value) *value {
	if v.plain {
		return v
	}
	if err := s.work.spend(v, v.size+costOfValue); err != nil {
		s.report(err)
	}
	if s.work.ended() {
		return nil
	}
	var out *value
	switch data := v.data.(type) {
	case string:
		var err error
		if out, err = s.formatText(v, data); err != nil {
			s.fail(err)
			return nil
		}
	case []*value:
		out = s.formatList(v.at, data)
	case mapping:
		out = s.formatMapping(v.at, data)
	}
	if out == nil {
		return nil
	}
	if err := out.tooLarge(); err != nil {
		s.report(err)
		return nil
	}
	return out
}

// fail reports err, unless that has been done.
func (s *scope) fail(err error) {
	if e, ok := errors.AsType[*Error](err); ok {
		s.report(e)
	}
}

func (s *scope) formatList(at position, items []*value) *value {
	out := make([]*value, 0, len(items))
	for _, item := range items {
		if v := s.format(item); v != nil {
			out = append(out, v)
		}
	}
	if len(out) < len(items) {
		return nil
	}
	return newValue(at, out)
}

func (s *scope) formatMapping(at position, m mapping) *value {
	out := make(mapping, 0, len(m))
	for _, e := range m {
		k, v := s.format(e.key), s.format(e.value)
		if k != nil && k.depth == 0 && v != nil {
			out = append(out, entry{k, v})
		} else if k != nil && k.depth > 0 {
			s.report(e.key.at.errorf("a key must be text, but the variable is %s", kindOf(k)))
		}
	}
	if len(out) < len(m) {
		return nil
	}
	return newValue(at, uniq(out))
}

// formatText does the three steps of format.go. The error is an *Error or
// errReported.
func (s *scope) formatText(v *value, text string) (*value, error) {
	if name, ok := wholeName(text); ok && s.has(name) {
		if whole := s.variable(name); whole != nil {
			return whole, nil
		}
		return nil, errReported
	}
	out, err := pyFormat(applyDefaults(text, s.has), s.lookup)
	if err == nil {
		return newValue(v.at, out), nil
	}
	if wrong, ok := errors.AsType[*formatError](err); ok {
		return nil, v.find(wrong.fragment).errorf("%s", wrong.message)
	}
	return nil, err
}

// lookup is what pyFormat finds variables with.
func (s *scope) lookup(name, fragment string, afterDollar bool) (*value, error) {
	if s.has(name) {
		if v := s.variable(name); v != nil {
			return v, nil
		}
		return nil, errReported
	}
	return nil, &formatError{fragment, s.undefined(name, fragment, afterDollar)}
}

// undefined says what to do about a variable that is not there.
func (s *scope) undefined(name, fragment string, afterDollar bool) string {
	inner, isObj := strings.CutPrefix(fragment, "{obj:")
	inner = strings.TrimSuffix(inner, "}")
	if isObj && s.has(inner) {
		return "{obj:" + brief(inner) + "} can only be the whole text: write {" + brief(inner) + "}"
	}
	if isObj {
		name = inner
	}
	hint := suggest(name, s.sorted)
	if before, _, found := strings.Cut(name, "|"); found {
		return "only a variable of letters, digits and underscores can have a default, but this is " +
			"\"" + brief(before) + "\": rename it"
	}
	message := "the variable \"" + brief(name) + "\" is not defined" + hint
	if afterDollar {
		return message + " (write ${{" + brief(name) + "}} if you mean the shell's ${" + brief(name) + "})"
	}
	if end := nameEnd(name, 0); end < len(name) && strings.ContainsAny(name, " ;\n'\"$") {
		return message + " (write {{ and }} if you mean braces)"
	}
	return message + " (define it in the project, or write {" + brief(name) + "|text} for a default, " +
		"or {{" + brief(name) + "}} if you mean braces)"
}
