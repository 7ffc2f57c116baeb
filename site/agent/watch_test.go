package agent

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"landfall.dev/api"
	"landfall.dev/engine/enginetest"
	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

// watcher follows the notes as a program that is made of kit does.
type watcher struct {
	t *testing.T
	c kit.Client

	mu   sync.Mutex
	seen map[kit.Link]int64 // the last version of each note
}

func (w *watcher) follow(ctx context.Context) {
	for change, err := range w.c.Watch(ctx, kit.WatchQuery{Kind: "notes"}) {
		if err != nil {
			w.t.Errorf("the watch failed: %v", err)
			return
		}
		w.note(change.Record)
	}
}

func (w *watcher) note(r kit.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if last := w.seen[r.Link]; r.Version < last {
		w.t.Errorf("%s was seen in version %d and then in %d", r.Link, last, r.Version)
	}
	w.seen[r.Link] = r.Version
}

// missing returns one of the notes whose acknowledged version was not seen.
func (w *watcher) missing(written map[kit.Link]int64) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for link, version := range written {
		if w.seen[link] < version {
			return fmt.Sprintf("%s was seen in version %d, and %d was acknowledged", link, w.seen[link], version)
		}
	}
	return ""
}

func TestAWatchThroughTheFrontDoorSeesAllThatWasWritten(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen})
	s := newSite(t, h)
	s.start()
	h.deploy("first", h.push(imageOf(t, "platform", "one")))
	h.passes("first")
	g, err := s.agent.groups.find(t.Context(), "program-1")
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.agent.groups.adminToken(g)
	if err != nil {
		t.Fatal(err)
	}
	connect := func() kit.Client {
		c, err := rest.NewClient("http://"+s.front, token, rest.ClientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}

	ctx, cancel := context.WithCancel(t.Context())
	w := &watcher{t: t, c: connect(), seen: map[kit.Link]int64{}}
	var group sync.WaitGroup
	group.Go(func() { w.follow(ctx) })
	finish := make(chan struct{})
	var mu sync.Mutex
	written := map[kit.Link]int64{}
	c := connect()
	var writers sync.WaitGroup
	for n := range 4 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-finish:
					return
				default:
				}
				link := kit.NewLink("notes", fmt.Sprintf("w%d-%d", n, i/3))
				r, err := kit.Record{}, error(nil)
				if i%3 == 0 {
					r, err = c.Create(t.Context(), "notes", link.ID(), []byte(`{"text":"x"}`))
				} else {
					r, err = c.Update(t.Context(), link, []byte(`{"text":"y"}`), 0)
				}
				if err != nil {
					t.Errorf("a write failed: %v", err)
					return
				}
				mu.Lock()
				written[link] = r.Version
				mu.Unlock()
			}
		})
	}
	h.deploy("second", h.push(imageOf(t, "platform", "two")))
	h.passes("second")
	close(finish)
	writers.Wait()
	enginetest.Eventually(t, func() string { return w.missing(written) })
	cancel()
	group.Wait()
	t.Logf("%d notes", len(written))
}
