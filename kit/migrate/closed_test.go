package migrate_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

func TestClosedSideRefusesReadsButNotMigrations(t *testing.T) {
	s := newSide(t, blueService())
	secret, err := rest.Bootstrap(t.Context(), s.server.Client("services/"+rest.ServiceName))
	if err != nil {
		t.Fatal(err)
	}
	s.write("create", "notes/a", `{"text":"x"}`)
	read := func(path string) int {
		t.Helper()
		res := ask(t, s, "GET "+path, "Bearer "+secret, "")
		if body := readAll(t, res.Body); res.StatusCode == http.StatusMisdirectedRequest && !strings.Contains(body, "not in charge any more") {
			t.Errorf("%s: %s", path, body)
		}
		return res.StatusCode
	}
	paths := []string{"/api/notes/a", "/api/notes", "/api/", "/api/openapi.json", "/stats"}
	expect := func(when string, want int) {
		t.Helper()
		for _, p := range paths {
			if got := read(p); got != want {
				t.Errorf("%s, GET %s: status %d, want %d", when, p, got, want)
			}
		}
		for _, p := range []string{"/healthz", "/metrics"} {
			if got := read(p); got != http.StatusOK {
				t.Errorf("%s, GET %s: status %d", when, p, got)
			}
		}
	}
	watch := ask(t, s, "GET /api/notes", "Bearer "+secret, "", "Accept", "text/event-stream")
	if watch.StatusCode != http.StatusOK {
		t.Fatalf("the watch: status %d", watch.StatusCode)
	}
	s.fence(5)
	expect("fenced", http.StatusOK)
	for range 2 {
		if status, err := s.client.Close(t.Context(), 5); err != nil || !status.Closed || !status.Fenced {
			t.Fatalf("closing: %+v, %v", status, err)
		}
	}
	expect("closed", http.StatusMisdirectedRequest)
	if res := ask(t, s, "GET /api/notes", "Bearer "+secret, "", "Accept", "text/event-stream"); res.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a watch of a closed side: status %d", res.StatusCode)
	}
	for _, route := range []string{"GET /migrate/status", "GET /migrate/export", "GET /migrate/sums?side=own"} {
		if res := ask(t, s, route, "Bearer "+token, ""); res.StatusCode != http.StatusOK {
			t.Errorf("%s at a closed side: status %d", route, res.StatusCode)
		}
	}
	if _, err := s.client.Close(t.Context(), 4); err == nil {
		t.Error("an older epoch has closed the side")
	}
	var b bytes.Buffer
	if _, err := s.store.Snapshot().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	again := newSide(t, blueService())
	if err := again.store.Restore(&b); err != nil {
		t.Fatal(err)
	}
	if !again.store.Closed() {
		t.Error("after a restart the side is open")
	}
	s.harm("notes/b", `{}`, "elsewhere") // wakes the watch
	readAll(t, watch.Body)               // and that ends
	s.fence(6)
	expect("fenced again", http.StatusOK)
	s.lift(6)
	expect("open", http.StatusOK)
	s.write("create", kit.Link("notes/c"), `{}`)
}
