package front

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// side is a backend that records the id of each request that it applied.
type side struct {
	*httptest.Server
	name string

	mu   sync.Mutex
	seen map[string]int
}

// newSide starts a backend; handle may answer by itself, returning true.
func newSide(t testing.TB, name string, handle func(http.ResponseWriter, *http.Request) bool) *side {
	t.Helper()
	s := &side{name: name, seen: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if handle != nil && handle(w, r) {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		s.seen[r.Header.Get("Id")]++
		s.mu.Unlock()
		fmt.Fprintf(w, "%s %s %s %d", name, r.Method, r.URL.RequestURI(), len(body))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *side) addr() string { return s.Listener.Addr().String() }

func (s *side) route(epoch int64) Route {
	return Route{Epoch: epoch, Side: s.name, Backends: []string{s.addr()}}
}

func (s *side) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// rawBackend accepts connections and gives each to handle after it read one
// request from it. It closes them afterwards.
func rawBackend(t *testing.T, handle func(net.Conn, *http.Request)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					handle(c, r)
				}
			}()
		}
	}()
	return l.Addr().String()
}

// deadBackend returns an address where nobody listens.
func deadBackend(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return l.Addr().String()
}

// house is a door that listens, and a client of it.
type house struct {
	*Door
	url    string
	client *http.Client
}

func newHouse(t testing.TB, o Options) *house {
	t.Helper()
	d := New(o)
	srv := httptest.NewServer(d)
	transport := &http.Transport{MaxIdleConnsPerHost: 1000, DisableCompression: true}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		srv.Close()
	})
	return &house{Door: d, url: srv.URL, client: &http.Client{Transport: transport}}
}

// opened returns a house that is open to the given route.
func opened(t testing.TB, o Options, r Route) *house {
	t.Helper()
	h := newHouse(t, o)
	h.open(t, r)
	return h
}

func (h *house) open(t testing.TB, r Route) {
	t.Helper()
	if err := h.Open(r); err != nil {
		t.Fatalf("open: %v", err)
	}
}

// answer is a response that was read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

func (h *house) do(method, path, body string, header ...string) (answer, error) {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, h.url+path, reader)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return h.send(r)
}

func (h *house) send(r *http.Request) (answer, error) {
	resp, err := h.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b)}, err
}

// must is do, and the answer has to be status.
func (h *house) must(t testing.TB, status int, method, path, body string, header ...string) answer {
	t.Helper()
	a, err := h.do(method, path, body, header...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if a.status != status {
		t.Fatalf("%s %s: status %d, want %d: %s", method, path, a.status, status, a.body)
	}
	return a
}

// problemDetail returns the detail of a problem answer.
func problemDetail(t *testing.T, a answer) string {
	t.Helper()
	var p struct {
		Title, Detail string
		Status        int
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("not a problem: %q: %v", a.body, err)
	}
	if p.Status != a.status || p.Title == "" || a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("problem %+v with status %d and type %q", p, a.status, a.header.Get("Content-Type"))
	}
	return p.Detail
}

// eventually waits for something that happens in another goroutine and cannot
// be waited for otherwise.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it did not happen within 10 s: %s", what)
		}
	}
}
