package main

import (
	"strings"
	"testing"
	"time"
)

// small is a measurement of little, which runs in the checkout.
func small(t *testing.T, group string) *measurement {
	t.Helper()
	t.Chdir("../..")
	o := options{documents: 20_000, upgrades: 1, writes: 50, held: 200, rounds: 1, warm: time.Second, per: time.Second}
	return &measurement{options: o, group: group, dir: t.TempDir(), out: t.Output()}
}

// has fails t unless m has exactly these bars.
func (m *measurement) has(t *testing.T, names ...string) {
	t.Helper()
	var got []string
	for _, b := range m.bars {
		got = append(got, strings.TrimPrefix(b.name, m.group+"/"))
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("the bars are %v, want %v", got, names)
	}
}

func TestRequestsThatWaitAreAnswered(t *testing.T) {
	m := small(t, "front")
	m.only = "held-memory"
	if err := measureFront(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	m.has(t, "held-memory", "held-failures")
	if m.bars[0].ours <= 0 || m.bars[1].ours != 0 || m.bars[1].peer != 200 {
		t.Errorf("200 requests waited: got %v", m.bars)
	}
}

func TestAMissingPeerIsToldWithTheWayToGetIt(t *testing.T) {
	if _, err := installed("haproxy-that-is-not-there"); err == nil || !strings.Contains(err.Error(), "test/setup.sh bench") {
		t.Errorf("got the error %v", err)
	}
	if path, err := installed("sh"); err != nil || !strings.HasSuffix(path, "/sh") {
		t.Errorf("sh is at %q, %v", path, err)
	}
}
