package migrate_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit/migrate"
)

func TestRateSparesTheSourceW12(t *testing.T) {
	blue, green := pair(t)
	for i := range 300 {
		blue.write("create", "notes/", fmt.Sprintf(`{"text":"%d"}`, i))
	}
	began := time.Now()
	p, err := green.client.Pull(t.Context(), migrate.PullRequest{Source: blue.url(), Token: token, Rate: 1000})
	if err != nil || p.Documents != 300 {
		t.Fatalf("the pull took %+v, %v", p, err)
	}
	if took := time.Since(began); took < 150*time.Millisecond {
		t.Errorf("300 documents at 1000 a second took %v", took)
	}
	green.cutOver(blue)
}

func TestExportIsCompressedWhenAskedFor(t *testing.T) {
	blue, green := pair(t)
	for i := range 500 {
		blue.write("create", "notes/", fmt.Sprintf(`{"text":"%d %s"}`, i, strings.Repeat("the same again ", 10)))
	}
	plain := green.pull(blue)
	other := newSide(t, greenService())
	other.fence(1)
	p, err := other.client.Pull(t.Context(), migrate.PullRequest{Source: blue.url(), Token: token, Compress: true})
	if err != nil || p.Documents != 500 || p.Bytes > plain.Bytes/3 {
		t.Errorf("the pull took %+v, %v; uncompressed it has %d bytes", p, err, plain.Bytes)
	}
	other.cutOver(blue)
	res := ask(t, blue, "GET /migrate/export", "Bearer "+token, "")
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Encoding") != "" {
		t.Errorf("who does not ask gets %v", res.Header)
	}
}

func TestCompressedExportThatStopsIsToldAndPulledAgain(t *testing.T) {
	blue, green := pair(t)
	for i := range 3000 {
		blue.write("create", "notes/", fmt.Sprintf(`{"text":"%d"}`, i))
	}
	res := ask(t, blue, "GET /migrate/export?format=2", "Bearer "+token, "", "Accept-Encoding", "zstd")
	body := readAll(t, res.Body)
	cut := replayed(t, []byte(body[:len(body)/2]), "Content-Encoding", "zstd")
	_, err := green.client.Pull(t.Context(), migrate.PullRequest{Source: cut, Token: token, Compress: true})
	wantError(t, err, 503, "stopped before its end")
	green.cutOver(blue)
}

// An operation's time limit is none of a document's.
func TestCopyExpiresNothingW9(t *testing.T) {
	blue, green := pair(t)
	blue.write("create", "notes/never", `{}`)
	blue.write("create", "notes/later", `{"expires":"2031-01-01T00:00:00Z"}`)
	green.cutOver(blue)
	if !green.read("notes/never").Expires.IsZero() || green.read("notes/later").Expires.Year() != 2031 {
		t.Errorf("the notes expire at %v and %v", green.read("notes/never").Expires, green.read("notes/later").Expires)
	}
}
