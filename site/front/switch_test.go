package front

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestFiveHundredClientsSeeNoFailureAcrossSwitches(t *testing.T) {
	const clients, switches, tail = 500, 6, 3
	blue, green := newSide(t, "blue", nil), newSide(t, "green", nil)
	h := opened(t, Options{}, blue.route(1))

	var done, failures atomic.Int64
	var finish atomic.Bool
	var wg sync.WaitGroup
	body := strings.Repeat("x", 300)
	for n := range clients {
		wg.Go(func() {
			for i, rest := 0, tail; rest > 0; i++ {
				if finish.Load() {
					rest--
				}
				method, content := "GET", ""
				if i%2 == 1 {
					method, content = "POST", body
				}
				a, err := h.do(method, "/doc", content, "Id", fmt.Sprintf("%d-%d", n, i))
				if err != nil || a.status != 200 {
					failures.Add(1)
					t.Errorf("client %d, request %d: %v, status %d %s", n, i, err, a.status, a.body)
					return
				}
				done.Add(1)
			}
		})
	}
	from, next := blue, green
	for epoch := int64(2); epoch < 2+switches; epoch++ {
		before := done.Load()
		eventually(t, "traffic flows", func() bool { return done.Load() > before+clients/2 || failures.Load() > 0 })
		if err := h.Hold(t.Context()); err != nil {
			t.Fatalf("hold: %v", err)
		}
		served := from.count()
		eventually(t, "most clients wait", func() bool { return h.State().Held > clients/2 || failures.Load() > 0 })
		if n := from.count(); n != served {
			t.Errorf("%s served %d requests after it was drained", from.name, n-served)
		}
		h.open(t, next.route(epoch))
		from, next = next, from
		if n := next.count(); n != served {
			t.Errorf("%s served %d requests after the switch", next.name, n-served)
		}
	}
	finish.Store(true)
	wg.Wait()

	if n := int64(blue.count() + green.count()); n != done.Load() {
		t.Errorf("the sides applied %d different requests, %d were answered", n, done.Load())
	}
	for id, n := range blue.seen {
		if n != 1 || green.seen[id] != 0 {
			t.Errorf("request %s was applied %d times by blue and %d by green", id, n, green.seen[id])
		}
	}
	s := h.State()
	if s.InFlight != 0 || s.Held != 0 || s.Failed != 0 || s.Holds != switches || s.Requests != uint64(done.Load()) {
		t.Errorf("state at the end: %+v, want nothing inside, held or failed, %d holds, %d requests", s, switches, done.Load())
	}
}

func TestStartsWithoutARouteAndHoldsUntilThereIsOne(t *testing.T) {
	blue := newSide(t, "blue", nil)
	h := newHouse(t, Options{})
	got := make(chan answer, 1)
	go func() {
		a, err := h.do("GET", "/a?b=c", "")
		if err != nil {
			t.Errorf("get: %v", err)
		}
		got <- a
	}()
	eventually(t, "it waits", func() bool { return h.State().Held == 1 })
	if err := h.Route(blue.route(1)); err != nil {
		t.Fatalf("route: %v", err)
	}
	if a := <-got; a.status != 200 || a.body != "blue GET /a?b=c 0" || a.header.Get("Landfall-Side") != "blue" {
		t.Errorf("got %+v", a)
	}
}

func TestWaitingHasAnEnd(t *testing.T) {
	h := newHouse(t, Options{Bounds: map[Class]Bound{Short: {Wait: 20 * time.Millisecond}, Upload: {Wait: 20 * time.Millisecond}}})
	a := h.must(t, 503, "POST", "/", "x")
	if d := problemDetail(t, a); !strings.Contains(d, "not applied") {
		t.Errorf("detail is %q", d)
	}
	if after := a.header.Get("Retry-After"); len(after) != 1 || after < "1" || after > "4" {
		t.Errorf("Retry-After is %q, want 1 to 4", after)
	}
}

