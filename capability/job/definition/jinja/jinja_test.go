package jinja

import (
	"errors"
	"strings"
	"testing"

	"landfall.dev/capability/job/definition/yaml11"
)

// variables returns those of a map in YAML.
func variables(t *testing.T, text string) map[string]*yaml11.Value {
	vars := map[string]*yaml11.Value{}
	v := yaml11.Parse(yaml11.NewFile("vars", []byte(text)), nil, func(err *yaml11.Error) { t.Fatal(err) })
	for _, e := range v.Map() {
		vars[e.Key.Text()] = e.Value
	}
	return vars
}

func read(name string) (string, error) {
	if name == "inc.j2" {
		return "<{{ n }}>", nil
	}
	return "", errors.New("there is no file " + name)
}

func TestRender(t *testing.T) {
	vars := variables(t, "{n: 5, s: text, b: true, l: [a, 2], d: {z: 1, a: [q]}, f: 1.0}")
	for text, want := range map[string]string{
		"{{ n }} {{ s }} {{ b }} {{ l }} {{ f }}":                          "5 text True ['a', 2] 1.0",
		"{% for k in d %}{{ k }} {% endfor %}{{ d.z }} {{ d['a'][0] }}":    "z a 1 q",
		"{% if nope is defined %}x{% else %}y{% endif %}":                  "y",
		"{{ nope|default('none') }}\n":                                     "none",
		"a {name} ${{ '{' }}{{ '{' }}":                                     "a {name} ${{",
		"{% set q = n + 1 %}{{ q }} {{ l|join(',') }} {{ 'x'|upper ~ n }}": "6 a,2 X5",
		"{% include 'inc.j2' %}":                                           "<5>",
		"plain":                                                            "plain",
	} {
		if got, err := Render(text, vars, read); err != nil || got != want {
			t.Errorf("%s gave %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestWhatCannotBeRendered(t *testing.T) {
	long := "l: [" + strings.Repeat("x, ", 2000) + "x]"
	loops := "{% for a in l %}{% for b in l %}{{ a }}{% endfor %}{% endfor %}"
	for text, want := range map[string]string{
		"{{ nope }}":                    `the variable "nope" is not defined`,
		"{{ l.nope }}":                  "attribute 'nope' not found",
		"{% for %}":                     "the template of Jinja2 cannot be rendered",
		"{% include 'no.j2' %}":         "there is no file no.j2",
		"{{ range(9) }}":                `has "range", which Landfall does not run`,
		"{{ 'a' * 1000000000 }}":        "which Landfall does not run",
		loops:                           "may run more than 1000000 times",
		"{% unknown %}{% endunknown %}": "the template of Jinja2 cannot be rendered",
	} {
		if got, err := Render(text, variables(t, long), read); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gave %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestNamesAreThoseThatATemplateUses(t *testing.T) {
	known := []string{"a", "b", "c"}
	if got, err := Names("{{ b }} {% if a %}{% endif %}", known); err != nil || strings.Join(got, " ") != "b a" {
		t.Errorf("the names are %q, %v, want b and a", got, err)
	}
	if got, err := Names("{% include 'x' %}", known); err != nil || len(got) != 3 {
		t.Errorf("the names are %q, %v, want all", got, err)
	}
	if _, err := Names(strings.Repeat("x", maxTemplate+1), known); err == nil {
		t.Error("a large template gave no error")
	}
}
