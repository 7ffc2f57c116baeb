package kittest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
)

// Note is the document of the contract suite. Sealed notes cannot be changed.
type Note struct {
	kit.Meta
	Text   string `json:"text"`
	Stars  int    `json:"stars,omitempty"`
	Sealed bool   `json:"sealed,omitempty"`
}

// Notes are the documents of the contract suite.
var Notes = kit.Define[Note]("notes", kit.Counted(), kit.Index("text", "stars"))

// NotesService owns Notes, with the methods star and seal.
func NotesService() kit.Service {
	return kit.Service{Name: "notes", Owns: []kit.Owned{kit.Own(Notes, nextNote, "star", "seal")}}
}

func nextNote(n Note, e kit.Event, _ time.Time) (Note, []kit.Op) {
	if n.Sealed && e.Name != "created" {
		return n, kit.Refuse(kit.ErrConflict, "the note is sealed")
	}
	switch e.Name {
	case "star":
		by := struct{ Count int }{1}
		if err := e.Into(&by); err != nil {
			return n, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
		n.Stars += by.Count
	case "seal":
		n.Sealed = true
	}
	return n, nil
}

// ClientContract checks what kit.Client promises of c, a client that may do
// everything at a cluster with NotesService and without notes.
func ClientContract(t *testing.T, c kit.Client) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, kit.Client)
	}{
		{"a document is created, read, updated and deleted", contractLife},
		{"an update names the version that it is for", contractVersions},
		{"fields that no type declares survive", contractUnknownFields},
		{"a list comes in pages, filtered and ordered", contractList},
		{"a query uses indexes, selects, counts and groups", contractQuery},
		{"pages and reads show an earlier position", contractAsOf},
		{"a custom method changes the document", contractMethods},
		{"a batch is all or nothing", contractBatch},
		{"a watch tells each change and resumes", contractWatch},
		{"errors keep their kind", contractErrors},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, c) })
	}
}

func create(t *testing.T, c kit.Client, id, body string) kit.Record {
	t.Helper()
	r, err := c.Create(t.Context(), "notes", id, []byte(body))
	if err != nil {
		t.Fatalf("create notes/%s: %v", id, err)
	}
	return r
}

func contractLife(t *testing.T, c kit.Client) {
	ctx := t.Context()
	made := create(t, c, "life", `{"text":"a <b> & c"}`)
	if made.Link != "notes/life" || made.Kind != "notes" || made.Version != 1 || made.Created.IsZero() {
		t.Errorf("created %+v, want notes/life at version 1", made.Meta)
	}
	if string(made.Body) != `{"text":"a <b> & c"}` {
		t.Errorf("created %s, want the bytes that were sent", made.Body)
	}
	for _, consistency := range []kit.Consistency{kit.Leader, kit.Eventual, kit.Linearizable} {
		r, err := c.Read(ctx, "notes/life", kit.ReadOptions{Consistency: consistency})
		if err != nil || r.Version != 1 || string(r.Body) != string(made.Body) {
			t.Errorf("%q read gave %s, %v, want what was created", consistency, r.Body, err)
		}
	}
	r, err := c.Update(ctx, "notes/life", []byte(`{"text":"new"}`), 0)
	if err != nil || r.Version != 2 || string(r.Body) != `{"text":"new"}` {
		t.Errorf("update gave version %d, %s, %v, want version 2 with the new text", r.Version, r.Body, err)
	}
	if err := c.Delete(ctx, "notes/life", 0); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := c.Read(ctx, "notes/life", kit.ReadOptions{}); !errors.Is(err, kit.ErrNotFound) {
		t.Errorf("read after the deletion: %v, want not found", err)
	}
	if again := create(t, c, "life", `{"text":"again"}`); again.Version <= r.Version {
		t.Errorf("created again with version %d, want one after %d", again.Version, r.Version)
	}
	first, second := create(t, c, "", `{"text":"x"}`), create(t, c, "", `{"text":"y"}`)
	if first.Link == second.Link || first.Link.ID() == "" {
		t.Errorf("allocated %q and %q, want two ids", first.Link, second.Link)
	}
}

