package rest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
)

// aside is a Node that does not lead.
type aside struct{}

func (aside) Write(context.Context, store.Proposal) ([]kit.Record, error) {
	return nil, kit.ErrUnavailable
}
func (aside) Leader() (string, bool)        { return "http://leader", false }
func (aside) Barrier(context.Context) error { return kit.ErrUnavailable }
func (aside) CatchUp(context.Context) error { return kit.ErrUnavailable }

// taken is a request's body that net/http takes away, as it does once the
// response begins.
type taken struct {
	io.Reader
	gone atomic.Bool
}

func (b *taken) Read(p []byte) (int, error) {
	if b.gone.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.Reader.Read(p)
}

func (b *taken) Close() error { return nil }

// leader answers a request before it has read the body to its end.
type leader struct{ body *taken }

func (l leader) RoundTrip(r *http.Request) (*http.Response, error) {
	l.body.gone.Store(true)
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, errors.Join(errors.New("the connection breaks in the middle of the answer"), err)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(b))), Request: r}, nil
}

func TestForwardedBodyOutlivesTheResponse(t *testing.T) {
	body := &taken{Reader: strings.NewReader(`{"text":"hello"}`)}
	s := behind(leader{body}.RoundTrip)
	r := httptest.NewRequest(http.MethodPost, "/api/tokens", body)
	r.Header.Set("Authorization", "Bearer "+adasToken)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Body.String() != `{"text":"hello"}` {
		t.Errorf("a body that the server took away after the answer began: %d %s", w.Code, w.Body)
	}
}

// peers answers what is passed on.
type peers func(*http.Request) (*http.Response, error)

func (p peers) RoundTrip(r *http.Request) (*http.Response, error) { return p(r) }

// adasToken is known to the server that behind returns.
const adasToken = "lf_known_secret"

// behind returns a server that passes everything on to p.
func behind(p peers) *Server {
	kinds := store.NewKinds()
	s := New(Options{Store: store.New(kinds), Kinds: kinds, Node: aside{}, Peers: p, Secret: []byte("of the cluster"), Logger: slog.New(slog.DiscardHandler)})
	entry, res := s.store.Decide([]store.Proposal{{Writes: []kit.Write{{Verb: kit.VerbCreate, Link: "tokens/known", Body: tokenOfAda("secret")}}}}, time.Now())
	if err := errors.Join(res[0].Err, s.store.Apply(entry)); err != nil {
		panic(err)
	}
	return s
}

// tokenOfAda returns the document of a token with the secret.
func tokenOfAda(secret string) []byte {
	return fmt.Appendf(nil, `{"subject":"users/ada","hash":"%x"}`, sha256.Sum256([]byte(secret)))
}

// untouched is a request's body that nobody may read.
type untouched struct{ t *testing.T }

func (b untouched) Read([]byte) (int, error) {
	b.t.Error("the body was read")
	return 0, io.ErrUnexpectedEOF
}

func TestFollowerReadsNoBodyOfWhoHasNoToken(t *testing.T) {
	for _, path := range []string{"/api/tokens", "/api/batch", "/api/~calls", "/api/tokens/x:do"} {
		for name, token := range map[string]string{
			"none": "", "one that looks like none": "x", "one with a wrong secret": "lf_known_guess", "one that is new here, with a wrong secret": "lf_new_guess",
			"one that nobody knows": "lf_none_x",
		} {
			var passed atomic.Bool
			s := behind(func(r *http.Request) (*http.Response, error) { // it has a newer token
				res := httptest.NewRecorder()
				switch {
				case r.Header.Get(headerVouch) == "":
					passed.Store(true)
				case r.URL.Path == "/api/tokens/new":
					_, _ = res.Write(tokenOfAda("secret"))
				default: // of the audit
					res.WriteHeader(http.StatusNotFound)
				}
				return res.Result(), nil
			})
			r := httptest.NewRequest(http.MethodPost, path, untouched{t})
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != http.StatusUnauthorized || passed.Load() {
				t.Errorf("%s, token %s: %d %s, passed on: %t, want 401 by the follower", path, name, w.Code, w.Body, passed.Load())
			}
		}
	}
}

