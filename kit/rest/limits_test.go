package rest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
)

// limited returns a server over HTTP on c's store with the default limit l.
func limited(t *testing.T, c *kittest.Cluster, l rest.Limit, watches int) string {
	t.Helper()
	s := rest.New(rest.Options{Store: c.Store, Kinds: store.NewKinds(), Node: direct{c}, Limit: l, Watches: watches})
	s.Add(kittest.NotesService())
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

func TestCallerWithTooManyRequestsHasToWait(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	// Slow enough that no token comes back while the test runs.
	url := limited(t, c, rest.Limit{Requests: 0.001, Burst: 5}, 0)
	admin, ada := "Authorization: Bearer "+c.Token("users/admin"), "Authorization: Bearer "+c.Token("users/ada")
	for i := range 5 {
		if res, body := call(t, "GET", url+"/api/notes", "", admin); res.StatusCode != 200 {
			t.Fatalf("request %d of 5: %d %s, want 200", i+1, res.StatusCode, body)
		}
	}
	for _, path := range []string{"/api/notes", "/metrics"} {
		res, body := call(t, "GET", url+path, "", admin)
		after, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if res.StatusCode != 429 || !strings.Contains(body, "users/admin has sent more than 0.001 requests a second") || err != nil || after < 900 || after > 1001 {
			t.Errorf("%s: %d, Retry-After %d, %s, want 429, about 1000, and the reason", path, res.StatusCode, after, body)
		}
	}
	// That is in the audit, whatever was asked for.
	told(t, c, "users/admin list notes/ 429")
	if r := told(t, c, "users/admin GET /metrics 429"); !strings.Contains(r.Reason, "requests a second") {
		t.Errorf("recorded %+v, want the reason", r)
	}
	if res, _ := call(t, "GET", url+"/api/notes", "", ada); res.StatusCode != 403 {
		t.Errorf("another caller got %d, want what it is due: 403", res.StatusCode)
	}
	// An administrator changes that at run time, here through another node.
	if _, err := rest.Limits.Create(t.Context(), c.Admin(), "admins", rest.Limit{Subjects: []string{"users/admin"}, Requests: 1000}); err != nil {
		t.Fatal(err)
	}
	for status := 429; status == 429; { // a thousandth of a second
		res, _ := call(t, "GET", url+"/api/notes", "", admin)
		status = res.StatusCode
	}
	// Services in the process are not limited.
	for range 20 {
		if _, err := c.Client("services/notes").List(t.Context(), kit.Query{Kind: "notes"}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWrongLimitIsRefused(t *testing.T) {
	c := kittest.Serve(t)
	for name, l := range map[string]rest.Limit{
		"nobody's": {Requests: 1}, "a negative one": {Subjects: []string{"users/ada"}, Watches: -1}, "a wrong subject": {Subjects: []string{"ada"}},
		"one in a century": {Subjects: []string{"users/ada"}, Requests: 1e-11}, "a burst of millions": {Subjects: []string{"users/ada"}, Burst: 5_000_000},
	} {
		if _, err := rest.Limits.Create(t.Context(), c.Admin(), "", l); kit.FaultOf(err) != kit.ErrInvalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}

func TestWatchesAreLimited(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	url := limited(t, c, rest.Limit{Watches: 2}, 3)
	admin, ada := c.Token("users/admin"), c.Token("users/ada")
	c.Allow("users/ada", rest.Rule{Kinds: []string{"notes"}, Verbs: []kit.Verb{"watch"}})
	open := func(token string) (int, string, func()) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "GET", url+"/api/notes", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/event-stream")
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 300)
		n, _ := res.Body.Read(b)
		t.Cleanup(cancel)
		return res.StatusCode, string(b[:n]), cancel
	}
	var last func()
	for i, want := range []int{200, 200, 429} {
		status, body, cancel := open(admin)
		if status != want || want == 429 && !strings.Contains(body, "users/admin has 2 watches open") {
			t.Errorf("watch %d of one caller: %d %s, want %d", i+1, status, body, want)
		}
		if want == 200 {
			last = cancel
		}
	}
	told(t, c, "users/admin watch notes/ 429")
	if status, body, _ := open(ada); status != 200 {
		t.Errorf("another's watch: %d %s, want 200", status, body)
	}
	if status, body, _ := open(ada); status != 429 || !strings.Contains(body, "serves 3 watches already") {
		t.Errorf("a watch over the limit of all: %d %s, want 429", status, body)
	}
	last()
	for status := 429; status == 429; {
		status, _, _ = open(admin) // until the server has seen that the other is gone
	}
}

func TestRequestsAreBoundedInSize(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	admin := "Authorization: Bearer " + c.Token("users/admin")
	huge := strings.Repeat("x", 70<<10)
	for _, test := range []struct{ name, method, path, body, header, want string }{
		{"a header", "GET", "/api/notes", "", "X-Note: " + huge, "the headers have"},
		{"an address", "GET", "/api/notes?filter=" + huge, "", "", "the address and the headers"},
		{"a body", "POST", "/api/notes", `{"text":"` + strings.Repeat("x", kit.MaxDocument) + `"}`, "", "more than 1048576 bytes"},
		{"a batch", "POST", "/api/batch", `{"writes":[` + strings.TrimSuffix(strings.Repeat(`{"verb":"star","link":"notes/a"},`, 10_001), ",") + `]}`, "", "10001 writes, the limit is 10000: split it"},
		{"a batch's body", "POST", "/api/batch", strings.Repeat(" ", 8<<20+1), "", "more than 8388608 bytes"},
	} {
		headers := []string{admin}
		if test.header != "" {
			headers = append(headers, test.header)
		}
		res, body := call(t, test.method, c.URL()+test.path, test.body, headers...)
		if res.StatusCode != 413 || !strings.Contains(body, test.want) {
			t.Errorf("%s: %d %.200s, want 413 with %q", test.name, res.StatusCode, body, test.want)
		}
	}
}