func contractVersions(t *testing.T, c kit.Client) {
	ctx := t.Context()
	create(t, c, "versions", `{"text":"a"}`)
	r, err := c.Update(ctx, "notes/versions", []byte(`{"text":"b"}`), 1)
	if err != nil || r.Version != 2 {
		t.Errorf("update of version 1 gave %d, %v, want version 2", r.Version, err)
	}
	if _, err := c.Update(ctx, "notes/versions", []byte(`{"text":"c"}`), 1); !errors.Is(err, kit.ErrStale) {
		t.Errorf("update of version 1 again: %v, want stale", err)
	}
	if err := c.Delete(ctx, "notes/versions", 1); !errors.Is(err, kit.ErrStale) {
		t.Errorf("delete of version 1: %v, want stale", err)
	}
	if err := c.Delete(ctx, "notes/versions", 2); err != nil {
		t.Errorf("delete of version 2: %v", err)
	}
}

func contractUnknownFields(t *testing.T, c kit.Client) {
	create(t, c, "unknown", `{"text":"a","colour":{"of":"a newer version","n":12345678901234567890}}`)
	_, err := Notes.Modify(t.Context(), c, "unknown", func(n *Note) error {
		n.Text = "b"
		return nil
	})
	if err != nil {
		t.Fatalf("modify: %v", err)
	}
	r, err := c.Do(t.Context(), "notes/unknown", "star", nil)
	if err != nil {
		t.Fatalf("star: %v", err)
	}
	want := `{"text":"b","colour":{"of":"a newer version","n":12345678901234567890},"stars":1}`
	if string(r.Body) != want {
		t.Errorf("after an update and an event the body is\n%s, want\n%s", r.Body, want)
	}
}

func contractList(t *testing.T, c kit.Client) {
	ctx := t.Context()
	for i := range 7 {
		create(t, c, fmt.Sprintf("list-%d", i), fmt.Sprintf(`{"text":"listed","stars":%d}`, i))
	}
	q := kit.Query{Kind: "notes", Filter: `text == "listed" && stars > 0`, Order: "-link", Limit: 2}
	var got []string
	pages := 0
	for {
		p, err := c.List(ctx, q)
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		if _, err := kit.ParsePosition(p.Position); err != nil {
			t.Errorf("the list's position: %v", err)
		}
		pages++
		for _, r := range p.Items {
			got = append(got, r.Link.ID())
		}
		if q.Token = p.Next; q.Token == "" {
			break
		}
	}
	want := []string{"list-6", "list-5", "list-4", "list-3", "list-2", "list-1"}
	if !slices.Equal(got, want) || pages != 3 {
		t.Errorf("listed %v in %d pages, want %v in 3", got, pages, want)
	}
	n := 0
	for _, err := range Notes.All(ctx, c, `text == "listed"`, "") {
		if err != nil {
			t.Fatalf("all: %v", err)
		}
		n++
	}
	if n != 7 {
		t.Errorf("all yielded %d notes, want 7", n)
	}
}

func contractQuery(t *testing.T, c kit.Client) {
	ctx := t.Context()
	for i := range 6 {
		create(t, c, fmt.Sprintf("query-%d", i), fmt.Sprintf(`{"text":"queried %d","stars":%d,"colour":"red"}`, i%2, i))
	}
	filter := `text.startsWith("queried")`
	p, err := c.List(ctx, kit.Query{Kind: "notes", Filter: filter, Order: "-text", Select: []string{"stars"}, Count: true, Limit: 2})
	if err != nil || len(p.Items) != 2 || p.Count == nil || *p.Count != 6 {
		t.Fatalf("listed %d documents, counted %v, %v, want 2 of 6", len(p.Items), p.Count, err)
	}
	if p.Items[0].Link != "notes/query-5" || string(p.Items[0].Body) != `{"stars":5}` || p.Items[1].Link != "notes/query-3" {
		t.Errorf("listed %s %s and %s, want the stars of query-5 and query-3", p.Items[0].Link, p.Items[0].Body, p.Items[1].Link)
	}
	p, err = c.List(ctx, kit.Query{Kind: "notes", Filter: filter, Group: []string{"text"}, Compute: []string{"count", "sum(stars)", "avg(stars)"}})
	got, _ := json.Marshal(p.Groups)
	if want := `[{"key":["queried 0"],"values":[3,6,2]},{"key":["queried 1"],"values":[3,9,3]}]`; err != nil || string(got) != want {
		t.Errorf("grouped to %s, %v, want %s", got, err, want)
	}
	p, err = c.List(ctx, kit.Query{Kind: "notes", Filter: `text == "queried 1" && stars > 1`, Explain: true})
	if err != nil || p.Plan == nil || p.Plan.Index != "text,stars" || p.Plan.Scanned != 2 || p.Plan.Filter != "" || len(p.Items) != 0 {
		t.Errorf("explained as %+v, %v, want the index text,stars and no more than 2 documents", p.Plan, err)
	}
}

