package links

import (
	"fmt"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/memory/arena"
)

func TestTableFindsWhatIsSet(t *testing.T) {
	a := arena.New(arena.ChunkBytes)
	tb := New()
	all := make([]string, 20_000)
	for i := range all {
		all[i] = fmt.Sprintf("notes/%d", i)
		raw, err := frame.AppendDocument(nil, kit.Record{Meta: kit.Meta{Link: kit.Link(all[i]), Version: 1}, Body: []byte("{}")}, frame.Origin{})
		if err != nil {
			t.Fatal(err)
		}
		tb.Add(all[i], a.Add(raw))
	}
	for i := range all {
		if i%3 == 0 {
			tb.Remove(a.Memory, all[i])
		}
	}
	for i, l := range all {
		var d frame.Document
		if found := tb.Find(a.Memory, l, &d); (found == nil) != (i%3 == 0) || found != nil && string(d.Link) != l {
			t.Fatalf("%s was found at %v, where %s is", l, found, d.Link)
		}
	}
}
