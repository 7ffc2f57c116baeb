package native

import (
	"fmt"
	"maps"
	"strings"
	"text/scanner"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition/yaml11"
)

// maxCells is how many builds a matrix may make.
const maxCells = 256

// axisNames are what axes are called that need not be given a name.
var axisNames = map[string]string{"label-expression": "label", "slave": "label", "jdk": "jdk", "python": "PYTHON", "tox": "TOXENV"}

// matrix makes a build of the job several, one for each combination of the
// values of its axes.
func (t *translation) matrix() {
	m := &api.Matrix{}
	cells := []map[string]string{{}}
	for _, item := range t.job.Keys.Lookup("axes").List() {
		name, values, err := axis(item.Map().Lookup("axis").Map())
		if err != nil {
			t.missKey("axes", Cannot, "%v", err)
			return
		}
		m.Axes = append(m.Axes, name)
		if cells = product(cells, name, values); len(cells) > maxCells {
			t.missKey("axes", Cannot, "they make more than %d builds", maxCells)
			return
		}
	}
	if len(m.Axes) == 0 {
		t.missKey("axes", Cannot, "a matrix needs axes")
		return
	}
	strategy := t.job.Keys.Lookup("execution-strategy").Map()
	m.Sequential = set(strategy.Lookup("sequential"))
	if set(strategy.Lookup("touchstone")) {
		t.missKey("execution-strategy", Without, "a touchstone: all builds are run")
	}
	filter := text(strategy.Lookup("combination-filter"))
	for _, c := range cells {
		ok, err := holds(filter, c)
		if err != nil {
			t.missKey("execution-strategy", Cannot, "the combination-filter %q: %v", yaml11.Brief(filter), err)
			return
		}
		if ok {
			m.Cells = append(m.Cells, c)
		}
	}
	if len(m.Cells) == 0 {
		t.missKey("execution-strategy", Cannot, "the combination-filter %q leaves no build", yaml11.Brief(filter))
		return
	}
	t.spec.Matrix = m
}

func axis(m yaml11.Map) (name string, values []string, err error) {
	kind := or(text(m.Lookup("type")), "user-defined")
	if kind == "dynamic" || kind == "groovy" || kind == "yaml" {
		return "", nil, fmt.Errorf("an axis of the type %s finds its values when it is built: list them", kind)
	}
	name = or(text(m.Lookup("name")), axisNames[kind])
	values = words(m.Lookup("values"))
	if len(values) == 1 && !strings.Contains(text(m.Lookup("values")), "\n") && m.Lookup("values").List() == nil {
		values = strings.Fields(values[0])
	}
	if name == "" || len(values) == 0 {
		return "", nil, fmt.Errorf("an axis needs a name and values")
	}
	return name, values, nil
}

func product(cells []map[string]string, name string, values []string) []map[string]string {
	var all []map[string]string
	for _, c := range cells {
		for _, v := range values {
			n := maps.Clone(c)
			n[name] = v
			all = append(all, n)
		}
	}
	return all
}

// holds evaluates a filter of combinations: the part of Groovy that compares
// axes with texts, by ==, !=, in, contains, startsWith and endsWith, joined by
// &&, ||, ! and implies.
func holds(filter string, cell map[string]string) (bool, error) {
	if strings.TrimSpace(filter) == "" {
		return true, nil
	}
	f := &filterReader{cell: cell}
	f.scan.Init(strings.NewReader(quoteAlike(filter)))
	f.scan.Error = func(_ *scanner.Scanner, why string) { f.fail(why) }
	f.next()
	v := f.or()
	if f.token != scanner.EOF {
		f.fail(fmt.Sprintf("%q is not understood", f.scan.TokenText()))
	}
	return f.truth(v), f.err
}

// quoteAlike gives texts in single quotes double ones.
func quoteAlike(s string) string { return strings.ReplaceAll(s, "'", `"`) }