func contractAsOf(t *testing.T, c kit.Client) {
	ctx := t.Context()
	for i := range 4 {
		create(t, c, fmt.Sprintf("as-of-%d", i), `{"text":"before"}`)
	}
	q := kit.Query{Kind: "notes", Filter: `link.startsWith("notes/as-of-")`, Limit: 3}
	first, err := c.List(ctx, q)
	if err != nil || len(first.Items) != 3 || first.Next == "" {
		t.Fatalf("listed %d documents, next %q, %v, want 3 and a token", len(first.Items), first.Next, err)
	}
	at, err := kit.ParsePosition(first.Position)
	if err != nil {
		t.Fatalf("the list's position: %v", err)
	}
	if _, err := c.Update(ctx, "notes/as-of-3", []byte(`{"text":"after"}`), 0); err != nil {
		t.Fatalf("update: %v", err)
	}
	if err := c.Delete(ctx, "notes/as-of-0", 0); err != nil {
		t.Fatalf("delete: %v", err)
	}
	create(t, c, "as-of-4", `{"text":"after"}`)
	q.Token = first.Next
	p, err := c.List(ctx, q)
	if err != nil || len(p.Items) != 1 || string(p.Items[0].Body) != `{"text":"before"}` || p.Position != first.Position || p.Next != "" {
		t.Errorf("the second page has %v at %s, %v, want as-of-3 as it was at %s", p.Items, p.Position, err, first.Position)
	}
	p, err = c.List(ctx, kit.Query{Kind: "notes", Filter: q.Filter, AsOf: at, Group: []string{"text"}, Compute: []string{"count"}})
	got, _ := json.Marshal(p.Groups)
	if want := `[{"key":["before"],"values":[4]}]`; err != nil || string(got) != want {
		t.Errorf("grouped as of %s to %s, %v, want %s", at, got, err, want)
	}
	if r, err := c.Read(ctx, "notes/as-of-0", kit.ReadOptions{AsOf: at}); err != nil || r.Version != 1 {
		t.Errorf("read what was deleted later as of %s: version %d, %v, want 1", at, r.Version, err)
	}
	if _, err := c.Read(ctx, "notes/as-of-4", kit.ReadOptions{AsOf: at}); !errors.Is(err, kit.ErrNotFound) {
		t.Errorf("read what was created later as of %s: %v, want not found", at, err)
	}
	q.Order = "-link"
	if _, err := c.List(ctx, q); !errors.Is(err, kit.ErrInvalid) {
		t.Errorf("a token of another order: %v, want invalid", err)
	}
}

func contractMethods(t *testing.T, c kit.Client) {
	ctx := t.Context()
	create(t, c, "methods", `{"text":"a"}`)
	n, err := Notes.Send(ctx, c, "methods", "star", map[string]int{"count": 3})
	if err != nil || n.Stars != 3 {
		t.Errorf("star gave %d stars, %v, want 3", n.Stars, err)
	}
	if _, err := c.Do(ctx, "notes/methods", "seal", nil); err != nil {
		t.Errorf("seal: %v", err)
	}
	_, err = c.Do(ctx, "notes/methods", "star", nil)
	var e *kit.Error
	if !errors.Is(err, kit.ErrConflict) || !errors.As(err, &e) || e.Detail != "the note is sealed" || e.Link != "notes/methods" {
		t.Errorf("star of a sealed note: %v, want a conflict with its reason and link", err)
	}
	if _, err := c.Do(ctx, "notes/methods", "fold", nil); !errors.Is(err, kit.ErrNotFound) {
		t.Errorf("a method that there is not: %v, want not found", err)
	}
}

