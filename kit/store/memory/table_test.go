package memory

import (
	"fmt"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
)

func TestTableFindsWhatIsSet(t *testing.T) {
	a := newArena(ChunkBytes)
	tb := newTable()
	links := make([]string, 20_000)
	for i := range links {
		links[i] = fmt.Sprintf("notes/%d", i)
		raw, err := frame.AppendDocument(nil, kit.Record{Meta: kit.Meta{Link: kit.Link(links[i]), Version: 1}, Body: []byte("{}")}, frame.Origin{})
		if err != nil {
			t.Fatal(err)
		}
		tb.set(a.memory, links[i], 0, a.add(raw))
	}
	for i := range links {
		if i%3 == 0 {
			tb.remove(a.memory, links[i])
		}
	}
	for i, l := range links {
		if r := tb.find(a.memory, l); (r == 0) != (i%3 == 0) || r != 0 && linkAt(a.memory, r) != l {
			t.Fatalf("%s is at %d", l, r)
		}
	}
}
