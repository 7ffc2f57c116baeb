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
