package calls

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"landfall.dev/kit"
)

func TestLinesThatAreNoCallsAreRefused(t *testing.T) {
	const good = `{"id":1,"method":"GET","path":"/api/notes/a"}`
	for name, test := range map[string]struct{ body, want string }{
		"nothing":               {"\n \n", "no calls"},
		"no JSON":               {good + "\noops", "line 2 is no call: it is no JSON object"},
		"half an object":        {`{"id":1,"method":"GET"`, "in the middle"},
		"half a string":         {`{"id":1,"method":"GE`, "in the middle"},
		"two objects":           {good + good, "more behind"},
		"a name without quotes": {`{id:1}`, "a name in quotes"},
		"no colon":              {`{"id" 1}`, "colon"},
		"no comma":              {`{"id":1 "method":"GET"}`, "neither a comma nor a brace"},
		"no value":              {`{"id":,"method":"GET"}`, "has no value"},
		"no id":                 {`{"method":"GET","path":"/api/notes/a"}`, "no id"},
		"an id in words":        {`{"id":"one"}`, `"id": it is no whole number`},
		"a negative id":         {`{"id":-1}`, "whole number"},
		"one id twice":          {good + "\n" + good, "line 2 is no call: there are two calls with the id 1"},
		"an unknown member":     {`{"id":1,"verb":"read"}`, `"verb": it is not one of`},
		"a method of none":      {`{"id":1,"method":"PUT","path":"/api/notes/a"}`, "its method is"},
		"no path":               {`{"id":1,"method":"GET"}`, "its path is"},
		"a path of a service":   {`{"id":1,"method":"GET","path":"/cluster"}`, "its path is"},
		"a batch":               {`{"id":1,"method":"POST","path":"/api/batch"}`, "its path is"},
		"calls in a call":       {`{"id":1,"method":"POST","path":"/api/~calls"}`, "its path is"},
		"an explanation":        {`{"id":1,"method":"GET","path":"/api/roles:explain"}`, "its path is"},
		"another host":          {`{"id":1,"method":"GET","path":"http://there/api/notes/a"}`, "its path is"},
		"a token":               {`{"id":1,"method":"GET","path":"/api/notes/a","headers":{"Authorization":"Bearer x"}}`, `"Authorization": a call has no such header`},
		"a header of a number":  {`{"id":1,"headers":{"If-Match":3}}`, `"If-Match": it is no string`},
		"a watch":               {`{"id":1,"headers":{"Accept":"text/event-stream"}}`, "no such header"},
	} {
		_, err := Read([]byte(test.body))
		if !errors.Is(err, kit.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want invalid with %q", name, err, test.want)
		}
	}
	var many bytes.Buffer
	for i := range MaxCalls + 1 {
		many.Write(Call{ID: i, Method: "GET", Path: "/api/notes/a"}.Append(nil))
	}
	if _, err := Read(many.Bytes()); !errors.Is(err, kit.ErrTooLarge) {
		t.Errorf("%d calls: %v, want too large", MaxCalls+1, err)
	}
}

func TestLinesAreReadAsTheyWereWritten(t *testing.T) {
	c := Call{
		ID: 7, Method: "PATCH", Path: `/api/notes/ä?durability="a\b"`,
		Header: http.Header{"If-Match": {`"3"`}, "Traceparent": {"00-1-2-01"}, "Authorization": {"stays here"}},
		Body:   []byte(`{"text":"}\\\"{","list":[1,{"a":[]}],"none":null}`),
	}
	read, err := Read(append([]byte(" \n"), c.Append(nil)...))
	if err != nil || len(read) != 1 {
		t.Fatalf("read %v, %v", read, err)
	}
	got := read[0]
	if got.ID != 7 || got.Method != c.Method || got.Path != c.Path || string(got.Body) != string(c.Body) {
		t.Errorf("read %+v, want %+v", got, c)
	}
	if len(got.Header) != 2 || got.Header.Get("If-Match") != `"3"` {
		t.Errorf("headers %v, want those of a call only", got.Header)
	}
	spaced, err := Read([]byte(" { \"id\" : 0 , \"body\" : 12 , \"path\":\"/api/notes\",\"method\":\"\\u0050OST\" } \r\n"))
	if err != nil || spaced[0].Method != "POST" || string(spaced[0].Body) != "12" {
		t.Errorf("a line with blanks: %+v, %v", spaced, err)
	}
	a := Answer{ID: 3, Status: 201, Header: http.Header{"Etag": {`"1"`}, "Location": {"/api/notes/a"}, "Set-Cookie": {"stays here"}}, Body: []byte(`{"a":1}`)}
	answer, err := ReadAnswer(a.Append(nil))
	if err != nil || answer.ID != 3 || answer.Status != 201 || len(answer.Header) != 2 || string(answer.Body) != `{"a":1}` {
		t.Errorf("an answer was read as %+v, %v", answer, err)
	}
	for _, wrong := range []string{"", "{}", `{"id":1}`, `{"status":200}`, `{"id":1,"status":"ok"}`, `{"id":1,"status":200`} {
		if _, err := ReadAnswer([]byte(wrong)); err == nil {
			t.Errorf("the answer %q was read without an error", wrong)
		}
	}
}

func TestBodiesBecomeOneLine(t *testing.T) {
	for body, want := range map[string]string{
		"": "", "\n": "", "{\"a\":1}\n": `{"a":1}`, "{\n \"a\": 1\n}": `{"a":1}`, "ok\n": `"ok"`, "two\nlines": `"two\nlines"`, "12": "12",
	} {
		if got := string(inLine([]byte(body))); got != want {
			t.Errorf("the body %q became %q, want %q", body, got, want)
		}
	}
}

// FuzzRead checks that what is read as calls is JSON where encoding/json says
// so, with the same parts, and can be written and read again.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"id":1,"method":"PATCH","path":"/api/notes/a?x=1","headers":{"If-Match":"\"3\""},"body":{"text":"a\\\"}"}}`))
	f.Add([]byte("{\"id\":2,\"method\":\"GET\",\"path\":\"/api/notes\"}\n\n{\"id\":0,\"method\":\"POST\",\"path\":\"/api/notes/a:b\",\"body\":[{}]}"))
	f.Add([]byte(`{"body":"\u0000\\","id":3,"method":"\u0050OST","path":"/api/n"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		read, err := Read(body)
		if err != nil {
			if kit.FaultOf(err) == kit.ErrInternal {
				t.Errorf("%q: %v, want an error for the client", body, err)
			}
			return
		}
		for _, c := range read {
			if json.Valid(c.line) {
				checkParts(t, c)
			}
			again, err := Read(c.Append(nil))
			if err != nil || len(again) != 1 || again[0].ID != c.ID || again[0].Path != c.Path || !bytes.Equal(again[0].Body, c.Body) {
				t.Errorf("%q: written and read again it is %+v, %v", c.line, again, err)
			}
		}
		if a, err := ReadAnswer(body); err == nil {
			a.Append(nil)
		}
	})
}

func checkParts(t *testing.T, c Call) {
	t.Helper()
	var want map[string]json.RawMessage
	if err := json.Unmarshal(c.line, &want); err != nil {
		t.Fatalf("%q is read as a call and is no object: %v", c.line, err)
	}
	var path string
	if err := json.Unmarshal(want["path"], &path); err != nil || path != c.Path {
		t.Errorf("%q has the path %q, %v, and was read with %q", c.line, path, err, c.Path)
	}
	if string(want["body"]) != string(c.Body) {
		t.Errorf("%q has the body %s, and was read with %s", c.line, want["body"], c.Body)
	}
}
