package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestNextVersion applies v2.patch to a copy of the sources, and runs their
// tests on it.
func TestNextVersion(t *testing.T) {
	if os.Getenv("LEDGER_NEXT") != "" {
		return // this is that run
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	next := t.TempDir()
	if err := os.CopyFS(next, os.DirFS(here)); err != nil {
		t.Fatal(err)
	}
	apply := exec.Command("git", "apply", "--unsafe-paths", "--directory="+next, filepath.Join(here, "v2.patch"))
	apply.Dir = next
	if out, err := apply.CombinedOutput(); err != nil {
		t.Fatalf("v2.patch does not apply to the sources any more: %v\n%s", err, out)
	}
	replace := map[string]string{}
	for _, name := range []string{"account.go"} {
		replace[filepath.Join(here, name)] = filepath.Join(next, name)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(next, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	test := exec.Command("go", "test", "-count=1", "-overlay", file, ".")
	test.Env = append(os.Environ(), "LEDGER_NEXT=1")
	if out, err := test.CombinedOutput(); err != nil {
		t.Fatalf("the next version's tests: %v\n%s", err, out)
	}
}
