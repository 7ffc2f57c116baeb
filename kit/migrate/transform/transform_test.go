package transform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"landfall.dev/kit"
)

type raw = json.RawMessage

type anything struct{ kit.Meta }

// define returns a kind whose schema has the steps.
func define(steps ...[]kit.Transform) *kit.Definition {
	return kit.Define[anything]("things", kit.Schema(len(steps)+1, steps...)).Definition
}

func compile(t testing.TB, steps ...[]kit.Transform) Chain {
	t.Helper()
	x, err := Compile(define(steps...), 1)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func listed(v raw) (raw, error) { return append(append(raw{'['}, v...), ']'), nil }

func TestTransformations(t *testing.T) {
	one := func(ops ...kit.Transform) [][]kit.Transform { return [][]kit.Transform{ops} }
	refused := errors.New("not like that")
	tests := []struct {
		name      string
		steps     [][]kit.Transform
		in, want  string
		wantField string // of the error
		wantError string
	}{
		{name: "nothing", in: ` {"a" : 1} `, want: ` {"a" : 1} `},
		{name: "rename keeps the place", steps: one(kit.Rename("b", "x")), in: `{"a":1,"b":{"b":2},"c":3}`, want: `{"a":1,"x":{"b":2},"c":3}`},
		{name: "rename of a missing field", steps: one(kit.Rename("b", "x")), in: `{"a":1}`, want: `{"a":1}`},
		{name: "rename onto a field", steps: one(kit.Rename("a", "b")), in: `{"a":1,"b":2}`, wantField: "a", wantError: `field "a": it cannot be renamed to "b": the document has both`},
		{name: "exchange of names", steps: one(kit.Rename("a", "t"), kit.Rename("b", "a"), kit.Rename("t", "b")), in: `{"a":1,"b":2}`, want: `{"b":1,"a":2}`},
		{name: "default of a missing field", steps: one(kit.Default("x", []int{1, 2})), in: `{"a":1}`, want: `{"a":1,"x":[1,2]}`},
		{name: "default of an empty document", steps: one(kit.Default("x", "")), in: `{}`, want: `{"x":""}`},
		{name: "default of a field that is there", steps: one(kit.Default("x", 1)), in: `{"x":null}`, want: `{"x":null}`},
		{name: "drop", steps: one(kit.Drop("b")), in: `{"a":1,"b":[1,{"c":"}"}],"c":3}`, want: `{"a":1,"c":3}`},
		{name: "drop of all", steps: one(kit.Drop("a")), in: `{"a":1}`, want: `{}`},
		{name: "convert", steps: one(kit.Convert("a", listed, nil)), in: `{"a":"x\"","b":2}`, want: `{"a":["x\""],"b":2}`},
		{name: "convert of a missing field", steps: one(kit.Convert("a", listed, nil)), in: `{"b":2}`, want: `{"b":2}`},
		{name: "convert that fails", steps: one(kit.Convert("a", func(raw) (raw, error) { return nil, refused }, nil)), in: `{"a":1}`, wantField: "a", wantError: `field "a": not like that`},
		{name: "convert to nothing", steps: one(kit.Convert("a", func(raw) (raw, error) { return nil, nil }, nil)), in: `{"a":1}`, wantField: "a", wantError: `field "a": not valid JSON: it ends too early, a value is expected`},
		{name: "convert to more than a value", steps: one(kit.Convert("a", func(raw) (raw, error) { return raw(`1,"b":2`), nil }, nil)), in: `{"a":1}`, wantField: "a", wantError: `field "a": not valid JSON at byte 1: nothing is expected after the value`},
		{name: "convert that panics", steps: one(kit.Convert("a", func(v raw) (raw, error) { return v[9:10], nil }, nil)), in: `{"a":1}`, wantField: "a", wantError: `field "a": the transformation panicked: runtime error`},
		{name: "several steps in order", steps: [][]kit.Transform{{kit.Rename("a", "b")}, {kit.Convert("b", listed, nil)}, {kit.Rename("b", "c"), kit.Default("b", 0)}}, in: `{"a":1}`, want: `{"c":[1],"b":0}`},
		{name: "func", steps: one(kit.Rename("a", "b"), kit.Func(func(d raw) (raw, error) { return bytes.ReplaceAll(d, []byte("1"), []byte("7")), nil }, nil), kit.Drop("z")), in: `{"a":1,"z":0}`, want: `{"b":7}`},
		{name: "func that writes to the envelope", steps: one(kit.Func(func(raw) (raw, error) { return raw(`{"version":9,"a":1,"pending":[],"b":2}`), nil }, nil)), in: `{}`, want: `{"a":1,"b":2}`},
		{name: "func that fails", steps: one(kit.Func(func(raw) (raw, error) { return nil, refused }, nil)), in: `{}`, wantError: "not like that"},
		{name: "func that names the field", steps: one(kit.Func(func(raw) (raw, error) { return nil, &FieldError{"q", refused} }, nil)), in: `{}`, wantField: "q", wantError: `field "q": not like that`},
		{name: "func to no object", steps: one(kit.Func(func(raw) (raw, error) { return raw("[]"), nil }, nil)), in: `{}`, wantError: "not valid JSON at byte 0: a JSON object is expected"},
		{name: "edit", steps: one(kit.Edit(func(f kit.Fields) error {
			f.Set("b", f.Value("a"))
			f.Remove("a")
			f.Remove("missing")
			f.Set("c", raw(` "x" `))
			n := 0
			for range f.All() {
				n++
			}
			f.Set("n", fmt.Append(nil, n))
			return nil
		}, nil), kit.Rename("b", "d")), in: `{"z":[ 1 ],"a":{"k" : 2},"c":0}`, want: `{"z":[ 1 ],"c":"x","d":{"k" : 2},"n":3}`},
		{name: "edit that sets what is not JSON", steps: one(kit.Edit(func(f kit.Fields) error { f.Set("a", raw("1,")); f.Set("b", nil); return nil }, nil)), in: `{}`, wantField: "a", wantError: `field "a": not valid JSON at byte 1: nothing is expected after the value`},
		{name: "edit of the envelope", steps: one(kit.Edit(func(f kit.Fields) error { f.Set("version", raw("1")); return nil }, nil)), in: `{}`, wantField: "version", wantError: `field "version": it belongs to the envelope, which is kept as it is`},
		{name: "edit that fails", steps: one(kit.Edit(func(kit.Fields) error { return refused }, nil)), in: `{}`, wantError: "not like that"},
		{name: "edit that panics", steps: one(kit.Edit(func(kit.Fields) error { panic("oh") }, nil)), in: `{}`, wantError: "the transformation panicked: oh"},
		{name: "split", steps: one(kit.SplitAt("n", []string{"f", "l"}, " ")), in: `{"a":1,"n":"Ada King L","b":2}`, want: `{"a":1,"f":"Ada","l":"King L","b":2}`},
		{name: "split of a text without a separator", steps: one(kit.SplitAt("n", []string{"f", "l"}, " ")), in: `{"n":""}`, want: `{"f":""}`},
		{name: "split of a text with escapes", steps: one(kit.SplitAt("n", []string{"f", "l"}, "/")), in: `{"n":"\/\"\\\n\/\u00e9<"}`, want: `{"f":"","l":"\"\\\u000a/é<"}`},
		{name: "split that keeps the name", steps: one(kit.SplitAt("n", []string{"n", "l"}, " ")), in: `{"n":"A L"}`, want: `{"n":"A","l":"L"}`},
		{name: "split of a missing field", steps: one(kit.SplitAt("n", []string{"f", "l"}, " ")), in: `{"f":1}`, want: `{"f":1}`},
		{name: "split of what is no text", steps: one(kit.SplitAt("n", []string{"f", "l"}, " ")), in: `{"n":null}`, wantField: "n", wantError: `field "n": it is null, not a text`},
		{name: "split onto a field", steps: one(kit.SplitAt("n", []string{"f", "l"}, " ")), in: `{"n":"A","f":1}`, wantField: "n", wantError: `field "n": it cannot be split into "f": the document has both`},
		{name: "split by a function", steps: one(kit.Split("n", []string{"f", "l"}, half, nil)), in: `{"n":[1]}`, want: `{"f":[1]}`},
		{name: "split by a function that fails", steps: one(kit.Split("n", []string{"f", "l"}, func(raw) ([]raw, error) { return nil, refused }, nil)), in: `{"n":1}`, wantField: "n", wantError: `field "n": not like that`},
		{name: "split into too few", steps: one(kit.Split("n", []string{"f", "l", "m"}, half, nil)), in: `{"n":1}`, wantField: "n", wantError: `field "n": it was split into 2 values for 3 fields`},
		{name: "split into no JSON", steps: one(kit.Split("n", []string{"f", "l"}, func(raw) ([]raw, error) { return []raw{raw("1"), raw("x")}, nil }, nil)), in: `{"n":1}`, wantField: "l", wantError: `field "l": not valid JSON`},
		{name: "split that panics", steps: one(kit.Split("n", []string{"f", "l"}, func(v raw) ([]raw, error) { return []raw{v[9:10]}, nil }, nil)), in: `{"n":1}`, wantField: "n", wantError: `field "n": the transformation panicked: runtime error`},
		{name: "merge", steps: one(kit.MergeWith([]string{"f", "l"}, "n", ", ")), in: `{"a":1,"l":"L","b":2,"f":"A\"<"}`, want: `{"a":1,"n":"A\"<, L","b":2}`},
		{name: "merge of a start", steps: one(kit.MergeWith([]string{"f", "m", "l"}, "n", " ")), in: `{"f":"A","m":"M"}`, want: `{"n":"A M"}`},
		{name: "merge onto a part", steps: one(kit.MergeWith([]string{"n", "l"}, "n", " ")), in: `{"l":"L","n":"A"}`, want: `{"n":"A L"}`},
		{name: "merge of missing fields", steps: one(kit.MergeWith([]string{"f", "l"}, "n", " ")), in: `{"n":1}`, want: `{"n":1}`},
		{name: "merge with a missing field", steps: one(kit.MergeWith([]string{"f", "m", "l"}, "n", " ")), in: `{"f":"A","l":"L"}`, wantField: "m", wantError: `field "m": it is missing, and so cannot be merged with "l"`},
		{name: "merge of what is no text", steps: one(kit.MergeWith([]string{"f", "l"}, "n", " ")), in: `{"f":"A","l":true}`, wantField: "l", wantError: `field "l": it is true, not a text`},
		{name: "merge onto a field", steps: one(kit.MergeWith([]string{"f", "l"}, "n", " ")), in: `{"f":"A","l":"L","n":0}`, wantField: "f", wantError: `field "f": it cannot be merged to "n": the document has both`},
		{name: "merge of a text with the separator", steps: one(kit.MergeWith([]string{"f", "l"}, "n", " ")), in: `{"f":"A B","l":"L"}`, wantField: "f", wantError: `field "f": it has the separator " " in it, and so could not be split from "n" again`},
		{name: "merge of the last with the separator", steps: one(kit.MergeWith([]string{"f", "l"}, "n", " ")), in: `{"f":"A","l":"L M"}`, want: `{"n":"A L M"}`},
		{name: "merge of a start with the separator", steps: one(kit.MergeWith([]string{"f", "l"}, "n", " ")), in: `{"f":"A B"}`, wantField: "f", wantError: `field "f": it has the separator`},
		{name: "merge of a text that ends like the separator", steps: one(kit.MergeWith([]string{"f", "l"}, "n", "--")), in: `{"f":"A-","l":"L"}`, wantField: "f", wantError: `field "f": it has the separator`},
		{name: "merge by a function", steps: one(kit.Merge([]string{"f", "l"}, "n", pack, nil)), in: `{"l":[2],"a":1}`, want: `{"n":[[],[[2]]],"a":1}`},
		{name: "merge by a function that fails", steps: one(kit.Merge([]string{"f", "l"}, "n", func([]raw) (raw, error) { return nil, refused }, nil)), in: `{"f":1}`, wantField: "n", wantError: `field "n": not like that`},
		{name: "merge to no JSON", steps: one(kit.Merge([]string{"f", "l"}, "n", func([]raw) (raw, error) { return nil, nil }, nil)), in: `{"f":1}`, wantField: "n", wantError: `field "n": not valid JSON`},
		{name: "escaped names", steps: one(kit.Rename("a<b", "x")), in: `{"a\u003cb":1}`, want: `{"x":1}`},
		{name: "names that need escapes", steps: one(kit.Rename("a", `q"`), kit.Default("\n", 1)), in: `{"a":1}`, want: `{"q\"":1,"\n":1}`},
		{name: "repeated names", steps: one(kit.Drop("x")), in: `{"a":1,"b":2,"\u0061":3}`, want: `{"a":3,"b":2}`},
		{name: "space and bytes of values", steps: one(kit.Drop("x")), in: " {\n\t\"a\" : { \"b\" : 1.50E+2 } , \"c\":-0\r\n} ", want: `{"a":{ "b" : 1.50E+2 },"c":-0}`},
		{name: "no object", steps: one(kit.Drop("x")), in: `[]`, wantError: "not valid JSON at byte 0: a JSON object is expected"},
		{name: "cut off", steps: one(kit.Drop("x")), in: `{"a":"b`, wantError: "not valid JSON: it ends too early, a string is not closed"},
		{name: "a trailing comma", steps: one(kit.Drop("x")), in: `{"a":1,}`, wantError: "not valid JSON at byte 7: a string is expected"},
		{name: "two objects", steps: one(kit.Drop("x")), in: `{}{}`, wantError: "not valid JSON at byte 2: nothing is expected after the object"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			in := []byte(c.in)
			out, err := compile(t, c.steps...).Apply(in)
			var field *FieldError
			switch {
			case string(in) != c.in:
				t.Errorf("the body became %s", in)
			case c.wantError == "" && (err != nil || string(out) != c.want):
				t.Errorf("%s became %s, %v; want %s", c.in, out, err, c.want)
			case c.wantError != "" && (!errors.As(err, &field) || field.Field != c.wantField || !strings.HasPrefix(err.Error(), c.wantError)):
				t.Errorf("%s became %s, %v; want an error %s", c.in, out, err, c.wantError)
			}
		})
	}
}

