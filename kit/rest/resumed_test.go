package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
)

// resumed is a node that was stopped, and has nothing of the leader's log until
// it catches up.
type resumed struct {
	follower
	leader *kittest.Cluster
	own    *store.Store
	alone  bool // cannot catch up
	asked  atomic.Int32
}

func (n *resumed) CatchUp(context.Context) error {
	n.asked.Add(1)
	if n.alone {
		return kit.ErrUnavailable
	}
	var b strings.Builder
	if _, err := n.leader.Store.Snapshot().WriteTo(&b); err != nil {
		return err
	}
	return n.own.Restore(strings.NewReader(b.String()))
}

// resume returns a node that was stopped, and where its server is. It knows who
// leads only if it can catch up.
func resume(t *testing.T, leader *kittest.Cluster, alone bool) (n *resumed, url string) {
	t.Helper()
	kinds := store.NewKinds()
	n = &resumed{leader: leader, own: store.New(kinds), alone: alone}
	to := ""
	if !alone {
		to = leader.URL()
	}
	n.url.Store(&to)
	s := rest.New(rest.Options{Store: n.own, Kinds: kinds, Node: n, Secret: []byte("between us")})
	s.Add(kittest.NotesService())
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return n, server.URL
}

func TestNodeThatIsBehindRefusesNoTokenThatTheLeaderMayKnow(t *testing.T) {
	leader := kittest.Serve(t, kittest.NotesService())
	good := leader.Token("users/admin")
	id, secret, _ := strings.Cut(strings.TrimPrefix(good, "lf_"), "_")
	type request struct{ method, path, body, header string }
	requests := []request{
		{"GET", "/stats", "", ""},
		{"GET", "/api/openapi.json", "", ""},
		{"GET", "/api/notes?consistency=eventual", "", ""},
		{"GET", "/api/notes?consistency=eventual", "", "Landfall-Forwarded: 1"},
		{"POST", "/api/~calls", `{"id":1,"method":"GET","path":"/api/notes?consistency=eventual"}` + "\n", ""},
		{"POST", "/api/~calls", `{"id":1,"method":"GET","path":"/api/notes?consistency=eventual"}` + "\n", "Landfall-Forwarded: 1"},
		{"POST", "/api/notes", `{"text":"a"}`, ""},
	}
	for _, test := range []struct {
		name, token string
		alone       bool
		status      int // 0: as the leader answers
		asks        bool
	}{
		{"of the leader's", good, false, 0, true},
		{"of the leader's, who is not to be reached", good, true, http.StatusServiceUnavailable, true},
		{"of nobody's", "lf_none_" + secret, false, http.StatusUnauthorized, true},
		{"of nobody's, and no leader to ask", "lf_none_" + secret, true, http.StatusServiceUnavailable, true},
		{"with a wrong secret", "lf_" + id + "_guess", false, http.StatusUnauthorized, true},
		{"that is none", "secret", true, http.StatusUnauthorized, false},
	} {
		for _, r := range requests {
			t.Run(fmt.Sprintf("%s, %s %s %s", test.name, r.method, r.path, r.header), func(t *testing.T) {
				t.Parallel() // some wait
				n, url := resume(t, leader, test.alone)
				header := []string{"Authorization: Bearer " + test.token}
				if r.header != "" {
					header = append(header, r.header)
				}
				res, body := call(t, r.method, url+r.path, r.body, header...)
				want := test.status
				switch {
				case want == 0 && r.path == "/api/notes":
					want = http.StatusCreated
				case want == 0:
					want = http.StatusOK
				case test.alone && r.path == "/api/notes":
					want = http.StatusServiceUnavailable // there is no leader to pass it on to
				}
				if res.StatusCode != want || want == http.StatusServiceUnavailable && res.Header.Get("Retry-After") == "" {
					t.Errorf("a token %s: %s %s (%s): %d %s, Retry-After %q, want %d", test.name, r.method, r.path, r.header, res.StatusCode, body, res.Header.Get("Retry-After"), want)
				}
				if asked := n.asked.Load(); !test.asks && asked > 0 || !test.alone && asked > 1 {
					t.Errorf("a token %s: %s %s: caught up with the leader %d times", test.name, r.method, r.path, asked)
				}
			})
		}
	}
}
