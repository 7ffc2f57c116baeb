package rest_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
)

func TestReaderThatStopsReadingIsCutWithAPlaceToGoOnFrom(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	s := rest.New(rest.Options{Store: c.Store, Kinds: store.NewKinds(), Node: direct{c}, WriteTimeout: 50 * time.Millisecond})
	s.Add(kittest.NotesService())
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ServeHTTP(w, r)
		if r.Header.Get("Last-Event-ID") == "" {
			close(ended)
		}
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	token := c.Token("users/admin")
	watch := func(from string) *bufio.Reader {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/api/notes", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/event-stream")
		req.Header.Set("Authorization", "Bearer "+token)
		if from != "" {
			req.Header.Set("Last-Event-ID", from)
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return events(t, res)
	}
	in := watch("")
	if live := lines(t, in, 4); live[1] != "event: live" {
		t.Fatalf("the watch began with %q", live)
	}
	// Nobody reads now, until the server has given up.
	text := strings.Repeat("x", 200_000)
	written := 0
	for cut := false; !cut; {
		written++
		if _, err := kittest.Notes.Create(t.Context(), c.Admin(), fmt.Sprintf("n%05d", written), kittest.Note{Text: text}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ended:
			cut = true
		default:
		}
	}
	var whole []string // the events that came before the cut
	last := ""
	for {
		id, err := in.ReadString('\n')
		if err != nil {
			break
		}
		_, err1 := in.ReadString('\n')
		data, err2 := in.ReadString('\n')
		_, err3 := in.ReadString('\n')
		if err1 != nil || err2 != nil || err3 != nil {
			break
		}
		last = strings.TrimSpace(strings.TrimPrefix(id, "id: "))
		whole = append(whole, data[:40])
	}
	if len(whole) >= written {
		t.Fatalf("all %d events came through before the cut", written)
	}
	in = watch(last)
	for i := len(whole) + 1; i <= written; i++ {
		if e := lines(t, in, 4); !strings.Contains(e[2][:60], fmt.Sprintf("notes/n%05d", i)) {
			t.Fatalf("after the cut at %d of %d came %.60q, want event %d", len(whole), written, e[2], i)
		}
	}
}

func TestWatchersOfAllSortsAreToldWhatIsForThem(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	const notes = 3000 // more than a feed keeps
	var g sync.WaitGroup
	for _, w := range []struct {
		filter string
		want   int
	}{{"", notes}, {"", notes}, {`stars > 0`, notes / 10}, {`link == "notes/n77"`, 1}, {`link == "notes/n77"`, 1}, {`link == "notes/none"`, 0}, {`text == "other"`, 0}} {
		g.Go(func() {
			got := 0
			for ch, err := range c.Admin().Watch(ctx, kit.WatchQuery{Kind: "notes", Filter: w.filter}) {
				if err != nil {
					t.Errorf("%q: %v", w.filter, err)
					return
				}
				if ch.Record.Link == "notes/end" || ch.Record.Link == "notes/none" {
					break
				}
				got++
				if got == w.want && w.want == 1 {
					break
				}
			}
			if got != w.want {
				t.Errorf("%q was told %d changes, want %d", w.filter, got, w.want)
			}
		})
	}
	for i := range notes {
		stars := 0
		if i%10 == 0 {
			stars = 1
		}
		if _, err := kittest.Notes.Create(ctx, c.Admin(), fmt.Sprintf("n%d", i), kittest.Note{Text: "a", Stars: stars}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"none", "end"} {
		if _, err := kittest.Notes.Create(ctx, c.Admin(), id, kittest.Note{Text: "other", Stars: 1}); err != nil {
			t.Fatal(err)
		}
	}
	g.Wait()
}

// sink is a client that reads everything at once.
type sink struct {
	header http.Header
	events *atomic.Int64
}

func (s sink) Header() http.Header              { return s.header }
func (s sink) WriteHeader(int)                  {}
func (s sink) Write(b []byte) (int, error)      { s.events.Add(1); return len(b), nil }
func (s sink) FlushError() error                { return nil }
func (s sink) SetWriteDeadline(time.Time) error { return nil }

// BenchmarkChangeWith10000Watchers measures a write until all whom it is for
// are told.
func BenchmarkChangeWith10000Watchers(b *testing.B) {
	const watchers = 10_000
	for _, bench := range []struct {
		name   string
		filter func(i int) string
		told   int // of each change
	}{
		{"each for another document", func(i int) string { return fmt.Sprintf(`link == "notes/w%d"`, i) }, 1},
		{"none concerned", func(int) string { return `text == "nothing"` }, 0},
		{"a hundred filters", func(i int) string { return fmt.Sprintf(`stars %% 100 == %d`, i%100) }, watchers / 100},
		{"all concerned", func(int) string { return "" }, watchers},
	} {
		b.Run(bench.name, func(b *testing.B) {
			c := kittest.Serve(b, kittest.NotesService())
			token := c.Token("users/admin")
			ctx, cancel := context.WithCancel(b.Context())
			var events atomic.Int64
			var g sync.WaitGroup
			before := heap()
			for i := range watchers {
				r := httptest.NewRequestWithContext(ctx, "GET", "/api/notes", nil)
				q := r.URL.Query()
				q.Set("filter", bench.filter(i))
				r.URL.RawQuery = q.Encode()
				r.Header.Set("Accept", "text/event-stream")
				r.Header.Set("Authorization", "Bearer "+token)
				g.Go(func() { c.Server.ServeHTTP(sink{http.Header{}, &events}, r) })
			}
			wait := func(n int64) {
				for events.Load() < n {
					runtime.Gosched()
				}
			}
			wait(watchers) // each is live
			each := float64(heap()-before) / watchers
			n := events.Load()
			i := 0
			for b.Loop() {
				if _, err := kittest.Notes.Create(ctx, c.Admin(), fmt.Sprintf("w%d", i%watchers), kittest.Note{Text: "a", Stars: i}); err != nil {
					if _, err := c.Admin().Do(ctx, kit.NewLink("notes", fmt.Sprintf("w%d", i%watchers)), "star", nil); err != nil {
						b.Fatal(err)
					}
				}
				i++
				n += int64(bench.told)
				wait(n)
			}
			b.ReportMetric(each, "B/watcher")
			cancel()
			g.Wait()
		})
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
