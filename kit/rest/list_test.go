package rest_test

import (
	"fmt"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
)

func TestListsOfACallerWhoMayNotSeeAll(t *testing.T) {
	c := kittest.Start(t, kittest.NotesService())
	ctx := t.Context()
	for i := range 10 {
		id := fmt.Sprintf("other-%d", i)
		if i%3 == 0 {
			id = fmt.Sprintf("acme-%d", i)
		}
		if _, err := kittest.Notes.Create(ctx, c.Admin(), id, kittest.Note{Text: "a", Stars: i}); err != nil {
			t.Fatal(err)
		}
	}
	c.Allow("agents/acme", rest.Rule{Kinds: []string{"notes"}, Verbs: []kit.Verb{"list"}, IDs: []string{"acme-*"}})
	acme := c.Client("agents/acme")
	p, err := acme.List(ctx, kit.Query{Kind: "notes", Order: "-link", Limit: 3, Count: true})
	if err != nil || len(p.Items) != 3 || p.Next == "" || *p.Count != 4 {
		t.Fatalf("got %d notes of %v, next %q, %v, want 3 of 4 and a token", len(p.Items), p.Count, p.Next, err)
	}
	p, err = acme.List(ctx, kit.Query{Kind: "notes", Order: "-link", Limit: 3, Token: p.Next})
	if err != nil || len(p.Items) != 1 || p.Items[0].Link != "notes/acme-0" || p.Next != "" {
		t.Errorf("got %d notes, next %q, %v, want the last", len(p.Items), p.Next, err)
	}
	p, err = acme.List(ctx, kit.Query{Kind: "notes", Filter: `text == "a"`, Compute: []string{"count", "sum(stars)"}})
	if err != nil || len(p.Groups) != 1 || string(p.Groups[0].Values[0]) != "4" || string(p.Groups[0].Values[1]) != "18" {
		t.Errorf("got groups %s, %v, want 4 notes with 18 stars", p.Groups, err)
	}
	p, err = acme.List(ctx, kit.Query{Kind: "notes", Filter: `stars == 1`, Explain: true})
	if err != nil || p.Plan.Scanned != 4 {
		t.Errorf("the plan is %+v, %v, want it to tell of 4 notes only", p.Plan, err)
	}
}
