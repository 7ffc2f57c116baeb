package python

import (
	"slices"
	"testing"

	"landfall.dev/capability/job/definition/yaml11"
)

// vars are the variables of a map in YAML.
type vars map[string]*yaml11.Value

func (m vars) Has(name string) bool { return m[name] != nil }

func (m vars) Lookup(name, fragment string, _ bool) (*yaml11.Value, error) {
	if v := m[name]; v != nil {
		return v, nil
	}
	return nil, &Error{fragment, "undefined " + name}
}

func TestFormatIsThatOfJenkinsJobBuilder(t *testing.T) {
	m := vars{}
	file := yaml11.NewFile("vars", []byte("{v: V, n: 7, l: [a, 1], d: {k: K}, f: 1.5, e: '', my-v: dash, w: 5, br: '{v}'}"))
	for _, e := range yaml11.Parse(file, nil, func(err *yaml11.Error) { t.Fatal(err) }).Map() {
		m[e.Key.Text()] = e.Value
	}
	for text, want := range map[string]string{
		"{l}": "['a', 1]", "{l}\n": "['a', 1]", "{obj:l}": "['a', 1]", "{l}.": "['a', 1].", "{{v}}": "{v}", "{{{v}}}": "V",
		"x{{{v}}}": "x{V}", "{a|b}": "b", "{e|b}": "", "${{{a|b}}}": "$b", "{a|${{HOME}}}": "${HOME", "{br}": "{v}", "{br}!": "{v}!",
		"{v:>{w}}": "    V", "{my-v}": "dash", "{d[k]}": "K", "{n:03d}": "007", "{v!r}": "'V'", "{f:.2f}": "1.50",
		"{nope}": "undefined nope", "{my-v|x}": "undefined my-v|x", "x{obj:l}": "undefined obj", "{l": "a { has no } after it: write {{ if you mean the brace",
	} {
		got, err := Formatter{}.Format(yaml11.New(yaml11.Position{}, text), text, m)
		if err != nil {
			got = yaml11.New(yaml11.Position{}, err.Error())
		}
		if got.Text() != want {
			t.Errorf("%q gave %q, want %q", text, got.Text(), want)
		}
	}
}

func TestFieldsAndDefaultsOfAName(t *testing.T) {
	text := "{name}-{a|x}-{{no}}-{obj:b}-{c[k]}-{a|y}"
	if got, want := Fields(text), []string{"name", "a", "b", "c", "a"}; !slices.Equal(got, want) {
		t.Errorf("the fields of %s are %q, want %q", text, got, want)
	}
	if got := Defaults(text); len(got) != 1 || got["a"] != "y" {
		t.Errorf("the defaults of %s are %v, want y for a", text, got)
	}
}

func TestNamesAreInTheOrderOfJenkinsJobBuilder(t *testing.T) {
	want := []string{"-x", "1-a", "J2", "a", "a1", "a2", "a2b", "a010", "a10.1", "a-1", "j"}
	got := slices.Clone(want)
	slices.Reverse(got)
	if slices.SortFunc(got, CompareNames); !slices.Equal(got, want) {
		t.Errorf("the order is %q, want %q", got, want)
	}
}

func TestFnmatchIsThatOfPython(t *testing.T) {
	for pattern, names := range map[string][2]string{
		"a*": {"a/b", "ba"}, "?-[!1]": {"a-2", "a-1"}, "[]]x": {"]x", "x"}, "a.b": {"a.b", "axb"}, "[a": {"[a", "a"}, "[^a]": {"^", "b"},
	} {
		re := Fnmatch(pattern)
		if !re.MatchString(names[0]) || re.MatchString(names[1]) {
			t.Errorf("%s must match %s, not %s", pattern, names[0], names[1])
		}
	}
}
