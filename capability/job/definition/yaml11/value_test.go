package yaml11

import (
	"encoding/json"
	"testing"
)

func parseText(t *testing.T, text string) *Value {
	t.Helper()
	return Parse(NewFile("a.yml", []byte(text)), map[string]string{"!t:": "t"}, func(err *Error) { t.Fatal(err) })
}

func TestValuesAsTextAndAsJSON(t *testing.T) {
	for text, want := range map[string][3]string{
		"{b: 1, a: [x, ~, yes], b: 2}": {"{'b': 2, 'a': ['x', None, True]}", "OrderedDict([('b', 2), ('a', ['x', None, True])])", `{"b":2,"a":["x",null,true]}`},
		"[1.0, 1e+30, .inf, 010]":      {"[1.0, '1e+30', inf, 8]", "[1.0, '1e+30', inf, 8]", `[1.0,"1e+30","inf",8]`},
		"2024-01-02":                   {"2024-01-02", "2024-01-02", `"2024-01-02"`},
		"[2024-01-02]":                 {"[datetime.date(2024, 1, 2)]", "[datetime.date(2024, 1, 2)]", `["2024-01-02"]`},
		"2024-1-2t3:04:05.25 +1":       {"2024-01-02 03:04:05.250000+01:00", "2024-01-02 03:04:05.250000+01:00", `"2024-01-02 03:04:05.250000+01:00"`},
		"{}":                           {"{}", "OrderedDict()", "{}"},
	} {
		v := parseText(t, text)
		data, err := json.Marshal(v)
		if got := [3]string{v.Text(), v.TextAs(true), string(data)}; err != nil || got != want {
			t.Errorf("%s is %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestEqualIsThatOfPython(t *testing.T) {
	for text, want := range map[string]bool{
		"[1, 1.0]": true, "[1, yes]": true, "[0, off]": true, "[1, '1']": false, "[[1, a], [1.0, a]]": true, "[{a: 1}, {a: 1}]": true,
		"[~, '']": false, "[[a], a]": false, "[{a: 1}, {a: 2}]": false,
	} {
		items := parseText(t, text).List()
		if got := Equal(items[0], items[1]); got != want {
			t.Errorf("Equal of %s is %v, want %v", text, got, want)
		}
	}
}

func TestFindTellsWhereAPartOfATextIs(t *testing.T) {
	v := parseText(t, "- a: |\n    one\n    two {x} three\n- 'inline {y}'\n- !t: [p, q]\n")
	block, inline := v.List()[0].Map().Lookup("a"), v.List()[1]
	if got := block.Find("{x}").String(); got != "a.yml:3:9" {
		t.Errorf("{x} is at %s, want a.yml:3:9", got)
	}
	if got := inline.Find("{y}").String(); got != "a.yml:4:11" {
		t.Errorf("{y} is at %s, want a.yml:4:11", got)
	}
	if tag, ok := v.List()[2].Data.(Tag); !ok || tag.Kind != "t" || len(tag.Arg.List()) != 2 {
		t.Errorf("the tag is %#v, want t with two texts", v.List()[2].Data)
	}
	whole := NewFile("s.sh", []byte("a\r\nb {z}\r\n")).Text()
	if got := whole.Find("{z}").String(); got != "s.sh:2:3" || whole.Text() != "a\nb {z}\n" {
		t.Errorf("{z} is at %s in %q, want s.sh:2:3", got, whole.Text())
	}
}
