package rest_test

import (
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
)

func BenchmarkReadInTheProcess(b *testing.B) {
	c := kittest.Serve(b, kittest.NotesService())
	if _, err := c.Admin().Create(b.Context(), "notes", "a", []byte(`{"text":"a"}`)); err != nil {
		b.Fatal(err)
	}
	client := c.Client("services/notes")
	for b.Loop() {
		if _, err := client.Read(b.Context(), "notes/a", kit.ReadOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEventInTheProcess(b *testing.B) {
	c := kittest.Serve(b, kittest.NotesService())
	if _, err := c.Admin().Create(b.Context(), "notes", "a", []byte(`{"text":"a"}`)); err != nil {
		b.Fatal(err)
	}
	client := c.Client("services/notes")
	for b.Loop() {
		if _, err := client.Do(b.Context(), "notes/a", "star", nil); err != nil {
			b.Fatal(err)
		}
	}
}