func TestRoutesAreChecked(t *testing.T) {
	cases := []struct {
		name  string
		route Route
		want  string
	}{
		{"no side", Route{Epoch: 1, Backends: []string{"a:1"}}, "names no side"},
		{"no backends", Route{Epoch: 1, Side: "blue"}, "route to blue has no backends"},
		{"no port", Route{Epoch: 1, Side: "blue", Backends: []string{"a"}}, `"a" is not host:port`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := New(Options{})
			for _, set := range []func(Route) error{d.Open, d.Route} {
				if err := set(c.route); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want an error with %q", err, c.want)
				}
			}
		})
	}
}

func TestAClientThatGoesAwayIsNotSent(t *testing.T) {
	for _, body := range []string{"", "small"} {
		t.Run(fmt.Sprintf("body of %d bytes", len(body)), func(t *testing.T) {
			blue := newSide(t, "blue", nil)
			h := newHouse(t, Options{})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				r, err := http.NewRequestWithContext(ctx, "POST", h.url, strings.NewReader(body))
				if err == nil {
					_, err = h.send(r)
				}
				done <- err
			}()
			eventually(t, "it waits", func() bool { return h.State().Held == 1 })
			cancel()
			if err := <-done; err == nil {
				t.Error("the canceled request succeeded")
			}
			eventually(t, "it left the queue", func() bool { return h.State().Held == 0 })
			h.open(t, blue.route(1))
			if n := blue.count(); n != 0 {
				t.Errorf("blue got %d requests, want none", n)
			}
		})
	}
}

func TestFencedRequestsGoToTheNextSide(t *testing.T) {
	refused := make(chan struct{}, 100)
	blue := newSide(t, "blue", func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(http.StatusMisdirectedRequest)
		refused <- struct{}{}
		return true
	})
	green := newSide(t, "green", nil)
	cases := []struct {
		name   string
		hold   bool
		stream string
		body   string
	}{
		{"while holding", true, "", "hello"},
		{"before the door was told", false, "", "hello"},
		{"with a body of half a MiB", true, "", strings.Repeat("x", 512<<10)},
		{"an event stream", false, "text/event-stream", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := opened(t, Options{}, blue.route(1))
			method := "POST"
			if c.stream != "" {
				method = "GET"
			}
			got := make(chan answer, 1)
			go func() {
				a, err := h.do(method, "/", c.body, "Id", c.name, "Accept", c.stream)
				if err != nil {
					t.Errorf("%s: %v", method, err)
				}
				got <- a
			}()
			<-refused
			if c.hold {
				if err := h.Hold(t.Context()); err != nil {
					t.Fatalf("hold: %v", err)
				}
			}
			h.open(t, green.route(2))
			a := <-got
			if want := fmt.Sprintf("green %s / %d", method, len(c.body)); a.status != 200 || a.body != want {
				t.Errorf("got %d %q, want %q", a.status, a.body, want)
			}
			if green.seen[c.name] != 1 {
				t.Errorf("green applied it %d times, want once", green.seen[c.name])
			}
		})
	}
}

func TestAFenceThatIsNotLiftedEndsIn503(t *testing.T) {
	blue := newSide(t, "blue", func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(http.StatusMisdirectedRequest)
		return true
	})
	h := opened(t, Options{Bounds: map[Class]Bound{Short: {Wait: 50 * time.Millisecond}, Upload: {Wait: 50 * time.Millisecond}}}, blue.route(1))
	for _, size := range []int{5, 2 << 20} {
		a := h.must(t, 503, "POST", "/", strings.Repeat("x", size))
		if d := problemDetail(t, a); !strings.Contains(d, "not applied") {
			t.Errorf("body of %d bytes: detail is %q", size, d)
		}
	}
}

