package notify

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
)

// webhook answers one request after the other with the statuses, then with
// 200.
type webhook struct {
	*httptest.Server
	statuses []int
	calls    atomic.Int64
	text     atomic.Value // of the last message
}

func newWebhook(t *testing.T, statuses ...int) *webhook {
	h := &webhook{statuses: statuses}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct{ Text string }
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Errorf("the webhook got no message: %v", err)
		}
		h.text.Store(m.Text)
		n := int(h.calls.Add(1)) - 1
		if n < len(h.statuses) {
			w.WriteHeader(h.statuses[n])
			return
		}
		_, _ = w.Write([]byte("ok"))
	}))
	t.Cleanup(h.Close)
	return h
}

// start runs this service, whose notices go to the webhook.
func start(t *testing.T, url string) *kittest.Cluster {
	t.Helper()
	return startWith(t, Config{Webhook: url, Base: "http://hub"})
}

// startWith runs this service beside builds and users.
func startWith(t *testing.T, config Config) *kittest.Cluster {
	t.Helper()
	c := kittest.Start(t, kit.Service{Name: "others", Owns: []kit.Owned{kit.Own[api.Build](api.Builds, nil), kit.Own[api.Run](api.Runs, nil), kit.Own[api.User](api.Users, nil)}})
	s := Service(c.Client("services/notify"), config)
	c.Server.Add(s)
	c.Run(s)
	return c
}

func await(t *testing.T, c *kittest.Cluster, id string) api.Notice {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	n, err := api.Notices.Await(ctx, c.Admin(), id, func(n api.Notice) bool { return n.State != api.NoticeWanted })
	if err != nil {
		t.Fatalf("notice %s: %v", id, err)
	}
	return n
}

func TestNoticesAreSentOrGivenUp(t *testing.T) {
	for _, test := range []struct {
		name     string
		statuses []int
		state    api.NoticeState
		calls    int64
		err      string // is in the notice's error
	}{
		{"the webhook takes it", nil, api.NoticeSent, 1, ""},
		{"the webhook is down for a while", []int{500, 503}, api.NoticeSent, 3, ""},
		{"the webhook is busy", []int{429}, api.NoticeSent, 2, ""},
		{"the webhook is not there", []int{404}, api.NoticeGivenUp, 1, "the webhook answered 404: check --slack-webhook"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newWebhook(t, test.statuses...)
			c := start(t, h.URL)
			n := api.Notice{To: "users/ada", Text: "a <b> & c failed", About: "builds/1"}
			if _, err := api.Notices.Create(t.Context(), c.Admin(), "one", n); err != nil {
				t.Fatal(err)
			}
			n = await(t, c, "one")
			if n.State != test.state || h.calls.Load() != test.calls || !strings.Contains(n.Error, test.err) {
				t.Errorf("the notice is %s, %q, after %d calls, want %s, %q, after %d", n.State, n.Error, h.calls.Load(), test.state, test.err, test.calls)
			}
			want := "users/ada: a &lt;b&gt; &amp; c failed\n<http://hub/builds/1>"
			if text := h.text.Load(); text != want {
				t.Errorf("the webhook got %q, want %q", text, want)
			}
		})
	}
}

func TestWithoutAWebhookNoticesAreKept(t *testing.T) {
	c := start(t, "")
	if _, err := api.Notices.Create(t.Context(), c.Admin(), "one", api.Notice{To: "users/ada", Text: "x"}); err != nil {
		t.Fatal(err)
	}
	if n := await(t, c, "one"); n.State != api.NoticeGivenUp || !strings.Contains(n.Error, "start the hub with --slack-webhook URL") {
		t.Errorf("the notice is %+v, want what to do", n)
	}
}

func TestAnErrorDoesNotShowTheWebhook(t *testing.T) {
	h := newWebhook(t)
	h.Close()
	s := sender{webhook: h.URL + "/services/secret"}
	_, err := s.post(t.Context(), kit.Record{Meta: kit.Meta{Link: "notices/1"}, Body: []byte(`{"to":"users/ada"}`)}, kit.Op{})
	if err == nil || strings.Contains(err.Error(), "secret") || !kit.Temporary(err) {
		t.Errorf("sending to a dead webhook: %v, want a temporary error without its address", err)
	}
}

func TestTheAuthorOfAFailedBuildIsTold(t *testing.T) {
	h := newWebhook(t)
	c := start(t, h.URL)
	caller := api.Build{State: api.BuildRunning, Calls: []api.Call{{Build: "builds/waited", Wait: true}, {Build: "builds/called"}}}
	if _, err := api.Builds.Create(t.Context(), c.Admin(), "caller", caller); err != nil {
		t.Fatal(err)
	}
	for id, b := range map[string]api.Build{
		"fine":   {Job: "gate", Author: "users/ada", State: api.BuildPassed},
		"nobody": {Job: "gate", State: api.BuildFailed},
		"bad":    {Job: "gate", Project: "ledger", Author: "users/ada", State: api.BuildFailed, Error: "exit 1", Change: "changes/7", PatchSet: 2},
		"broken": {Job: "gate", Project: "ledger", Author: "users/ada", State: api.BuildError, Error: "no runner"},
		"cell":   {Job: "gate", Author: "users/ada", State: api.BuildFailed, Cell: "os=linux", Upstream: "builds/caller"},
		"part":   {Job: "gate", Author: "users/ada", State: api.BuildFailed, Run: "runs/x"},
		"waited": {Job: "gate", Author: "users/ada", State: api.BuildFailed, Upstream: "builds/caller"},
		"called": {Job: "gate", Project: "ledger", Author: "users/ada", State: api.BuildFailed, Error: "exit 2", Upstream: "builds/caller"},
		"timed":  {Meta: kit.Meta{Source: "schedules/ledger~nightly"}, Job: "nightly", Project: "ledger", State: api.BuildFailed, Error: "exit 1"},
	} {
		if _, err := api.Builds.Create(t.Context(), c.Admin(), id, b); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]string{
		"bad":    "users/ada: gate failed on change 7, patch set 2: exit 1",
		"broken": "users/ada: gate of ledger failed: no runner",
		"called": "users/ada: gate of ledger failed: exit 2",
		"timed":  "#ledger: nightly of ledger failed: exit 1",
	} {
		if n := await(t, c, "build-"+id); n.To+": "+n.Text != want || n.Source != api.Builds.Link(id) {
			t.Errorf("the notice is %+v, want %q", n, want)
		}
	}
	if _, err := c.Admin().Update(t.Context(), "builds/bad", []byte(`{"logSize":1}`), 0); err != nil {
		t.Fatal(err)
	}
	// One more build is seen only after the change of the one before.
	if _, err := api.Builds.Create(t.Context(), c.Admin(), "last", api.Build{Author: "users/ada", State: api.BuildFailed}); err != nil {
		t.Fatal(err)
	}
	await(t, c, "build-last")
	if n := h.calls.Load(); n != 5 {
		t.Errorf("the webhook was called %d times, want once for each of 5 builds", n)
	}
	for _, id := range []string{"build-fine", "build-nobody", "build-cell", "build-part", "build-waited"} {
		if _, err := api.Notices.Read(t.Context(), c.Admin(), id); !errors.Is(err, kit.ErrNotFound) {
			t.Errorf("notice %s: %v, want none", id, err)
		}
	}
}
