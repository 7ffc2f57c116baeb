package key

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
)

func TestKeysAreInTheOrderOfTheirValues(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	values := []any{
		nil, false, true,
		math.Inf(-1), -1e300, int64(math.MinInt64), int64(math.MinInt64 + 1), -1.5, int64(-1), -0.25, int64(0), 5e-324, int64(1), 1.5, int64(2),
		int64(1<<53 - 1), int64(1 << 53), int64(1<<53 + 1), int64(1<<53 + 2), int64(math.MaxInt64 - 1), int64(math.MaxInt64),
		uint64(1 << 63), uint64(1<<63 + 1), uint64(math.MaxUint64 - 1), uint64(math.MaxUint64), 1e300, math.Inf(1),
		"", "\x00", "\x00\x00", "\x01", "a", "a\x00", "a\x00b", "a\x01", "ab", "b", "ü",
		time.Time{}, at, at.Add(1), at.Add(time.Second), at.AddDate(5000, 0, 0),
	}
	for i := 1; i < len(values); i++ {
		a, b := AppendValue(nil, values[i-1]), AppendValue(nil, values[i])
		if bytes.Compare(a, b) >= 0 {
			t.Errorf("the key %x of %v is not below %x of %v", a, values[i-1], b, values[i])
		}
	}
	if !bytes.Equal(AppendValue(nil, math.Copysign(0, -1)), AppendValue(nil, int64(0))) {
		t.Error("minus zero is not zero")
	}
	ids := []string{"1", "9", "10", "999999999999999999", "-", "0", "01", "1000000000000000000", "A", "a", "aa", "b", "~"}
	for i := 1; i < len(ids); i++ {
		if a, b := AppendID(nil, ids[i-1]), AppendID(nil, ids[i]); bytes.Compare(a, b) >= 0 {
			t.Errorf("the key %x of %s is not below %x of %s", a, ids[i-1], b, ids[i])
		}
	}
	if a, b := AppendPrefix(nil, "ab"), AppendValue(nil, "abc"); !bytes.HasPrefix(b, a) {
		t.Errorf("the key %x does not start with its prefix %x", b, a)
	}
}

func TestEndOfAPrefix(t *testing.T) {
	for _, c := range []struct{ prefix, want []byte }{
		{[]byte("a"), []byte("b")},
		{[]byte("a\xff\xff"), []byte("b")},
		{[]byte("\xff"), nil},
		{nil, nil},
	} {
		if got := PrefixEnd(c.prefix); !bytes.Equal(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("end of %q: got %q, want %q", c.prefix, got, c.want)
		}
	}
	if key := []byte("a"); string(After(key)) != "a\x00" || string(key) != "a" {
		t.Errorf("after %q: %q", key, After(key))
	}
}

func TestIndexFindsFieldsInTheBody(t *testing.T) {
	type place struct{ City string }
	type thing struct {
		kit.Meta
		Name   string            `json:"name"`
		Count  int               `json:"count"`
		Share  *float64          `json:"share"`
		Due    time.Time         `json:"due"`
		On     bool              `json:"on"`
		Place  place             `json:"place"`
		Labels map[string]string `json:"labels"`
		Big    uint64            `json:"big"`
	}
	def := kit.Define[thing]("things")
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for _, c := range []struct {
		field, body string
		want        any
	}{
		{"name", `{"name":"x"}`, "x"},
		{"name", ` { "a" : [ "}" , {"name":"no"} ] , "name" : "x" } `, "x"},
		{"name", `{"n\u0061me":"\u0078\n"}`, "x\n"},
		{"name", `{"name":"x","name":"y"}`, "y"},
		{"name", `{"name":"a\"b"}`, `a"b`},
		{"name", `{"other":1}`, nil},
		{"name", `{"name":null}`, nil},
		{"name", `{"name":["x"]}`, nil},
		{"name", `{}`, nil},
		{"name", `{"name":"` + strings.Repeat("x", 300) + `"}`, strings.Repeat("x", 400)},
		{"count", `{"count":-12}`, int64(-12)},
		{"count", `{"count":3.0}`, int64(3)},
		{"count", `{"count":1e3}`, int64(1000)},
		{"big", `{"big":18446744073709551615}`, uint64(math.MaxUint64)},
		{"share", `{"share":0.5}`, 0.5},
		{"due", `{"due":"2026-01-02T05:04:05.000000006+02:00"}`, at},
		{"due", `{"due":"soon"}`, nil},
		{"on", `{"on":true}`, true},
		{"on", `{"on":false,"x":0}`, false},
		{"place.City", `{"place":{"City":"Rome"}}`, "Rome"},
		{"place.City", `{"place":"Rome"}`, nil},
		{"labels.shop", `{"labels":{"a":"b","shop":"north"}}`, "north"},
	} {
		x := NewIndex(def.Definition, []string{c.field})
		if got, want := x.Append(nil, []byte(c.body)), AppendValue(nil, c.want); !bytes.Equal(got, want) {
			t.Errorf("%s of %s: got key %x, want %x", c.field, c.body, got, want)
		}
	}
	for _, fields := range [][]string{{}, {"nothing"}, {"link"}, {"labels"}, {"name.x"}, {"due.x"}, {"place"}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("an index over %q is taken", fields)
				}
			}()
			NewIndex(def.Definition, fields)
		}()
	}
}
