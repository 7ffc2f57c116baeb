package rest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

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
	kinds := store.NewKinds()
	s := New(Options{Store: store.New(kinds), Kinds: kinds, Node: aside{}, Peers: leader{body}})
	r := httptest.NewRequest(http.MethodPost, "/api/tokens", body)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Body.String() != `{"text":"hello"}` {
		t.Errorf("a body that the server took away after the answer began: %d %s", w.Code, w.Body)
	}
}

// peers answers what is passed on.
type peers func(*http.Request) (*http.Response, error)

func (p peers) RoundTrip(r *http.Request) (*http.Response, error) { return p(r) }

// behind returns a server that passes everything on to p.
func behind(p peers) *Server {
	kinds := store.NewKinds()
	return New(Options{Store: store.New(kinds), Kinds: kinds, Node: aside{}, Peers: p})
}

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
		"Authorization": "Bearer x", "If-Match": `"2"`, "X-Forwarded-For": "10.0.0.1", "Connection": "close, X-Hop", "X-Hop": "1", "Te": "trailers", headerVouch: "users/admin 1 00",
	} {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if got.Method != http.MethodPost || got.URL.String() != "http://leader/api/notes/a%2Eb:star?id=x&y=%zz" || got.ContentLength != 2 {
		t.Errorf("passed on %s %s with %d bytes, want what came", got.Method, got.URL, got.ContentLength)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer x", "If-Match": `"2"`, "X-Forwarded-For": "10.0.0.1, 10.0.0.2", headerForwarded: "1",
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
