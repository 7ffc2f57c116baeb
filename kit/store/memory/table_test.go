package memory

import (
	"fmt"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/memory/arena"
)

func TestTableFindsWhatIsSet(t *testing.T) {
	a := arena.New(arena.ChunkBytes)
	tb := newTable()
	links := make([]string, 20_000)
	for i := range links {
		links[i] = fmt.Sprintf("notes/%d", i)
		raw, err := frame.AppendDocument(nil, kit.Record{Meta: kit.Meta{Link: kit.Link(links[i]), Version: 1}, Body: []byte("{}")}, frame.Origin{})
		if err != nil {
			t.Fatal(err)
		}
		tb.add(links[i], a.Add(raw))
	}
	for i := range links {
		if i%3 == 0 {
			tb.remove(a.Memory, links[i])
		}
	}
	for i, l := range links {
		var d frame.Document
		if found := tb.find(a.Memory, l, &d); (found == nil) != (i%3 == 0) || found != nil && string(d.Link) != l {
			t.Fatalf("%s was found at %v, where %s is", l, found, d.Link)
		}
	}
}
