package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"landfall.dev/capability/release/trust"
	"landfall.dev/kit"
)

// TestKeysThatTheHubRefusesDoNotStay sets up the trust of a hub that refuses
// it, or breaks off, and does so again.
func TestKeysThatTheHubRefusesDoNotStay(t *testing.T) {
	online, err := trust.OpenOnline(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var answer error // of the next ceremony
	s := httptest.NewServer(kit.Handler(func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodGet {
			return json.NewEncoder(w).Encode(online.Public())
		}
		return answer
	}))
	t.Cleanup(s.Close)
	initialise := func(dir string) error {
		c := root()
		c.SetArgs([]string{"trust", "init", "--keys", dir, "--url", s.URL, "--token", "t"})
		c.SetOut(&bytes.Buffer{})
		c.SetErr(&bytes.Buffer{})
		return c.ExecuteContext(t.Context())
	}
	dir := filepath.Join(t.TempDir(), "keys")
	for _, refusal := range []kit.Fault{kit.ErrForbidden, kit.ErrConflict} {
		answer = kit.Errorf(refusal, "", "not you")
		if err := initialise(dir); err == nil || !strings.Contains(err.Error(), "not you") {
			t.Errorf("set up the trust: %v, want what the hub says", err)
		}
		if files, _ := os.ReadDir(dir); len(files) > 0 {
			t.Errorf("after %v there are %v, want no keys", refusal, files)
		}
	}
	unsure := filepath.Join(t.TempDir(), "keys")
	answer = kit.Errorf(kit.ErrUnavailable, "", "who knows")
	if err := initialise(unsure); err == nil {
		t.Error("set up the trust of a hub that broke off")
	}
	if files, _ := os.ReadDir(unsure); len(files) != 5 {
		t.Errorf("after an answer that may hide a success there are %v, want all keys", files)
	}
	answer = nil
	if err := initialise(dir); err != nil {
		t.Errorf("set up the trust after refusals: %v", err)
	}
}