func TestCompileBeginsAtTheSchema(t *testing.T) {
	d := define([]kit.Transform{kit.Rename("a", "b")}, []kit.Transform{kit.Rename("b", "c")})
	for from, want := range map[int]string{1: `{"c":1}`, 2: `{"a":1}`, 3: `{"a":1}`} {
		x, err := Compile(d, from)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := x.Apply([]byte(`{"a":1}`)); err != nil || string(got) != want {
			t.Errorf("from schema %d it became %s, %v; want %s", from, got, err, want)
		}
	}
	for _, from := range []int{-1, 0, 4} {
		if _, err := Compile(d, from); !errors.Is(err, kit.ErrInvalid) || !strings.Contains(err.Error(), fmt.Sprintf("schema %d cannot become schema 3", from)) {
			t.Errorf("from schema %d: error %v", from, err)
		}
	}
}

func TestIncompleteTransformationsDoNotCompile(t *testing.T) {
	tests := []struct {
		op   kit.Transform
		want string
	}{
		{kit.Transform{Op: "move", From: []string{"a"}}, `"move" is no transformation: there are rename`},
		{kit.Rename("", "a"), "rename names an empty field"},
		{kit.Rename("a", ""), "rename names an empty field"},
		{kit.Rename("a", "a"), `"a" is renamed to itself`},
		{kit.Rename("a", "version"), `field "version" belongs to the envelope`},
		{kit.Drop("link"), `field "link" belongs to the envelope`},
		{kit.Transform{Op: "default", To: []string{"a"}}, `the default of "a" is not valid JSON`},
		{kit.Convert("a", nil, nil), `convert of "a" has no function`},
		{kit.Func(nil, nil), "func has no function"},
		{kit.Edit(nil, nil), "edit has no function"},
		{kit.Transform{Op: "rename", From: []string{"a"}}, "rename writes one field, not 0"},
		{kit.Transform{Op: "drop", From: []string{"a", "b"}}, "drop reads one field, not 2"},
		{kit.Transform{Op: "default", From: []string{"a"}, To: []string{"b"}}, "default reads no fields, not 1"},
		{kit.SplitAt("a", []string{"b"}, " "), "split writes two fields or more, not 1"},
		{kit.MergeWith(nil, "b", " "), "merge reads two fields or more, not 0"},
		{kit.SplitAt("a", []string{"b", "c"}, ""), `split of "a" has neither a separator nor a function`},
		{kit.Merge([]string{"a", "b"}, "c", nil, nil), `merge to "c" has neither a separator nor a function`},
		{kit.SplitAt("a", []string{"b", "b"}, " "), `split names the field "b" twice`},
		{kit.MergeWith([]string{"a", "schema"}, "b", " "), `field "schema" belongs to the envelope`},
		{kit.SplitAt("a", []string{"b", "kind"}, " "), `field "kind" belongs to the envelope`},
	}
	for _, c := range tests {
		_, err := Compile(define([]kit.Transform{kit.Drop("z"), c.op}), 1)
		if !errors.Is(err, kit.ErrInvalid) || !strings.Contains(err.Error(), "things, from schema 1 to 2, transformation 2: "+c.want) {
			t.Errorf("%+v: error %v, want %s", c.op, err, c.want)
		}
	}
}

