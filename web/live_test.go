package web_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// events opens /live and returns a channel of the events' names, which ends
// with the stream.
func (b browser) events(query string) <-chan string {
	t := b.hub.t
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.hub.URL()+"/live?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := b.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("/live?%s: got %s, wanted 200", query, res.Status)
	}
	names := make(chan string, 100)
	go func() {
		defer res.Body.Close()
		defer close(names)
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				names <- name
			}
		}
	}()
	return names
}

// next returns the next event, or "" if there is none for some time.
func next(events <-chan string, wait time.Duration) string {
	select {
	case name := <-events:
		return name
	case <-time.After(wait):
		return ""
	}
}

// long is more than an event takes, quiet is how long none is waited for.
const (
	long  = 20 * time.Second
	quiet = 600 * time.Millisecond
)

func TestBrowsersLearnOfChanges(t *testing.T) {
	h := start(t)
	ledgerHub(h)
	h.Allow("users/bob", look(api.Changes.Name))
	all := h.as("users/admin").events("kind=changes&link=upgrades/production~2")
	bob := h.as("users/bob").events("kind=changes&link=upgrades/production~2")
	for name, events := range map[string]<-chan string{"admin": all, "bob": bob} {
		if got := next(events, long); got != "changed" {
			t.Fatalf("%s: got %q at first, wanted a sign to look again", name, got)
		}
		for next(events, quiet) != "" { // one for each kind
		}
	}

	touch := func(link kit.Link, field string) {
		t.Helper()
		if _, err := h.Admin().Update(t.Context(), link, []byte(`{"`+field+`":"x"}`), 0); err != nil {
			t.Fatal(err)
		}
	}
	touch("changes/2", "topic")
	if a, b := next(all, long), next(bob, long); a != "changed" || b != "changed" {
		t.Errorf("after a change: got %q and %q, wanted both to learn of it", a, b)
	}
	touch("upgrades/production~2", "error")
	if a, b := next(all, long), next(bob, quiet); a != "changed" || b != "" {
		t.Errorf("after an upgrade's: got %q and %q, wanted only who may read it to learn of it", a, b)
	}
	put(h, api.Upgrades, "another", ledgerUpgrade(1))
	touch("builds/ledger-main-b2.image.1", "error")
	if got := next(all, quiet); got != "" {
		t.Errorf("after what the page does not show: got %q, wanted nothing", got)
	}
}

func TestBrowsersAreNotTroubledTooOften(t *testing.T) {
	h := start(t)
	ledgerHub(h)
	events := h.as("users/admin").events("link=changes/2")
	if next(events, long) == "" {
		t.Fatal("got no sign at first")
	}
	began := time.Now()
	for range 200 {
		if _, err := h.Admin().Update(t.Context(), "changes/2", []byte(`{"topic":"x"}`), 0); err != nil {
			t.Fatal(err)
		}
	}
	got := 0
	for next(events, quiet) != "" {
		got++
	}
	most := int(time.Since(began)/(250*time.Millisecond)) + 2
	if got == 0 || got > most {
		t.Errorf("got %d signs of 200 changes, wanted 1 to %d", got, most)
	}
}

func TestLiveRefusesWhatItCannotFollow(t *testing.T) {
	h := start(t)
	b := h.as("users/admin")
	for _, query := range []string{"", "kind=tokens", "link=tokens/x", "link=changes/..", "kind=%00"} {
		if p := b.open("/live?" + query); p.status != http.StatusBadRequest {
			t.Errorf("/live?%s: got %d, wanted 400", query, p.status)
		}
	}
	if p := h.browser().open("/live?kind=changes"); p.status != http.StatusUnauthorized {
		t.Errorf("without a token: got %d, wanted 401", p.status)
	}
}

func TestLiveEndsWithItsBrowser(t *testing.T) {
	h := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://hub.example/live?kind=changes&kind=runs", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := h.Server.HTTP("users/admin").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, res.Body)
	}()
	select {
	case <-done:
	case <-time.After(long):
		t.Fatal("the stream goes on without its reader")
	}
}
