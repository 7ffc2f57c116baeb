package git

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProjectNames(t *testing.T) {
	store, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{
		"demo": true, "team/my.proj-2_x": true, "0": true,
		"": false, "Demo": false, "-x": false, "/x": false, "a//b": false, "a/": false, "a/../b": false, "../a": false,
		"a/.b": false, "a.git": false, "a.git/b": false, "a.lock": false, "a b": false, "ä": false, "a\n": false,
		strings.Repeat("a", 201): false,
	} {
		_, err := store.Repository(name)
		want := ErrInvalid
		if ok {
			want = ErrNotFound
		}
		if !errors.Is(err, want) {
			t.Errorf("project %q: got %v, want %v", name, err, want)
		}
		if err := store.Create(t.Context(), name); ok != (err == nil) {
			t.Errorf("create %q: got %v, want it to pass: %t", name, err, ok)
		}
	}
	if err := store.Create(t.Context(), "demo"); !errors.Is(err, ErrExists) {
		t.Errorf("create again: got %v, want %v", err, ErrExists)
	}
}

func TestOpenSweepsWhatACrashHasLeft(t *testing.T) {
	s := newSite(t)
	dir := s.store.dir
	stale := []string{
		"demo.git/objects/incoming-123/pack/tmp_pack_1", "demo.git/objects/incoming-456/ab/cd",
		"demo.git/refs/heads/main.lock", "demo.git/packed-refs.lock", "demo.git/HEAD.lock", ".new-1/repository/HEAD",
	}
	for _, name := range stale {
		write(t, dir, name, "stale")
	}
	main, err := s.demo.Tip(t.Context(), "refs/heads/main")
	if err != nil {
		t.Fatal(err)
	}
	store, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stale {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s after a crash: got %v, want it removed", name, err)
		}
	}
	demo, err := store.Repository("demo")
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.UpdateRef(t.Context(), "refs/heads/main", Zero, main); err != nil {
		t.Errorf("move a ref after a crash: %v", err)
	}
}