func TestAFieldIsMadeOnce(t *testing.T) {
	tests := map[string][][]kit.Transform{
		"two renames":                   {{kit.Rename("a", "x"), kit.Rename("b", "x")}},
		"a rename onto a default":       {{kit.Default("x", 1)}, {kit.Rename("b", "x")}},
		"a part of two splits":          {{kit.SplitAt("a", []string{"b", "x"}, " ")}, nil, {kit.SplitAt("c", []string{"d", "x"}, " ")}},
		"a merge onto what was renamed": {{kit.Rename("a", "x")}, {kit.MergeWith([]string{"b", "c"}, "x", " ")}},
	}
	for name, steps := range tests {
		if _, err := Compile(define(steps...), 1); !errors.Is(err, kit.ErrInvalid) || !strings.Contains(err.Error(), `makes the field "x", which an earlier transformation has made`) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	compile(t, []kit.Transform{kit.Rename("a", "x"), kit.Default("x", 1), kit.Drop("x")}, []kit.Transform{kit.Rename("b", "x")})
}

func TestASchemaWithAGapDoesNotCompile(t *testing.T) {
	d := define([]kit.Transform{kit.Rename("a", "b")})
	d.Schema = 3
	_, err := Compile(d, 1)
	_, _, back := Back(d, 2)
	for _, err := range []error{err, back} {
		if !errors.Is(err, kit.ErrInvalid) || !strings.Contains(err.Error(), "things has 1 of the 2 lists of transformations that lead to schema 3: there is a gap") {
			t.Errorf("error %v", err)
		}
	}
}

// usual are transformations of each kind over the names a to f.
func usual(t testing.TB) Chain {
	return compile(t, []kit.Transform{
		kit.Rename("a", "b"), kit.Default("c", "new"), kit.Drop("d"),
	}, []kit.Transform{
		kit.Convert("e", listed, nil), kit.Rename("c", "f"),
	})
}

type pairOf struct {
	name  string
	value string
}

// reference does what usual does, by way of encoding/json. Ok is false where
// usual has to fail.
func reference(body []byte) (out []pairOf, ok bool) {
	doc, ok := parsed(body)
	if !ok {
		return nil, false
	}
	at := func(name string) int {
		for i := range doc {
			if doc[i].name == name {
				return i
			}
		}
		return -1
	}
	rename := func(from, to string) {
		if i := at(from); i >= 0 {
			ok = ok && at(to) < 0
			doc[i].name = to
		}
	}
	rename("a", "b")
	if at("c") < 0 {
		doc = append(doc, pairOf{"c", `"new"`})
	}
	if i := at("d"); i >= 0 {
		doc = append(doc[:i], doc[i+1:]...)
	}
	if i := at("e"); i >= 0 {
		doc[i].value = "[" + doc[i].value + "]"
	}
	rename("c", "f")
	return doc, ok
}

// parsed returns the members of a JSON object in order.
func parsed(body []byte) (doc []pairOf, ok bool) {
	if !json.Valid(body) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	at := map[string]int{}
	for d.More() {
		name, _ := d.Token()
		var v raw
		if err := d.Decode(&v); err != nil {
			return nil, false
		}
		if i, there := at[name.(string)]; there {
			doc[i].value = string(v)
			continue
		}
		at[name.(string)] = len(doc)
		doc = append(doc, pairOf{name.(string), string(v)})
	}
	return doc, true
}

// agree checks that usual and reference make the same of body.
func agree(t interface {
	Helper()
	Fatalf(string, ...any)
}, x Chain, body []byte) {
	t.Helper()
	out, err := x.Apply(body)
	if err == nil && !json.Valid(out) {
		t.Fatalf("%q became %q, which is not valid", body, out)
	}
	if !utf8.Valid(body) {
		return // encoding/json changes these names
	}
	want, ok := reference(body)
	if ok != (err == nil) {
		t.Fatalf("%q: error %v, the reference says %v", body, err, ok)
	}
	if !ok {
		return
	}
	if got, _ := parsed(out); !reflect.DeepEqual(got, want) {
		t.Fatalf("%q became %q, want %q", body, out, want)
	}
}

func TestDepthIsThatOfEncodingJSON(t *testing.T) {
	x := usual(t)
	for _, depth := range []int{9998, 9999, 10000, 100000} {
		agree(t, x, []byte(`{"z":`+strings.Repeat("[", depth)+strings.Repeat("]", depth)+`}`))
		agree(t, x, []byte(strings.Repeat(`{"z":`, depth)+"0"+strings.Repeat("}", depth)))
	}
}

func FuzzApply(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":1}`, `{"a":1,"b":2}`, `{"a":{"a":[1,"}",null]},"d":-0.1e+5,"e":"\u00e9\n"}`, ` { "e" : true } `,
		`{"a":1,"\u0061":2}`, `{"c":1,"f":2}`, `{"a":01}`, `{"a":"\x"}`, `{"a":"` + "\x01" + `"}`, `{"a":1}x`, `[]`, ``, `{"a"`, `{"a":tru}`,
		"{\"\xff\":1,\"\xfe\":2}", `{"\ud800":1,"\udfff":2}`, `{"a":1e}`, `{"a":1.}`, `{"a":-}`, `{"a":.5}`, `{"a":nullx}`,
	} {
		f.Add([]byte(s))
	}
	x := usual(f)
	f.Fuzz(func(t *testing.T, body []byte) { agree(t, x, body) })
}