// filterReader evaluates a filter as it reads it. A value is a string, a bool or
// a []string.
type filterReader struct {
	scan  scanner.Scanner
	token rune
	cell  map[string]string
	err   error
}

func (f *filterReader) fail(why string) {
	if f.err == nil {
		f.err = fmt.Errorf("%s; it may compare axes with texts by ==, !=, in, contains, startsWith and endsWith, and join these by &&, || and !", why)
	}
	f.token = scanner.EOF
}

func (f *filterReader) next() {
	if f.err == nil {
		f.token = f.scan.Scan()
	}
}

// take passes over the tokens, if they come next: one, or the same twice.
func (f *filterReader) take(tokens string) bool {
	if f.token != rune(tokens[0]) || len(tokens) > 1 && f.scan.Peek() != rune(tokens[1]) {
		return false
	}
	for range tokens {
		f.next()
	}
	return true
}

func (f *filterReader) truth(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case string:
		return v != ""
	}
	return false
}

func (f *filterReader) or() any {
	v := f.and()
	for f.take("||") {
		right := f.and()
		v = f.truth(v) || f.truth(right)
	}
	return v
}

func (f *filterReader) and() any {
	v := f.compare()
	for f.take("&&") {
		right := f.compare()
		v = f.truth(v) && f.truth(right)
	}
	return v
}

func (f *filterReader) compare() any {
	v := f.value()
	switch {
	case f.take("=="):
		return same(v, f.value())
	case f.take("!="):
		return !same(v, f.value())
	case f.token == scanner.Ident && f.scan.TokenText() == "in":
		f.next()
		return contains(f.value(), v)
	}
	return v
}

func same(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

func contains(all, v any) bool {
	switch all := all.(type) {
	case []string:
		for _, item := range all {
			if same(item, v) {
				return true
			}
		}
	case string:
		return strings.Contains(all, fmt.Sprint(v))
	}
	return false
}

func (f *filterReader) value() any {
	var v any
	word := f.scan.TokenText()
	switch f.token {
	case '!':
		f.next()
		return !f.truth(f.value())
	case '(':
		f.next()
		v = f.or()
		f.want(")")
	case '[':
		v = f.list()
	case scanner.String, scanner.RawString:
		v = strings.Trim(word, "\"`")
		f.next()
	case scanner.Int, scanner.Float:
		v = word
		f.next()
	case scanner.Ident:
		v = f.name(word)
		f.next()
	default:
		f.fail(fmt.Sprintf("%q is not understood", word))
	}
	for f.take(".") {
		v = f.method(v)
	}
	return v
}

func (f *filterReader) name(word string) any {
	if word == "true" || word == "false" {
		return word == "true"
	}
	value, ok := f.cell[word]
	if !ok {
		f.fail(fmt.Sprintf("there is no axis %s", word))
	}
	return value
}

func (f *filterReader) list() []string {
	var all []string
	f.next()
	for f.err == nil && f.token != ']' && f.token != scanner.EOF {
		all = append(all, fmt.Sprint(f.value()))
		if !f.take(",") {
			break
		}
	}
	f.want("]")
	return all
}

func (f *filterReader) want(token string) {
	if !f.take(token) {
		f.fail("there is no " + token)
	}
}

func (f *filterReader) method(v any) any {
	name := f.scan.TokenText()
	f.next()
	f.want("(")
	arg := f.or()
	f.want(")")
	switch name {
	case "implies":
		return !f.truth(v) || f.truth(arg)
	case "contains":
		return contains(v, arg)
	case "startsWith":
		return strings.HasPrefix(fmt.Sprint(v), fmt.Sprint(arg))
	case "endsWith":
		return strings.HasSuffix(fmt.Sprint(v), fmt.Sprint(arg))
	case "equals":
		return same(v, arg)
	}
	f.fail(fmt.Sprintf("the method %s is not known", name))
	return false
}
