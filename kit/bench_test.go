package kit

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func BenchmarkRecord(b *testing.B) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000, time.UTC)
	body, _ := json.Marshal(map[string]any{"value": strings.Repeat("x", 256), "n": 7})
	r := Record{Meta: Meta{Link: "values/k123", Kind: "values", Schema: 1, Version: 3, Created: at, Updated: at}, Body: body}
	wire, err := r.MarshalJSON()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			_, _ = r.MarshalJSON()
		}
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			_ = r.UnmarshalJSON(wire)
		}
	})
	b.Run("patch", func(b *testing.B) {
		for b.Loop() {
			_, _ = MergePatch(body, []byte(`{"n":8}`))
		}
	})
}