func TestTransformationsAgreeWithTheReference(t *testing.T) {
	x := usual(t)
	value := rapid.OneOf(
		rapid.SampledFrom([]string{"null", "true", "0", "-1.5e3", `""`, `"\\\""`, "[]", "{}", `[{"a":1},[2]]`, `{ "a" : "}" }`}),
		rapid.Map(rapid.String(), func(s string) string { b, _ := json.Marshal(s); return string(b) }),
	)
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n\t"})
	key := rapid.OneOf(
		rapid.SampledFrom([]string{`"a"`, `"b"`, `"c"`, `"d"`, `"e"`, `"f"`, `"\u0065"`}),
		rapid.Map(rapid.StringN(0, 3, -1), func(s string) string { b, _ := json.Marshal(s); return string(b) }),
	)
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		b.WriteByte('{')
		for i := range rapid.OneOf(rapid.IntRange(0, 8), rapid.IntRange(60, 200)).Draw(t, "members") {
			if i > 0 {
				b.WriteByte(',')
			}
			for _, part := range []string{space.Draw(t, "s"), key.Draw(t, "key"), space.Draw(t, "s"), ":", value.Draw(t, "value")} {
				b.WriteString(part)
			}
		}
		b.WriteByte('}')
		agree(t, x, []byte(b.String()))
	})
}