func contractBatch(t *testing.T, c kit.Client) {
	ctx := t.Context()
	create(t, c, "batch", `{"text":"a"}`)
	_, err := c.Batch(ctx, []kit.Write{
		{Verb: kit.VerbCreate, Link: "notes/batch-new", Body: json.RawMessage(`{"text":"new"}`)},
		{Verb: kit.VerbUpdate, Link: "notes/batch", Body: json.RawMessage(`{"text":"b"}`), IfMatch: 7},
	})
	if !errors.Is(err, kit.ErrStale) {
		t.Errorf("batch with a stale write: %v, want stale", err)
	}
	if _, err := c.Read(ctx, "notes/batch-new", kit.ReadOptions{}); !errors.Is(err, kit.ErrNotFound) {
		t.Errorf("read what the failed batch created: %v, want not found", err)
	}
	records, err := c.Batch(ctx, []kit.Write{
		{Verb: kit.VerbCreate, Link: "notes/", Body: json.RawMessage(`{"text":"new"}`)},
		{Verb: "star", Link: "notes/batch"},
		{Verb: kit.VerbDelete, Link: "notes/batch", IfMatch: 2},
	})
	if err != nil || len(records) != 3 {
		t.Fatalf("batch gave %d records, %v, want 3", len(records), err)
	}
	if records[0].Link.ID() == "" || records[1].Version != 2 || !records[2].Deleted {
		t.Errorf("batch gave %+v, want an allocated id, version 2, and a tombstone", records)
	}
}

func contractWatch(t *testing.T, c kit.Client) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	create(t, c, "watch-a", `{"text":"watched"}`)
	create(t, c, "watch-b", `{"text":"watched"}`)
	q := kit.WatchQuery{Kind: "notes", Filter: `text == "watched"`}
	next, stop := iter.Pull2(c.Watch(ctx, q))
	defer func() { stop() }()
	expect := func(link kit.Link, deleted bool) kit.Change {
		t.Helper()
		for {
			ch, err, ok := next()
			switch {
			case err != nil || !ok:
				t.Fatalf("the watch ended with %v, want %s", err, link)
			case ch.Record.Deleted && !strings.HasPrefix(string(ch.Record.Link), "notes/watch-"):
				continue // another test's
			case ch.Record.Link != link || ch.Record.Deleted != deleted:
				t.Fatalf("the watch told of %s, deleted %t, want %s, %t", ch.Record.Link, ch.Record.Deleted, link, deleted)
			}
			return ch
		}
	}
	a := expect("notes/watch-a", false)
	expect("notes/watch-b", false)
	if _, err := c.Do(ctx, "notes/watch-a", "star", nil); err != nil {
		t.Fatalf("star: %v", err)
	}
	if err := c.Delete(ctx, "notes/watch-b", 0); err != nil {
		t.Fatalf("delete: %v", err)
	}
	if ch := expect("notes/watch-a", false); ch.Record.Version != 2 {
		t.Errorf("the watch gave version %d, want 2", ch.Record.Version)
	}
	expect("notes/watch-b", true)

	stop()
	create(t, c, "watch-b", `{"text":"watched"}`)
	q.From = a.Position
	next, stop = iter.Pull2(c.Watch(ctx, q))
	expect("notes/watch-a", false)
	expect("notes/watch-b", false)
}

