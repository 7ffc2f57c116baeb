package rest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
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

func BenchmarkReadsInTheProcessAtOnce(b *testing.B) {
	c := kittest.Serve(b, kittest.NotesService())
	if _, err := c.Admin().Create(b.Context(), "notes", "a", []byte(`{"text":"a"}`)); err != nil {
		b.Fatal(err)
	}
	client := c.Client("services/notes")
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := client.Read(b.Context(), "notes/a", kit.ReadOptions{Consistency: kit.Eventual}); err != nil {
				b.Error(err)
			}
		}
	})
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

// BenchmarkRequest is what the server does for a request by token, without
// net/http's own part: with 256 bytes of text, for callers with one role, who
// are several, for there is a limit to what one may ask.
func BenchmarkRequest(b *testing.B) {
	c := kittest.Serve(b, kittest.NotesService())
	c.Allow(rest.Everyone, rest.Rule{Kinds: []string{"notes"}, Verbs: []kit.Verb{"*"}})
	var bearers [][]string
	for i := range 64 {
		bearers = append(bearers, []string{"Bearer " + c.Token("users/"+strconv.Itoa(i))})
	}
	note := `{"text":"` + strings.Repeat("x", 256) + `"}`
	if _, err := c.Admin().Create(b.Context(), "notes", "a", []byte(note)); err != nil {
		b.Fatal(err)
	}
	n := 0
	for _, test := range []struct {
		name, method, path, body string
		status                   int
	}{
		{"read", "GET", "/api/notes/a?consistency=eventual", "", 200},
		{"create", "POST", "/api/notes?id=n", note, 201},
		{"update", "PATCH", "/api/notes/a", note, 200},
		{"list", "GET", "/api/notes?limit=100", "", 200},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			r := httptest.NewRequestWithContext(b.Context(), test.method, test.path, nil)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("User-Agent", "Go-http-client/1.1")
			query := r.URL.RawQuery
			for b.Loop() {
				n++
				r.Header["Authorization"] = bearers[n%len(bearers)]
				r.Body = io.NopCloser(strings.NewReader(test.body))
				if test.method == http.MethodPost {
					r.URL.RawQuery = query + strconv.Itoa(n)
				}
				w := &discarded{header: http.Header{}}
				c.Server.ServeHTTP(w, r)
				if w.status != test.status {
					b.Fatalf("answered %d, want %d", w.status, test.status)
				}
			}
		})
	}
}

// discarded is an answer that nobody reads.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) WriteHeader(status int)      { d.status = status }
func (d *discarded) Write(b []byte) (int, error) { return len(b), nil }

// BenchmarkReadAfterWrite is a read whose caller's rights have to be looked up
// anew since the log has moved on.
func BenchmarkReadAfterWrite(b *testing.B) {
	c := kittest.Serve(b, kittest.NotesService())
	admin := c.Admin()
	if _, err := admin.Create(b.Context(), "notes", "a", []byte(`{"text":"a"}`)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := admin.Do(b.Context(), "notes/a", "star", nil); err != nil {
			b.Fatal(err)
		}
		if _, err := admin.Read(b.Context(), "notes/a", kit.ReadOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkForward is a read that a follower passes on to the leader, over
// loopback, without the client's own request to the follower.
func BenchmarkForward(b *testing.B) {
	c := kittest.Serve(b, kittest.NotesService())
	c.Allow(rest.Everyone, rest.Rule{Kinds: []string{"notes"}, Verbs: []kit.Verb{"*"}})
	if _, err := c.Admin().Create(b.Context(), "notes", "a", []byte(`{"text":"`+strings.Repeat("x", 256)+`"}`)); err != nil {
		b.Fatal(err)
	}
	f, url := &follower{}, c.URL()
	f.url.Store(&url)
	kinds := store.NewKinds()
	s := rest.New(rest.Options{Store: store.New(kinds), Kinds: kinds, Node: f})
	s.Add(kittest.NotesService())
	r := httptest.NewRequestWithContext(b.Context(), "GET", "/api/notes/a", nil)
	r.Header.Set("Authorization", "Bearer "+c.Token("users/ada"))
	b.ReportAllocs()
	for b.Loop() {
		w := &discarded{header: http.Header{}}
		s.ServeHTTP(w, r)
		if w.status != http.StatusOK {
			b.Fatalf("answered %d, want 200", w.status)
		}
	}
}