// Documents are about 200 bytes; each batch of 1000 has one buffer.
func BenchmarkTransform(b *testing.B) {
	body := []byte(`{"name":"a name of some length","amount":"1200","note":"","address":{"street":"Main Street 5","city":"Springfield","zip":"12345"},"tags":["new","priority"],"reference":"9f86d081884c7d65","weight":17}`)
	plain := []kit.Transform{kit.Rename("name", "title"), kit.Default("currency", "EUR")}
	for _, c := range []struct {
		name string
		ops  []kit.Transform
	}{
		{"rename one, add one", plain},
		{"and convert one by a function", append(plain, kit.Convert("amount", func(v raw) (raw, error) { return v[1 : len(v)-1], nil }, nil))},
		{"and split one", append(plain, kit.SplitAt("title", []string{"first", "rest"}, " "))},
		{"an edit of the document", []kit.Transform{kit.Edit(func(f kit.Fields) error {
			f.Set("title", f.Value("name"))
			f.Remove("name")
			f.Set("currency", raw(`"EUR"`))
			return nil
		}, nil)}},
		{"a function of the document", []kit.Transform{kit.Func(func(d raw) (raw, error) { return d, nil }, nil)}},
	} {
		x := compile(b, c.ops)
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			buf := make([]byte, 0, 1<<20)
			for i := 0; b.Loop(); i++ {
				if i%1000 == 0 {
					buf = buf[:0]
				}
				var err error
				if buf, err = x.Append(buf, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
