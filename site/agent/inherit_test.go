package agent

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/store"
)

// hooked is a receiver of webhooks; it tells of each whether it was signed as
// the key demands.
func hooked(t *testing.T, key []byte) (address string, posted <-chan string) {
	t.Helper()
	posts := make(chan string, 100)
	h := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m := hmac.New(sha256.New, key)
		m.Write([]byte(r.Header.Get("webhook-id") + "." + r.Header.Get("webhook-timestamp") + "." + string(body)))
		if want := "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil)); !strings.Contains(r.Header.Get("webhook-signature"), want) {
			t.Errorf("a webhook is signed %q, want %q", r.Header.Get("webhook-signature"), want)
		}
		posts <- string(body)
	}))
	t.Cleanup(h.Close)
	return h.URL, posts
}

// isPosted waits until a webhook tells of the document.
func isPosted(t *testing.T, posted <-chan string, l kit.Link) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		select {
		case body := <-posted:
			if strings.Contains(body, string(l)) {
				return
			}
		case <-ctx.Done():
			t.Fatalf("no webhook tells of %s", l)
		}
	}
}

func TestWebhooksGoOnAndBlueRefusesReadsAfterAnUpgrade(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen})
	s := newSite(t, h)
	s.start()
	h.deploy("first", h.push(imageOf(t, "platform", "one")))
	h.passes("first")
	key := []byte("a key of webhooks, which has 32+ bytes")
	address, posted := hooked(t, key)
	c := s.notes("program-1")
	subscription, _ := json.Marshal(map[string]string{"of": "notes", "url": address, "secret": "whsec_" + base64.StdEncoding.EncodeToString(key)})
	if _, err := c.Create(t.Context(), "subscriptions", "", subscription); err != nil {
		t.Fatal(err)
	}
	note := func(id string) kit.Link {
		t.Helper()
		if _, err := c.Create(t.Context(), "notes", id, []byte(`{"text":"x"}`)); err != nil {
			t.Fatal(err)
		}
		return kit.NewLink("notes", id)
	}
	isPosted(t, posted, note("before"))
	h.deploy("second", h.push(imageOf(t, "platform", "two")))
	second := h.passes("second")
	isPosted(t, posted, note("after"))

	agent := s.agent.Client("services/agent")
	id := second.Upgrade.ID()[len(environmentName)+1:]
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := api.Upgrades.Await(ctx, agent, id, func(u api.Upgrade) bool { return !pendingClose(u) && u.Back != nil && u.Back.Cycles > 0 }); err != nil {
		t.Fatalf("waiting for blue to be closed: %v", err)
	}
	before := kit.NewLink("notes", "before")
	if _, err := s.direct("program-1").Read(t.Context(), before, kit.ReadOptions{}); !errors.Is(err, kit.ErrFenced) {
		t.Errorf("a read from blue after the switch: %v, want 421", err)
	}
	if _, err := api.Upgrades.Send(t.Context(), agent, id, "rollback", nil); err != nil {
		t.Fatal(err)
	}
	u, err := api.Upgrades.Await(ctx, agent, id, func(u api.Upgrade) bool { return u.State == api.UpgradeRolledBack && !pendingClose(u) })
	if err != nil {
		t.Fatalf("the rollback: %v", err)
	}
	if u.Back.Documents > 20 {
		t.Errorf("%d documents were taken back: the way back began anew", u.Back.Documents)
	}
	if _, err := s.direct("program-1").Read(t.Context(), kit.NewLink("notes", "after"), kit.ReadOptions{}); err != nil {
		t.Errorf("a read from blue after going back: %v", err)
	}
	if _, err := s.direct("program-2").Read(t.Context(), before, kit.ReadOptions{}); !errors.Is(err, kit.ErrFenced) {
		t.Errorf("a read from green after going back: %v, want 421", err)
	}
	isPosted(t, posted, note("back"))
}

func pendingClose(u api.Upgrade) bool {
	for _, op := range u.Pending {
		if op.Do == api.UpgradeCloses {
			return true
		}
	}
	return false
}

func TestAGroupWhoseDirectoryCannotBeWrittenIsGivenUpWithTheReason(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen})
	s := newSite(t, h)
	s.start()
	h.deploy("first", h.push(programImage(t, "one")))
	h.passes("first")
	first, err := s.agent.groups.find(t.Context(), "program-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := writeToken(s.agent.groups.data(first), "a token"); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(filepath.Dir(s.agent.groups.data(first)), "program-2")
	if err := os.WriteFile(dir, []byte("in the way"), 0o600); err != nil {
		t.Fatal(err)
	}
	image := h.push(programImage(t, "two"))
	h.deploy("second", image)
	second := h.await("second", ended)
	for _, want := range []string{"cannot be written to " + dir, "make room there"} {
		if second.State != api.DeploymentFailed || !strings.Contains(second.Error, want) {
			t.Errorf("the status is %s, %q; want it failed with %q", second.State, second.Error, want)
		}
	}
	s.shows("one")
	s.nothingLeft("program-1")
	h.deploy("third", image)
	h.passes("third")
	s.shows("two")
}

func TestAGroupThatAnswersBeforeItIsFencedIsFenced(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		fails  bool
	}{
		"it was not fenced yet":       {http.StatusOK, false},
		"it keeps no documents":       {http.StatusNotFound, false},
		"a later decision is there":   {http.StatusConflict, false},
		"it has no leader at present": {http.StatusServiceUnavailable, true},
	} {
		t.Run(name, func(t *testing.T) {
			var fenced atomic.Bool
			h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var f store.Fence
				if err := json.NewDecoder(r.Body).Decode(&f); err == nil && r.URL.Path == "/migrate/fence" && f.On && f.Epoch == firstEpoch {
					fenced.Store(true)
				}
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, "{}")
			}))
			defer h.Close()
			u, err := url.Parse(h.URL)
			if err != nil {
				t.Fatal(err)
			}
			port, err := strconv.Atoi(u.Port())
			if err != nil {
				t.Fatal(err)
			}
			err = fence(t.Context(), group{Ports: []int{port}, Token: "token"})
			if (err != nil) != test.fails || test.fails && !kit.Temporary(err) || !fenced.Load() {
				t.Errorf("fenced %t, %v; want it asked for, failed %t", fenced.Load(), err, test.fails)
			}
		})
	}
}
