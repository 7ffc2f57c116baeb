package migrate_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

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

func TestTheRateOfAPullThatIsUnderWayChanges(t *testing.T) {
	blue, green := pair(t)
	for i := range 300 {
		blue.write("create", "notes/", fmt.Sprintf(`{"text":"%d"}`, i))
	}
	const slow = 0.008 // a document in two minutes
	if p, err := green.client.Pace(t.Context(), slow); err != nil || p.Pulling {
		t.Errorf("without a pull: %+v, %v", p, err)
	}
	var pull errgroup.Group
	pull.Go(func() error {
		p, err := green.client.Pull(t.Context(), migrate.PullRequest{Source: blue.url(), Token: token, Rate: slow})
		if err == nil && p.Documents != 300 {
			err = fmt.Errorf("it took %d documents", p.Documents)
		}
		return err
	})
	for taken := int64(0); taken == 0; {
		p, err := green.client.Pace(t.Context(), slow)
		if err != nil {
			t.Fatal(err)
		}
		taken = p.Taken
	}
	if p, err := green.client.Pace(t.Context(), 0); err != nil || !p.Pulling || p.Taken != 1 {
		t.Errorf("during the pull: %+v, %v", p, err)
	}
	if err := pull.Wait(); err != nil {
		t.Error(err)
	}
	green.cutOver(blue)
	_, err := green.client.Pace(t.Context(), -1)
	wantError(t, err, 400, "a number of documents a second")
}