func contractErrors(t *testing.T, c kit.Client) {
	ctx := t.Context()
	create(t, c, "errors", `{"text":"a"}`)
	large := []byte(`{"text":"` + strings.Repeat("x", kit.MaxDocument) + `"}`)
	watch := func(q kit.WatchQuery) error {
		for _, err := range c.Watch(ctx, q) {
			return err
		}
		return nil
	}
	for _, test := range []struct {
		name string
		do   func() error
		want kit.Fault
	}{
		{"create what exists", func() error { _, err := c.Create(ctx, "notes", "errors", []byte(`{}`)); return err }, kit.ErrConflict},
		{"create in an unknown kind", func() error { _, err := c.Create(ctx, "nots", "", []byte(`{}`)); return err }, kit.ErrNotFound},
		{"create from broken JSON", func() error { _, err := c.Create(ctx, "notes", "", []byte("{\n\"text\": \"a\n")); return err }, kit.ErrInvalid},
		{"create from no object", func() error { _, err := c.Create(ctx, "notes", "", []byte(`[1]`)); return err }, kit.ErrInvalid},
		{"create with a wrong type", func() error { _, err := c.Create(ctx, "notes", "", []byte(`{"text":1}`)); return err }, kit.ErrInvalid},
		{"create with a wrong id", func() error { _, err := c.Create(ctx, "notes", "a b", []byte(`{}`)); return err }, kit.ErrInvalid},
		{"create too much", func() error { _, err := c.Create(ctx, "notes", "", large); return err }, kit.ErrTooLarge},
		{"read what there is not", func() error { _, err := c.Read(ctx, "notes/none", kit.ReadOptions{}); return err }, kit.ErrNotFound},
		{"read a wrong link", func() error { _, err := c.Read(ctx, "notes", kit.ReadOptions{}); return err }, kit.ErrInvalid},
		{"update what there is not", func() error { _, err := c.Update(ctx, "notes/none", []byte(`{}`), 0); return err }, kit.ErrNotFound},
		{"delete what there is not", func() error { return c.Delete(ctx, "notes/none", 0) }, kit.ErrNotFound},
		{"list an unknown kind", func() error { _, err := c.List(ctx, kit.Query{Kind: "nots"}); return err }, kit.ErrNotFound},
		{"list by a wrong filter", func() error { _, err := c.List(ctx, kit.Query{Kind: "notes", Filter: "text =="}); return err }, kit.ErrInvalid},
		{"list by an unknown field", func() error { _, err := c.List(ctx, kit.Query{Kind: "notes", Filter: `txt == "a"`}); return err }, kit.ErrInvalid},
		{"list by a field of another type", func() error { _, err := c.List(ctx, kit.Query{Kind: "notes", Filter: `stars == "a"`}); return err }, kit.ErrInvalid},
		{"list on from no token", func() error { _, err := c.List(ctx, kit.Query{Kind: "notes", Token: "x"}); return err }, kit.ErrInvalid},
		{"list more than a page", func() error { _, err := c.List(ctx, kit.Query{Kind: "notes", Limit: 1001}); return err }, kit.ErrInvalid},
		{"select an unknown field", func() error { _, err := c.List(ctx, kit.Query{Kind: "notes", Select: []string{"txt"}}); return err }, kit.ErrInvalid},
		{"sum what is no number", func() error {
			_, err := c.List(ctx, kit.Query{Kind: "notes", Compute: []string{"sum(text)"}})
			return err
		}, kit.ErrInvalid},
		{"list as of another epoch", func() error {
			_, err := c.List(ctx, kit.Query{Kind: "notes", AsOf: kit.Position{Epoch: 1, Seq: 1}})
			return err
		}, kit.ErrGone},
		{"read as of another epoch", func() error {
			_, err := c.Read(ctx, "notes/errors", kit.ReadOptions{AsOf: kit.Position{Epoch: 1, Seq: 1}})
			return err
		}, kit.ErrGone},
		{"list by an unknown order", func() error { _, err := c.List(ctx, kit.Query{Kind: "notes", Order: "size"}); return err }, kit.ErrInvalid},
		{"acknowledge as somebody else", func() error { _, err := c.Do(ctx, "notes/errors", "~ack", []byte(`{"id":"x"}`)); return err }, kit.ErrForbidden},
		{"watch an unknown kind", func() error { return watch(kit.WatchQuery{Kind: "nots"}) }, kit.ErrNotFound},
		{"watch from another epoch", func() error { return watch(kit.WatchQuery{Kind: "notes", From: kit.Position{Epoch: 1, Seq: 1}}) }, kit.ErrGone},
	} {
		if err := test.do(); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}
