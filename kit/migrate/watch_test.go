package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

// gate is a transport that leads to one side, or to none.
type gate struct {
	mu   sync.Mutex
	to   *side
	open map[io.Closer]bool // the streams
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	to := g.to
	g.mu.Unlock()
	if to == nil {
		return nil, errors.New("the gate is shut")
	}
	u, err := url.Parse(to.url())
	if err != nil {
		return nil, err
	}
	r.URL.Host = u.Host
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || !strings.Contains(res.Header.Get("Content-Type"), "event-stream") {
		return res, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.to != to {
		res.Body.Close()
		return nil, errors.New("the gate was shut")
	}
	g.open[res.Body] = true
	return res, nil
}

// lead cuts the streams, and leads to the side from now on, nil for none.
func (g *gate) lead(to *side) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.to = to
	for s := range g.open {
		s.Close()
		delete(g.open, s)
	}
}

// watcher knows the notes by a watch of them, by their versions.
type watcher struct {
	t       *testing.T
	mu      sync.Mutex
	known   map[kit.Link]int64
	told    int
	changed chan struct{}
}

// watchNotes watches until the test ends.
func watchNotes(ctx context.Context, t *testing.T, c kit.Client) *watcher {
	w := &watcher{t: t, known: map[kit.Link]int64{}, changed: make(chan struct{}, 1)}
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	group.Go(func() {
		for ch, err := range c.Watch(ctx, kit.WatchQuery{Kind: "notes"}) {
			if err != nil {
				t.Errorf("the watch ended: %v", err)
				return
			}
			w.note(ch.Record)
		}
	})
	t.Cleanup(func() {
		cancel()
		group.Wait()
	})
	return w
}

func (w *watcher) note(r kit.Record) {
	w.mu.Lock()
	if v := w.known[r.Link]; r.Version < v {
		w.t.Errorf("%s was told in version %d and then in %d", r.Link, v, r.Version)
	}
	w.told++
	if w.known[r.Link] = r.Version; r.Deleted {
		delete(w.known, r.Link)
	}
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// knows waits until w knows the notes of s, and returns how much it was told
// since the last time.
func (w *watcher) knows(s *side) (told int) {
	w.t.Helper()
	want := map[kit.Link]int64{}
	changes, _, err := s.store.Since("notes", kit.Position{}, 10_000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range changes {
		if !c.Record.Deleted {
			want[c.Record.Link] = c.Record.Version
		}
	}
	late := time.After(30 * time.Second)
	for {
		w.mu.Lock()
		same, has := maps.Equal(w.known, want), fmt.Sprint(w.known)
		if same {
			told, w.told = w.told, 0
		}
		w.mu.Unlock()
		if same {
			return told
		}
		select {
		case <-w.changed:
		case <-late:
			w.t.Fatalf("the watch knows %s, and there is %v", has, want)
		}
	}
}

func TestWatchGoesOnThroughAnUpgradeAndBack(t *testing.T) {
	for name, clock := range map[string]time.Time{
		"which begin at once":          epoch,
		"with a clock that is ahead":   epoch.Add(time.Hour),
		"with a clock that was behind": epoch.Add(-time.Hour),
	} {
		t.Run(name, func(t *testing.T) { watchThroughUpgrade(t, clock) })
	}
}

func watchThroughUpgrade(t *testing.T, clock time.Time) {
	blue, green := newSide(t, blueService()), successorAt(t, clock)
	secret, err := rest.Bootstrap(t.Context(), blue.server.Client("services/"+rest.ServiceName))
	if err != nil {
		t.Fatal(err)
	}
	note := func(i int) kit.Link { return kit.NewLink("notes", fmt.Sprint(i)) }
	for i := range 400 {
		blue.write("create", note(i), `{"text":"first"}`)
	}
	g := &gate{to: blue, open: map[io.Closer]bool{}}
	c, err := rest.NewClient("http://gate", secret, rest.ClientOptions{Transport: g, Patience: -1})
	if err != nil {
		t.Fatal(err)
	}
	w := watchNotes(t.Context(), t, c)
	few := func(when string, s *side, most int) {
		t.Helper()
		if told := w.knows(s); told > most {
			t.Errorf("%s the watch was told %d documents, at most %d have changed", when, told, most)
		}
		for range 2 {
			if _, err := c.List(t.Context(), kit.Query{Kind: "notes", Consistency: kit.Eventual}); err != nil {
				t.Errorf("%s an eventual list: %v", when, err)
			}
		}
	}
	// some changes 5 notes of s, from the nth on, in 7 writes. Who knows the result
	// was told them all: the last one can be seen.
	some := func(s *side, n int) {
		s.write("delete", note(n), "")
		s.write("delete", note(n+1), "")
		s.write("create", note(n+1), `{"text":"again"}`)
		s.write("create", note(1000+n), `{}`)
		s.write("create", note(1001+n), `{}`)
		s.write("delete", note(1001+n), "")
		s.write("update", note(n+2), `{"text":"changed"}`)
	}
	few("at first", blue, 400)
	green.pull(blue)
	some(blue, 10)
	few("while it is copied", blue, 7)

	g.lead(nil)
	some(blue, 20)
	green.pull(blue)
	some(blue, 30)
	base := green.handOver(blue, 7)
	some(green, 40)
	g.lead(green)
	few("after the upgrade", green, 3*5)
	some(green, 50)
	few("on green", green, 7)

	g.lead(nil)
	some(green, 60)
	blue.takeBack(green, base, false)
	some(green, 70)
	blue.goBack(green, base, 8)
	some(blue, 80)
	g.lead(blue)
	few("after going back", blue, 3*5)
	some(blue, 90)
	few("on blue", blue, 7)

	next := successorAt(t, clock.Add(time.Minute))
	next.pull(blue)
	g.lead(nil)
	some(blue, 100)
	next.handOver(blue, 9)
	some(next, 110)
	g.lead(next)
	few("after the next upgrade", next, 2*5)
}
