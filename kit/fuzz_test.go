package kit

import (
	"encoding/json"
	"reflect"
	"testing"
)

// fields returns what encoding/json makes of an object, nil if b is none.
func fields(b []byte) map[string]any {
	var v map[string]any
	if json.Unmarshal(b, &v) != nil {
		return nil
	}
	return v
}

// merge is RFC 7396's own pseudocode.
func merge(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for name, value := range p {
		if value == nil {
			delete(t, name)
		} else {
			t[name] = merge(t[name], value)
		}
	}
	return t
}

func FuzzMergePatch(f *testing.F) {
	for _, seed := range [][2]string{
		{`{}`, `{}`}, {`{"a":1,"b":[1,{"c":null}]}`, `{"b":null,"c":{"d":null,"e":2}}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`}, {`{"a":[{"b":"c"}]}`, `{"a":[1]}`},
		{`{"é\u0041":"<&>"}`, ` { "éA" : "\"}\\" } `}, {`{"a":1,"a":2}`, `{"a":null,"a":3}`}, {`[]`, `{`}, {`{"a":1}}`, `{"a":1e9}`},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, doc, patch []byte) {
		got, err := MergePatch(doc, patch)
		d, p := fields(doc), fields(patch)
		if err != nil {
			return // TestMergePatch says what is refused
		}
		if p == nil || d == nil && len(doc) != 0 && string(doc) != "null" && json.Valid(doc) {
			t.Fatalf("merging %q into %q gave %s, though one is no object", patch, doc, got)
		}
		if d == nil {
			d = map[string]any{}
		}
		if want := merge(d, p); !reflect.DeepEqual(fields(got), want) {
			t.Errorf("merging %q into %q gave %s, want %v", patch, doc, got, want)
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"link":"a/1","kind":"a","schema":1,"version":2,"created":"2026-01-02T03:04:05.000006Z","updated":"2026-01-02T03:04:05Z","name":"x"}`))
	f.Add([]byte(`{"link":"a/1","expires":"2026-01-02T03:04:05+01:00","source":"b/2","pending":[{"id":"x","do":"send"}],"b":{"link":"not the envelope"}}`))
	f.Add([]byte(`{"link":null,"version":null,"Version":7}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Record
		if r.UnmarshalJSON(b) != nil {
			return
		}
		out, err := r.MarshalJSON()
		if err != nil {
			return // a time that cannot be written
		}
		var again Record
		if err := again.UnmarshalJSON(out); err != nil {
			t.Fatalf("%q was written as %s, which is not read: %v", b, out, err)
		}
		plain, err := json.Marshal(r.Meta)
		if err != nil {
			t.Fatal(err)
		}
		written, err := again.Meta.append([]byte("{"))
		if err != nil || !reflect.DeepEqual(fields(append(written, '}')), fields(plain)) {
			t.Errorf("the envelope of %q is written as %s}, encoding/json writes %s (%v)", b, written, plain, err)
		}
		if !reflect.DeepEqual(fields(r.Body), fields(again.Body)) {
			t.Errorf("%q has the fields %s, and when it is written and read %s", b, r.Body, again.Body)
		}
	})
}
