package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"landfall.dev/kit/migrate/transform"
	"landfall.dev/test/bench/items"
)

// transformed is body of one schema in another.
func transformed(t *testing.T, body []byte, from, to int, by string) []byte {
	t.Helper()
	c, err := transform.Compile(kind(to, by).Definition, from)
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.Apply(body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSchemas(t *testing.T) {
	first := items.Document(7)
	second := transformed(t, first, 1, 2, "")
	for _, want := range []string{`"text":"nnn`, `"active":true`} {
		if !strings.Contains(string(second), want) || strings.Contains(string(second), `"note"`) {
			t.Errorf("in schema 2 the document is %s, without %s", second, want)
		}
	}
	if again := transformed(t, first, 1, 21, ""); !same(t, again, first) {
		t.Errorf("in schema 21 the document is\n%s, not as at first:\n%s", again, first)
	}
	for _, by := range []string{"edit", "func"} {
		if inGo := transformed(t, first, 1, 2, by); !same(t, inGo, second) {
			t.Errorf("by %s it becomes\n%s, and as declared\n%s", by, inGo, second)
		}
	}
}

func same(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y map[string]any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}

func TestASchemaIsANumber(t *testing.T) {
	for _, schema := range []string{"", "0", "two"} {
		if err := run(t.Context(), schema, ""); err == nil || !strings.Contains(err.Error(), "SCHEMA is") {
			t.Errorf("SCHEMA=%q: got the error %v", schema, err)
		}
	}
}
