package rest_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
)

func TestLargeAnswerInTheProcessIsStreamed(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	text := strings.Repeat("x", 500_000)
	for range 3 {
		if _, err := c.Admin().Create(t.Context(), "notes", "", []byte(`{"text":"`+text+`"}`)); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for note, err := range kittest.Notes.All(t.Context(), c.Admin(), "", "") {
		if err != nil || note.Text != text {
			t.Fatalf("%s has %d bytes, %v, want %d", note.Link, len(note.Text), err, len(text))
		}
		n++
	}
	if n != 3 {
		t.Errorf("listed %d notes, want 3", n)
	}
}

func TestKindOrMethodWithATakenNameIsRefused(t *testing.T) {
	for name, s := range map[string]kit.Service{
		"kind batch":      {Name: "a", Owns: []kit.Owned{kit.Own(kit.Define[kittest.Note]("batch"), nil)}},
		"method delete":   {Name: "a", Owns: []kit.Owned{kit.Own(kit.Define[kittest.Note]("cards"), nil, "delete")}},
		"kind of another": {Name: "a", Owns: []kit.Owned{kit.Own(kittest.Notes, nil)}},
		"service":         {Name: "notes"},
		"route of another": {Name: "a", Serves: []kit.Route{
			{Pattern: "/x", Handler: http.NotFoundHandler()}, {Pattern: "/x", Handler: http.NotFoundHandler()},
		}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted, want a panic", name)
				}
			}()
			kittest.Serve(t, kittest.NotesService(), s)
		}()
	}
}

func TestAccessDocumentsMustBeComplete(t *testing.T) {
	c := kittest.Serve(t)
	for name, body := range map[string]string{
		"a token without a hash":    `{"subject":"users/ada"}`,
		"a token of nobody":         `{"subject":"ada","hash":"` + strings.Repeat("0", 64) + `"}`,
		"a role without verbs":      `{"subjects":["users/ada"],"rules":[{"kinds":["notes"]}]}`,
		"a group with a wrong name": `{"members":["ada"]}`,
	} {
		kind := strings.Fields(name)[1] + "s"
		if _, err := c.Admin().Create(t.Context(), kind, "", []byte(body)); !errors.Is(err, kit.ErrInvalid) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}
