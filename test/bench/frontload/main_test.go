package main

import (
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCommandsThatThereAreNot(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "say what to do: backend, door or wait"},
		{[]string{"stand"}, `there is no command "stand"`},
		{[]string{"door", "-backend", "nowhere"}, `backend "nowhere" is not host:port`},
	} {
		if err := run(t.Context(), c.args); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got the error %v, want %q", c.args, err, c.want)
		}
	}
}

func TestWhoWaitsTellsWhatWasNotAnswered(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			http.Error(w, "too many wait", http.StatusServiceUnavailable)
			return
		}
		answer(w, r)
	}))
	defer s.Close()
	f := flag.NewFlagSet("wait", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	w, err := wait(t.Context(), f, []string{"-address", s.Listener.Addr().String(), "-requests", "10"})
	if err != nil || w.Requests != 10 || w.Failed != 5 || !strings.Contains(w.Failure, "503 Service Unavailable: too many wait") {
		t.Errorf("of 10 requests the writes are refused: got %+v, %v", w, err)
	}
}
