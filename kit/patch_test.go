package kit

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestMergePatch(t *testing.T) {
	for name, c := range map[string]struct{ doc, patch, want string }{
		"replaces":                      {`{"a":1,"b":2}`, `{"a":3}`, `{"a":3,"b":2}`},
		"adds at the end":               {`{"a":1}`, `{"b":2}`, `{"a":1,"b":2}`},
		"removes with null":             {`{"a":1,"b":2}`, `{"a":null}`, `{"b":2}`},
		"ignores a null for nothing":    {`{"a":1}`, `{"x":null}`, `{"a":1}`},
		"merges objects":                {`{"a":{"x":1,"y":2}}`, `{"a":{"y":null,"z":3}}`, `{"a":{"x":1,"z":3}}`},
		"replaces arrays":               {`{"a":[1,2]}`, `{"a":[3]}`, `{"a":[3]}`},
		"replaces a value by an object": {`{"a":1}`, `{"a":{"x":null,"y":1}}`, `{"a":{"y":1}}`},
		"keeps odd numbers and order":   {`{"z":1.10,"unknown":1e3,"a":0}`, `{"a":1}`, `{"z":1.10,"unknown":1e3,"a":1}`},
		"keeps a null that it has":      {`{"a":null,"b":1}`, `{"b":2}`, `{"a":null,"b":2}`},
		"starts from nothing":           {``, `{"a":1}`, `{"a":1}`},
		"the last of two names wins":    {`{"a":1,"a":2}`, `{}`, `{"a":2}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := MergePatch([]byte(c.doc), []byte(c.patch))
			if err != nil || string(got) != c.want {
				t.Errorf("MergePatch(%s, %s) = %s, %v; want %s", c.doc, c.patch, got, err, c.want)
			}
		})
	}
}

func TestMergePatchRefuses(t *testing.T) {
	for name, patch := range map[string]string{
		"no object":     `[1]`,
		"broken":        `{"a":`,
		"more than one": `{} {}`,
		"too deep":      strings.Repeat(`{"a":`, 100) + `1` + strings.Repeat(`}`, 100),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := MergePatch([]byte(`{}`), []byte(patch)); !errors.Is(err, ErrInvalid) {
				t.Errorf("MergePatch of %.30s: %v, want %v", patch, err, ErrInvalid)
			}
		})
	}
}

func TestDiffPatchLeadsFromOneToTheOther(t *testing.T) {
	docs := []string{`{}`, `{"a":1}`, `{"a":{"x":1,"y":[1]},"b":2}`, `{"b":2,"a":{"y":[2]}}`, `{"c":"d"}`}
	for _, from := range docs {
		for _, to := range docs {
			patch, err := DiffPatch([]byte(from), []byte(to))
			if err != nil {
				t.Fatal(err)
			}
			got, err := MergePatch([]byte(from), patch)
			if err != nil {
				t.Fatal(err)
			}
			if rest, _ := DiffPatch(got, []byte(to)); string(rest) != "{}" {
				t.Errorf("from %s by %s: got %s, want %s", from, patch, got, to)
			}
		}
	}
}

func TestBrokenJSONNamesItsPlace(t *testing.T) {
	_, err := StripEnvelope([]byte("{\n\"a\": 1,\n\"b\": }"))
	if err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("got %v, want the line", err)
	}
}

func TestErrorsSurviveTheWire(t *testing.T) {
	for _, f := range []Fault{ErrInvalid, ErrForbidden, ErrNotFound, ErrConflict, ErrGone, ErrStale, ErrTooLarge, ErrFenced, ErrUnavailable} {
		sent := &Error{Fault: f, Link: "changes/1", Detail: "what is wrong", Hint: "what to do", Err: errors.New("a secret cause")}
		body, status := EncodeProblem(fmt.Errorf("around it: %w", sent))
		got := DecodeProblem(status, body)
		if !errors.Is(got, f) {
			t.Errorf("%v came back as %v", f, got)
		}
		if strings.Contains(string(body), "secret") {
			t.Errorf("the cause was sent: %s", body)
		}
		if !strings.Contains(got.Error(), "what is wrong") || !strings.Contains(got.Error(), "what to do") {
			t.Errorf("the text was lost: %v", got)
		}
	}
}

func TestLinksAreChecked(t *testing.T) {
	for link, ok := range map[Link]bool{
		"changes/42": true, "refs/ledger~heads~main": true, "builds/change-1-2.gate.1": true,
		"changes/": false, "/42": false, "Changes/1": false, "a/b/c": false, "a/..": false, "a/b c": false, "a": false,
	} {
		if err := link.Check(); (err == nil) != ok {
			t.Errorf("%q: %v, want ok %v", link, err, ok)
		}
	}
}
