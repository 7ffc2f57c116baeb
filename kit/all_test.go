package kit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
)

// idsOf are those of n notes: numbers of several lengths, and words, also such
// as look like numbers.
func idsOf(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprint(i*7+1), fmt.Sprintf("w%d", i), fmt.Sprintf("0%d", i))
	}
	return append(ids, "999999999999999999", "1000000000000000000", "-", "Z", "~", "a.b")
}

func TestAllGoesOnWhereTheHistoryIsTooShort(t *testing.T) {
	for _, order := range []string{"", "-link", "created", "-updated", "text"} {
		synctest.Test(t, func(t *testing.T) {
			c := kittest.Start(t, kittest.NotesService())
			admin := c.Admin()
			var writes []kit.Write
			for i, id := range idsOf(700) {
				body := fmt.Appendf(nil, `{"text":"%d"}`, i%97)
				writes = append(writes, kit.Write{Verb: kit.VerbCreate, Link: kittest.Notes.Link(id), Body: body})
			}
			for some := range slices.Chunk(writes, 50) {
				if _, err := admin.Batch(t.Context(), some); err != nil {
					t.Fatal(err)
				}
			}
			seen := map[kit.Link]int{}
			late := 0 // how many were seen in their newer state
			for n, err := range kittest.Notes.All(t.Context(), admin, "", order) {
				if err != nil {
					t.Fatalf("order %q: after %d documents: %v", order, len(seen), err)
				}
				seen[n.Link]++
				late += n.Stars
				if len(seen)%300 != 0 {
					continue
				}
				for i := len(seen) % 7; i < len(writes); i += 201 {
					if _, err := admin.Update(t.Context(), writes[i].Link, []byte(`{"stars":1,"text":"50"}`), 0); err != nil {
						t.Fatal(err)
					}
				}
				for i := range 5 { // the history moves on with writes
					time.Sleep(time.Minute)
					if _, err := admin.Update(t.Context(), writes[0].Link, fmt.Appendf(nil, `{"text":"%d"}`, i), 0); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, w := range writes {
				if seen[w.Link] != 1 {
					t.Fatalf("order %q: %s was seen %d times", order, w.Link, seen[w.Link])
				}
			}
			if late == 0 {
				t.Errorf("order %q: all %d documents were seen as they were at first: the list was not too old", order, len(seen))
			}
		})
	}
}

// forgetful is a client whose lists cannot be continued.
type forgetful struct{ kit.Client }

func (f forgetful) List(ctx context.Context, q kit.Query) (kit.Page, error) {
	if q.Token != "" {
		return kit.Page{}, kit.Errorf(kit.ErrGone, "", "the list is too old")
	}
	return f.Client.List(ctx, q)
}

func TestAllWhereNoListCanBeContinued(t *testing.T) {
	c := kittest.Start(t, kittest.NotesService())
	var writes []kit.Write
	for range 1001 {
		writes = append(writes, kit.Write{Verb: kit.VerbCreate, Link: "notes/", Body: []byte(`{}`)})
	}
	for some := range slices.Chunk(writes, 100) {
		if _, err := c.Admin().Batch(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
	n, last := 0, error(nil)
	for range kittest.Notes.All(t.Context(), forgetful{c.Admin()}, "", "") {
		n++
	}
	if n != 1001 {
		t.Errorf("by link all yielded %d documents, want 1001", n)
	}
	n = 0
	for _, err := range kittest.Notes.All(t.Context(), forgetful{c.Admin()}, "", "created") {
		if last = err; err == nil {
			n++
		}
	}
	if n != 1000 || !errors.Is(last, kit.ErrGone) {
		t.Errorf("by another order all yielded %d documents and then %v, want 1000 and then ErrGone", n, last)
	}
}
