package front

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRequestsHaveTheClassThatTheirRouteDeclares(t *testing.T) {
	c, err := newClasses([]Rule{
		{"/files/", Upload},
		{"GET /logs/{id}", Stream},
		{"/feed", Stream},
		{"PUT /files/small", Short},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, method, path string
		length             int64
		header             string // name=value
		want               Class
	}{
		{"nothing special", "POST", "/docs", 10, "", Short},
		{"a declared upload", "PUT", "/files/a", 10, "", Upload},
		{"a more specific pattern", "PUT", "/files/small", keptBody + 1, "", Short},
		{"a long body", "PUT", "/docs", keptBody + 1, "", Upload},
		{"a declared stream", "GET", "/logs/7", 0, "", Stream},
		{"another method than declared", "DELETE", "/logs/7", 0, "", Short},
		{"a write on a stream's route", "POST", "/feed", 10, "", Short},
		{"an event stream", "GET", "/docs", 0, "Accept=text/event-stream;q=1", Stream},
		{"an event stream on a route declared otherwise", "GET", "/files/a", 0, "Accept=text/event-stream", Stream},
		{"an event stream for a POST", "POST", "/docs", 1, "Accept=text/event-stream", Short},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, test.path, nil)
			r.ContentLength = test.length
			if name, value, ok := strings.Cut(test.header, "="); ok {
				r.Header.Set(name, value)
			}
			q := newRequest(r, false)
			if got, _ := q.classify(c.of(r)); got != test.want {
				t.Errorf("%s %s is %s, want %s", test.method, test.path, got, test.want)
			}
		})
	}
}

func TestRoutesThatCannotBeDeclaredAreExplained(t *testing.T) {
	d := New(Options{})
	if err := d.Classify([]Rule{{"/a", Upload}}); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		rules []Rule
		want  string
	}{
		"no class":     {[]Rule{{"/b", ""}}, `"/b" is declared ""`},
		"other class":  {[]Rule{{"/b", "long"}}, "short, stream or upload"},
		"no pattern":   {[]Rule{{"", Short}}, `route ""`},
		"bad pattern":  {[]Rule{{"GET /{x", Short}}, `"GET /{x" cannot be declared`},
		"twice":        {[]Rule{{"/b", Short}, {"/b", Upload}}, `"/b" cannot be declared upload`},
		"contradicted": {[]Rule{{"/{x}/b", Short}, {"/b/{x}", Upload}}, "conflicts"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := d.Classify(test.rules); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if c := d.classes.Load().of(httptest.NewRequest("GET", "/a", nil)); c != Upload {
		t.Errorf("after refused rules /a is %q, want what it was", c)
	}
}

func TestADrainGivesUploadsAPartOfItsTimeOnly(t *testing.T) {
	for name, test := range map[string]struct {
		class Class
		takes time.Duration
		want  error
		after time.Duration
	}{
		"a short request has all of it":  {Short, 900 * time.Millisecond, nil, 900 * time.Millisecond},
		"a short request that is slow":   {Short, 2 * time.Second, context.DeadlineExceeded, time.Second},
		"an upload that is done in time": {Upload, 200 * time.Millisecond, nil, 200 * time.Millisecond},
		"an upload that is not":          {Upload, 900 * time.Millisecond, ErrUploads, 250 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := openGate(t, 10, 100, 10)
				inside := newTicket()
				inside.class = test.class
				enter(t, g, inside)
				time.AfterFunc(test.takes, func() { g.leave(inside) })
				gs := &guests{g: g}
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				held := make(chan error, 1)
				go func() { held <- g.hold(ctx) }()
				synctest.Wait()
				gs.come(t, 0, newTicket())
				gs.inside(t, "while held")
				if err := <-held; !errors.Is(err, test.want) || time.Since(began) != test.after {
					t.Errorf("hold returned %v after %v, want %v after %v", err, time.Since(began), test.want, test.after)
				}
				if test.want != nil {
					gs.inside(t, "after the hold has failed", 0)
				}
				time.Sleep(time.Minute)
				if s := g.state(); s.Uploads != 0 {
					t.Errorf("%d uploads are inside at the end", s.Uploads)
				}
			})
		})
	}
}

func TestAClassDoesNotTakeTheRoomOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(map[Class]Bound{Short: {Held: 2}, Upload: {Held: 1, Bytes: 10}}, 0.5, 10)
		g.open(to("blue", 1))
		g.hold(t.Context())
		gs := &guests{g: g}
		upload := func(bytes int64) *ticket {
			k := newTicket()
			k.class, k.bytes = Upload, bytes
			return k
		}
		gs.come(t, 0, upload(11))
		gs.come(t, 1, upload(10))
		gs.come(t, 2, upload(1))
		gs.come(t, 3, newTicket())
		gs.come(t, 4, newTicket())
		gs.come(t, 5, newTicket())
		for n, want := range map[int]error{0: errFull, 1: nil, 2: errFull, 3: nil, 4: nil, 5: errFull} {
			if !errors.Is(gs.errs[n], want) {
				t.Errorf("request %d got %v, want %v", n, gs.errs[n], want)
			}
		}
		g.open(to("green", 2))
		gs.released(t, 1, 3, 4)
		if len(g.waiting) != 0 {
			t.Errorf("room is still accounted for: %v", g.waiting)
		}
	})
}

// released checks who was let in together, in whatever order.
func (gs *guests) released(t *testing.T, want ...int) {
	t.Helper()
	synctest.Wait()
	gs.mu.Lock()
	slices.Sort(gs.in)
	gs.mu.Unlock()
	gs.inside(t, "after open", want...)
}

func TestAClientDoesNotTakeTheRoomOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(map[Class]Bound{Short: {Held: 4, Bytes: 100}}, 0.5, 10)
		g.open(to("blue", 1))
		g.hold(t.Context())
		gs := &guests{g: g}
		of := func(client string, bytes int64) *ticket {
			k := newTicket()
			k.client, k.bytes = client, bytes
			return k
		}
		gs.come(t, 0, of("a", 1))
		gs.come(t, 1, of("a", 1))
		gs.come(t, 2, of("a", 1))
		gs.come(t, 3, of("b", 51))
		gs.come(t, 4, of("b", 50))
		for n, want := range map[int]error{0: nil, 1: nil, 2: errShare, 3: errShare, 4: nil} {
			if !errors.Is(gs.errs[n], want) {
				t.Errorf("request %d got %v, want %v", n, gs.errs[n], want)
			}
		}
		g.open(to("green", 2))
		gs.released(t, 0, 1, 4)
		if len(g.waiting) != 0 {
			t.Errorf("room is still accounted for: %v", g.waiting)
		}
	})
}

func TestClientsAreToldApartByTheirAddress(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "[2001:db8::1]:4711"
	r.Header.Set("X-Forwarded-For", "203.0.113.9, 198.51.100.1")
	if got := client(r, false); got != "2001:db8::1" {
		t.Errorf("the client is %q, want its address", got)
	}
	if got := client(r, true); got != "203.0.113.9" {
		t.Errorf("the client is %q, want what the load balancer names", got)
	}
}

// An upload waits at its head: nothing of its body is read while the door
// holds. One that is under way keeps a hold from succeeding, and its traffic.
func TestUploadsHoldAtTheirHeadAndTheirHoldFailsRatherThanThey(t *testing.T) {
	reading := make(chan struct{}, 2)
	blue := newSide(t, "blue", func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != "PUT" {
			return false
		}
		reading <- struct{}{}
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d %v", n, err)
		return true
	})
	h := opened(t, Options{}, blue.route(1))
	body, rest := io.Pipe()
	const size = 2 << 20
	answers := make(chan answer, 1)
	go func() {
		r, _ := http.NewRequest("PUT", h.url+"/big", body)
		r.ContentLength = size
		a, err := h.send(r)
		if err != nil {
			t.Errorf("the upload: %v", err)
		}
		answers <- a
	}()
	rest.Write(make([]byte, size/2))
	<-reading
	if s := h.State(); s.Uploads != 1 {
		t.Errorf("%d uploads are inside, want 1", s.Uploads)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := h.Hold(ctx); !errors.Is(err, ErrUploads) {
		t.Errorf("hold: %v, want ErrUploads", err)
	}
	h.must(t, 200, "GET", "/", "")
	rest.Write(make([]byte, size/2))
	rest.Close()
	if a := <-answers; a.body != fmt.Sprintf("%d <nil>", size) {
		t.Errorf("the upload was answered %d %q", a.status, a.body)
	}
	if err := h.Hold(t.Context()); err != nil {
		t.Fatal(err)
	}
	touched := make(chan struct{})
	go func() {
		r, _ := http.NewRequest("PUT", h.url+"/big", io.MultiReader(strings.NewReader(strings.Repeat("x", size))))
		r.ContentLength = size
		a, err := h.send(r)
		if err != nil || a.status != 200 {
			t.Errorf("the held upload: %d, %v", a.status, err)
		}
		close(touched)
	}()
	eventually(t, "the upload waits", func() bool { return h.State().Held == 1 })
	if len(reading) != 0 {
		t.Error("a held upload has reached the backend")
	}
	h.GoOn()
	<-touched
	if s := h.State(); s.Holding || s.Failed != 0 {
		t.Errorf("the state at the end is %+v", s)
	}
}