func TestEventsPassAtOnceAndEndAtTheSwitch(t *testing.T) {
	events := make(chan string)
	live := func(name string) *side {
		return newSide(t, name, func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/events" {
				return false
			}
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "data: %s after %s\n\n", name, r.Header.Get("Last-Event-ID"))
			w.(http.Flusher).Flush()
			for {
				select {
				case e := <-events:
					fmt.Fprintf(w, "data: %s\n\n", e)
					w.(http.Flusher).Flush()
				case <-r.Context().Done():
					return true
				}
			}
		})
	}
	blue, green := live("blue"), live("green")
	h := opened(t, Options{UpstreamConns: 1}, blue.route(1))
	subscribe := func(last string) (*http.Response, *bufio.Scanner) {
		r, _ := http.NewRequest("GET", h.url+"/events", nil)
		r.Header.Set("Accept", "text/event-stream")
		r.Header.Set("Last-Event-ID", last)
		resp, err := h.client.Do(r)
		if err != nil {
			t.Fatalf("subscribe: %v", err)
		}
		return resp, bufio.NewScanner(resp.Body)
	}
	expect := func(lines *bufio.Scanner, want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want || !lines.Scan() {
			t.Fatalf("got %q, %v; want %q", lines.Text(), lines.Err(), want)
		}
	}
	resp, lines := subscribe("0")
	expect(lines, "data: blue after 0")
	for _, e := range []string{"one", "two"} {
		events <- e
		expect(lines, "data: "+e)
	}
	h.must(t, 200, "GET", "/other", "") // streams do not use up UpstreamConns
	if err := h.Hold(t.Context()); err != nil {
		t.Fatalf("hold: %v, want that streams are not waited for", err)
	}
	events <- "while held"
	expect(lines, "data: while held")
	h.open(t, green.route(2))
	if lines.Scan() || lines.Err() != nil {
		t.Fatalf("after the switch: %q, %v; want a clean end", lines.Text(), lines.Err())
	}
	resp.Body.Close()
	resp, lines = subscribe("2")
	defer resp.Body.Close()
	expect(lines, "data: green after 2")
}

func TestAStreamWithoutAnAnswerMovesToTheNextSide(t *testing.T) {
	entered := make(chan struct{})
	blue := newSide(t, "blue", func(w http.ResponseWriter, r *http.Request) bool {
		close(entered)
		<-r.Context().Done()
		return true
	})
	green := newSide(t, "green", nil)
	h := opened(t, Options{}, blue.route(1))
	go func() {
		<-entered
		if err := h.Open(green.route(2)); err != nil {
			t.Errorf("open: %v", err)
		}
	}()
	a := h.must(t, 200, "GET", "/events", "", "Accept", "text/event-stream")
	if a.body != "green GET /events 0" {
		t.Errorf("got %q, want green's answer", a.body)
	}
}

func TestRunAnswersAllBeforeItReturns(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	blue := newSide(t, "blue", func(w http.ResponseWriter, r *http.Request) bool {
		close(entered)
		<-leave
		return false
	})
	d := New(Options{})
	ctx, cancel := context.WithCancel(t.Context())
	l := listen(t)
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx, l) }()
	h := &house{Door: d, url: "http://" + l.Addr().String(), client: &http.Client{Transport: &http.Transport{}}}
	h.open(t, blue.route(1))
	answers := make(chan answer, 2)
	get := func() {
		a, err := h.do("GET", "/", "")
		if err != nil {
			t.Errorf("get: %v", err)
		}
		answers <- a
	}
	go get()
	<-entered
	held, endHold := context.WithCancel(t.Context())
	defer endHold()
	go h.Hold(held)
	eventually(t, "it holds", func() bool { return h.State().Holding })
	go get()
	eventually(t, "one waits", func() bool { return h.State().Held == 1 })
	cancel()
	if a := <-answers; a.status != 503 {
		t.Errorf("the waiting request got %d, want 503", a.status)
	}
	close(leave)
	if a := <-answers; a.status != 200 {
		t.Errorf("the request inside got %d, want 200", a.status)
	}
	if err := <-ran; err != nil {
		t.Errorf("run: %v", err)
	}
}
