package store

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/key"
	"landfall.dev/kit/store/memory"
)

// Entry is a kind with indexes.
type Entry struct {
	kit.Meta
	Account string    `json:"account,omitempty"`
	Amount  int       `json:"amount,omitempty"`
	Due     time.Time `json:"due,omitzero"`
}

var entries = kit.Define[Entry]("entries", kit.Counted(), kit.Index("account", "amount"), kit.Index("due"))

func TestScan(t *testing.T) {
	n := newNode(t)
	n.kinds.Add(kit.Own(entries, nil))
	k, _ := n.kinds.find("entries")
	for _, body := range []string{
		`{"account":"b","amount":3}`, `{"account":"a","amount":10}`, `{"account":"a","amount":9}`, `{}`,
		`{"account":"a","amount":-1}`, `{"account":"ab","due":"2026-01-01T00:00:00Z"}`, `{"account":"a","amount":9}`,
	} {
		n.now = n.now.Add(time.Second)
		n.must("create", "entries/", body)
	}
	n.must("update", "entries/4", `{"amount":1}`)
	a := key.AppendValue(nil, "a")
	for _, c := range []struct {
		name string
		s    memory.Span
		want string
	}{
		{"all by link", memory.Span{Order: memory.OrderLink}, "1 2 3 4 5 6 7"},
		{"back by link", memory.Span{Order: memory.OrderLink, Reverse: true}, "7 6 5 4 3 2 1"},
		{"link from 3 to before 6", memory.Span{Order: memory.OrderLink, From: key.AppendID(nil, "3"), To: key.AppendID(nil, "6")}, "3 4 5"},
		{"link after 3", memory.Span{Order: memory.OrderLink, From: key.After(key.AppendID(nil, "3"))}, "4 5 6 7"},
		{"created from the third second on", memory.Span{Order: memory.OrderCreated, From: key.AppendTime(nil, start.Add(3*time.Second).Truncate(time.Microsecond))}, "3 4 5 6 7"},
		{"updated", memory.Span{Order: memory.OrderUpdated}, "1 2 3 5 6 4 7"},
		{"index", memory.Span{Order: 0}, "4 5 3 7 2 6 1"},
		{"index back", memory.Span{Order: 0, Reverse: true}, "1 6 2 7 3 5 4"},
		{"equal", memory.Span{Order: 0, From: a, To: key.PrefixEnd(a)}, "5 3 7 2"},
		{"equal, back", memory.Span{Order: 0, From: a, To: key.PrefixEnd(a), Reverse: true}, "2 7 3 5"},
		{"prefix", memory.Span{Order: 0, From: key.AppendPrefix(nil, "a"), To: key.PrefixEnd(key.AppendPrefix(nil, "a"))}, "5 3 7 2 6"},
		{"range", memory.Span{Order: 0, From: key.AppendValue(slices.Clone(a), int64(0)), To: key.AppendValue(slices.Clone(a), int64(10))}, "3 7"},
		{"null", memory.Span{Order: 1, To: key.PrefixEnd(key.AppendValue(nil, nil))}, "1 2 3 4 5 7"},
		{"nothing", memory.Span{Order: 0, From: []byte{9}}, ""},
	} {
		var got []string
		n.frozen().Scan("entries", []memory.Span{c.s}, always, func(r kit.Record) bool {
			got = append(got, r.Link.ID())
			return true
		})
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		if size := n.frozen().Size("entries", c.s); size != int64(len(got)) {
			t.Errorf("%s: the size is %d, want %d", c.name, size, len(got))
		}
	}
	r, _ := n.Read("entries/3")
	want := key.AppendID(key.AppendValue(slices.Clone(a), int64(9)), "3")
	if got := k.memory.Key(0, r); !reflect.DeepEqual(got, want) {
		t.Errorf("the key of %s: got %x, want %x", r.Body, got, want)
	}
}
