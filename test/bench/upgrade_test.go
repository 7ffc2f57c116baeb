package main

import (
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestUpdatesAreMadeOnceAndFailuresAreTold(t *testing.T) {
	status := http.StatusOK
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization")+" "+string(b))
		w.WriteHeader(status)
		io.WriteString(w, "not now")
	}))
	defer s.Close()
	op := updates(s.URL, "secret", 1)
	if err := op(t.Context(), rand.New(rand.NewPCG(0, 0))); err != nil || len(asked) != 1 || !strings.HasPrefix(asked[0], `PATCH /api/items/1 Bearer secret {"value":"`) {
		t.Errorf("an update: %v, %v", asked, err)
	}
	status = http.StatusServiceUnavailable
	if err := op(t.Context(), rand.New(rand.NewPCG(0, 0))); err == nil || !strings.Contains(err.Error(), "503 Service Unavailable: not now") || len(asked) != 2 {
		t.Errorf("an update that is refused, asked %d times: %v", len(asked)-1, err)
	}
}

func TestCopiesOfASmallPlatform(t *testing.T) {
	m := small(t, "upgrade")
	program, err := m.build(t.Context(), "test/bench/upgradenode")
	if err != nil {
		t.Fatal(err)
	}
	p, err := startPair(t.Context(), m, program, "blue", 2000)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	if _, err := p.copy(t.Context(), "", "TRANSFORM=func"); err != nil {
		t.Fatalf("a copy by a function in Go: %v", err)
	}
	if err := measureCycles(t.Context(), m, p); err != nil {
		t.Fatal(err)
	}
	m.has(t, "empty-cycle", "small-delta", "proportion-empty", "proportion")
}

func TestALiveUpgradeIsMeasured(t *testing.T) {
	m := small(t, "upgrade")
	m.only = "pause-p50"
	if err := measureUpgrades(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	m.has(t, "pause-p50", "pause-p99", "pause-failures")
	if m.bars[2].ours != 0 || m.bars[2].peer == 0 {
		t.Errorf("%v updates failed of %v: %v", m.bars[2].ours, m.bars[2].peer, m.also)
	}
}
