package rest_test

import (
	"testing"

	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
)

func TestClientInTheProcessKeepsTheContract(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	kittest.ClientContract(t, c.Admin())
}

func TestClientOverHTTPKeepsTheContract(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	client, err := rest.NewClient(c.URL(), c.Token("users/admin"), rest.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	kittest.ClientContract(t, client)
}
