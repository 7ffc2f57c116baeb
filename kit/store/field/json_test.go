package field

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzFindField compares the walk through JSON text with encoding/json.
func FuzzFindField(f *testing.F) {
	f.Add([]byte(`{"a":1}`))
	f.Add([]byte(` {"b":[{"a":"}"}],"a": {"a":-1e5} } `))
	f.Add([]byte(`{"\u0061":"\\\"","a":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got := Find(body, []string{"a"})
		var want map[string]json.RawMessage
		if json.Unmarshal(body, &want) != nil || want == nil {
			return
		}
		if !bytes.Equal(got, want["a"]) {
			t.Errorf("field a of %q: got %q, want %q", body, got, want["a"])
		}
	})
}
