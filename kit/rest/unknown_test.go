package rest_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

func TestRepeatedWriteDoesNotForgetThatItsOutcomeIsUnknown(t *testing.T) {
	for _, test := range []struct {
		name     string
		answers  []kit.Fault // the last one again and again
		patience time.Duration
		want     kit.Fault
	}{
		{"unknown, then refused as unavailable", []kit.Fault{kit.ErrTimeout, kit.ErrUnavailable}, 200 * time.Millisecond, kit.ErrTimeout},
		{"unknown, then stale", []kit.Fault{kit.ErrTimeout, kit.ErrStale}, time.Minute, kit.ErrTimeout},
		{"never begun", []kit.Fault{kit.ErrUnavailable}, 200 * time.Millisecond, kit.ErrUnavailable},
		{"never begun, then stale", []kit.Fault{kit.ErrUnavailable, kit.ErrStale}, time.Minute, kit.ErrStale},
	} {
		answers := test.answers
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			body, status := kit.EncodeProblem(answers[0])
			if len(answers) > 1 {
				answers = answers[1:]
			}
			w.WriteHeader(status)
			_, _ = w.Write(body)
		}))
		c, err := rest.NewClient(s.URL, "", rest.ClientOptions{Patience: test.patience})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Update(t.Context(), "notes/1", []byte(`{}`), 0, kit.Once("key")); kit.FaultOf(err) != test.want {
			t.Errorf("%s: the write failed with %v, want %v", test.name, err, test.want)
		}
		s.Close()
	}
}

// net/http repeats a request with an idempotency key by itself when a
// connection that it has used before breaks.
func TestWriteThatWasSentIsNotTakenForOneThatWasNot(t *testing.T) {
	var dials atomic.Int32
	via := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1) > 1 {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	defer via.CloseIdleConnections()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte(`{"link":"notes/1","kind":"notes","version":1}`))
			return
		}
		panic(http.ErrAbortHandler) // the write was read, and maybe made
	}))
	defer s.Close()
	c, err := rest.NewClient(s.URL, "", rest.ClientOptions{Transport: via, Patience: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(t.Context(), "notes/1", kit.ReadOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Update(t.Context(), "notes/1", []byte(`{}`), 0, kit.Once("key")); kit.FaultOf(err) != kit.ErrTimeout {
		t.Errorf("a write that the server had read failed with %v, want a timeout: its outcome is unknown", err)
	}
}