func TestFollowerPassesOnWhoseTokenIsTooNewForIt(t *testing.T) {
	s := behind(func(r *http.Request) (*http.Response, error) {
		res := httptest.NewRecorder()
		if r.Method == http.MethodGet {
			_, _ = res.Write(tokenOfAda("secret"))
		} else if b, err := io.ReadAll(r.Body); err == nil && r.Header.Get("Authorization") == "Bearer lf_new_secret" {
			_, _ = res.Write(b)
		}
		return res.Result(), nil
	})
	r := httptest.NewRequest(http.MethodPost, "/api/tokens", strings.NewReader("{}"))
	r.Header.Set("Authorization", "Bearer lf_new_secret")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Body.String() != "{}" {
		t.Errorf("a request with a token that only the leader has: %d %s, want the leader's answer", w.Code, w.Body)
	}
}

// dial returns a connection to a server of h, in the bubble of the test.
func dial(t *testing.T, h http.Handler) net.Conn {
	t.Helper()
	near, far := net.Pipe()
	l := pipes{make(chan net.Conn, 1), make(chan struct{})}
	l.conns <- far
	server := &http.Server{Handler: h}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return near
}

// A client that sends its body too slowly loses its connection.
func TestBodyHasToComeInTime(t *testing.T) {
	for name, token := range map[string]string{"who is known": adasToken, "who is not": "x"} {
		synctest.Test(t, func(t *testing.T) {
			conn := dial(t, behind(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }))
			began := time.Now()
			go func() {
				fmt.Fprintf(conn, "POST /api/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n\r\n{", token)
			}()
			b, err := io.ReadAll(conn)
			if took := time.Since(began); err != nil || took < bodyTime || took > bodyTime+time.Second {
				t.Errorf("%s: %q, %v after %s, want that the connection ends after %s", name, b, err, took, bodyTime)
			}
		})
	}
}

func TestSlowUploadsAndAnswersAreNotCut(t *testing.T) {
	for path, want := range map[string]string{"/upload": "slowly, by a route", "/api/tokens": "late, by the leader"} {
		synctest.Test(t, func(t *testing.T) {
			s := behind(func(r *http.Request) (*http.Response, error) {
				time.Sleep(2 * bodyTime)
				res := httptest.NewRecorder()
				if r.Context().Err() == nil {
					_, _ = io.WriteString(res, "late, by the leader")
				}
				return res.Result(), nil
			})
			s.Add(kit.Service{Name: "uploads", Serves: []kit.Route{{Pattern: "POST /upload", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				fmt.Fprintf(w, "%s, by a route", b)
			})}}})
			conn := dial(t, s)
			go func() {
				fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: close\r\nContent-Length: 6\r\n\r\nslo", path, adasToken)
				if path == "/upload" {
					time.Sleep(2 * bodyTime)
				}
				_, _ = io.WriteString(conn, "wly")
			}()
			if b, err := io.ReadAll(conn); err != nil || !strings.Contains(string(b), want) {
				t.Errorf("%s answered %q, %v, want %q", path, b, err, want)
			}
		})
	}
}

// pipes is a listener for connections in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.IPAddr{} }

func TestForwardedRequestIsAsItCame(t *testing.T) {
	var got *http.Request
	s := behind(func(r *http.Request) (*http.Response, error) {
		got = r
		header := http.Header{"Etag": {`"3"`}, "Connection": {"X-Private"}, "X-Private": {"1"}, "Keep-Alive": {"5"}}
		return &http.Response{StatusCode: http.StatusTeapot, Header: header, Body: io.NopCloser(strings.NewReader("tea")), ContentLength: 3}, nil
	})
	r := httptest.NewRequest(http.MethodPost, "/api/notes/a%2Eb:star?id=x&y=%zz", strings.NewReader("{}"))
	r.RemoteAddr = "10.0.0.2:99"
	for name, value := range map[string]string{
		"Authorization": "Bearer " + adasToken, "If-Match": `"2"`, "X-Forwarded-For": "10.0.0.1", "Connection": "close, X-Hop", "X-Hop": "1", "Te": "trailers", headerVouch: "users/admin 1 00",
	} {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if got.Method != http.MethodPost || got.URL.String() != "http://leader/api/notes/a%2Eb:star?id=x&y=%zz" || got.ContentLength != 2 {
		t.Errorf("passed on %s %s with %d bytes, want what came", got.Method, got.URL, got.ContentLength)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer " + adasToken, "If-Match": `"2"`, "X-Forwarded-For": "10.0.0.1, 10.0.0.2", headerForwarded: "1",
		"Connection": "", "X-Hop": "", "Te": "", headerVouch: "",
	} {
		if h := got.Header.Get(name); h != want {
			t.Errorf("passed on with %s: %q, want %q", name, h, want)
		}
	}
	if h := w.Header(); w.Code != http.StatusTeapot || w.Body.String() != "tea" || h.Get("ETag") != `"3"` || h.Get("X-Private") != "" || h.Get("Keep-Alive") != "" {
		t.Errorf("answered %d %s with %v, want the leader's answer without what is about its connection", w.Code, w.Body, h)
	}
}

func TestAnswerOfTheLeaderThatIsCutIsCutForTheClient(t *testing.T) {
	for name, length := range map[string]int64{"of a known length": 10, "of any length": -1} {
		s := behind(func(*http.Request) (*http.Response, error) {
			cut := io.MultiReader(strings.NewReader("half"), brokenReader{})
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(cut), ContentLength: length}, nil
		})
		func() {
			defer func() {
				if p := recover(); p != http.ErrAbortHandler {
					t.Errorf("an answer %s that was cut ended with %v, want that the connection is broken", name, p)
				}
			}()
			s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/api/notes/a", nil))
		}()
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestGuessedTokensAreFewRequestsOfTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // no time passes
		looked := 0
		s := behind(func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(r.URL.Path, "/api/tokens/") {
				looked++
			}
			res := httptest.NewRecorder()
			res.WriteHeader(http.StatusNotFound)
			return res.Result(), nil
		})
		refused := map[int]int{}
		for i := range 3 * looks {
			r := httptest.NewRequest(http.MethodPost, "/api/tokens", untouched{t})
			r.Header.Set("Authorization", fmt.Sprintf("Bearer lf_guess%d_x", i))
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			refused[w.Code]++
		}
		if looked != looks || refused[http.StatusUnauthorized] != looks || refused[http.StatusServiceUnavailable] != 2*looks {
			t.Errorf("%d guesses: the leader was asked %d times, answers %v, want %d and 503 for the others", 3*looks, looked, refused, looks)
		}
	})
}

// recovering is a Node that can catch up with the leader from a time on.
type recovering struct {
	aside
	from time.Time
}

func (r recovering) CatchUp(context.Context) error {
	if time.Now().Before(r.from) {
		return kit.ErrUnavailable
	}
	return nil
}

func TestRouteWaitsUntilItsNodeCanBeSureOfAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for after, want := range map[time.Duration]int{sureWithin / 2: http.StatusUnauthorized, time.Hour: http.StatusServiceUnavailable} {
			kinds := store.NewKinds()
			s := New(Options{Store: store.New(kinds), Kinds: kinds, Node: recovering{from: time.Now().Add(after)}, Logger: slog.New(slog.DiscardHandler)})
			r, w, began := httptest.NewRequest(http.MethodGet, "/stats", nil), httptest.NewRecorder(), time.Now()
			r.Header.Set("Authorization", "Bearer lf_guess_x")
			s.ServeHTTP(w, r)
			if took := time.Since(began); w.Code != want || took > min(after, sureWithin)+leaderPoll {
				t.Errorf("a node that can be sure of a token after %s answered %d after %s, want %d", after, w.Code, took, want)
			}
		}
		time.Sleep(time.Minute) // of the bubble: no leader takes the audit's record
	})
}

func TestClocksThatDifferAreNotTheFaultOfWhoAsks(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, time.Hour} {
		var log bytes.Buffer
		kinds := store.NewKinds()
		s := New(Options{Store: store.New(kinds), Kinds: kinds, Node: aside{}, Secret: []byte("of the cluster"), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		server := httptest.NewServer(s)
		for secret, want := range map[string]int{"of the cluster": http.StatusServiceUnavailable, "of another": http.StatusUnauthorized} {
			log.Reset()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/stats", nil)
			if err != nil {
				t.Fatal(err)
			}
			sender := &Server{secret: []byte(secret)}
			r.Header.Set(headerVouch, sender.vouch(r, "users/ada", time.Now().Add(skew)))
			res, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close() // only its head matters
			unavailable := want == http.StatusServiceUnavailable
			if res.StatusCode != want || (res.Header.Get("Retry-After") != "") != unavailable || strings.Contains(log.String(), "clocks of the nodes") != unavailable {
				t.Errorf("a node whose clock is %s off, with the secret %q: %d, Retry-After %q, log %q, want %d", skew, secret, res.StatusCode, res.Header.Get("Retry-After"), log.String(), want)
			}
		}
		server.Close()
	}
}
