package cluster

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"landfall.dev/kit"
)

// backupOf writes a backup of n to a file.
func backupOf(t *testing.T, n *running) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "backup")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Backup(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestABackupMakesAClusterOfAnotherSize(t *testing.T) {
	nodes := three(t, nil)
	for i := range 100 {
		writeTo(t, nodes, fmt.Sprint(i), "x")
	}
	path := backupOf(t, nodes[1]) // a follower, which catches up first
	writeTo(t, nodes, "later", "x")
	if schema, err := CheckBackupFile(path); err != nil || schema != "notes/1" {
		t.Fatalf("the backup is of %q (%v), want notes/1", schema, err)
	}

	dir := filepath.Join(t.TempDir(), "new", "log")
	if err := RestoreBackup(dir, path); err != nil {
		t.Fatal(err)
	}
	isFault(t, RestoreBackup(dir, path), kit.ErrConflict, dir+" exists already")
	_, err := open(t, dir, newNotes(), func(c *Config) { c.Schema = "other" })
	isFault(t, err, kit.ErrConflict, `holds schema "notes/1"`)
	first := leaderOf(t, start(t, dir, nil))
	if first.Authority().Digest() == nodes[0].Authority().Digest() {
		t.Error("the new cluster has the authority of the old one")
	}
	if !first.Restored() {
		t.Error("the new cluster does not know that it comes from a backup")
	}
	if err := first.Settled(); err != nil {
		t.Fatal(err)
	}
	second := start(t, t.TempDir(), nil, first)
	<-second.Ready()
	writeTo(t, []*running{first, second}, "new", "x")
	first = again(t, first)
	<-first.Ready()
	for _, n := range []*running{first, second} {
		eventually(t, "101 values", func() bool { c, _ := n.count(); return c == 101 })
		if n.read("later") != "" {
			t.Error("the backup has a write that came after it")
		}
	}
	if first.Restored() {
		t.Error("after a restart the new cluster still asks to be settled")
	}
}

func TestADamagedBackupIsRefused(t *testing.T) {
	n := leaderOf(t, start(t, t.TempDir(), nil))
	big := strings.Repeat("x", 100_000)
	for i := range 10 {
		if _, err := n.Write(t.Context(), put{fmt.Sprint(i), big}); err != nil {
			t.Fatal(err)
		}
	}
	path := backupOf(t, n)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func([]byte) []byte
		text   string
	}{
		"cut off":                {func(b []byte) []byte { return b[:len(b)-40] }, "it stops there"},
		"cut off in the middle":  {func(b []byte) []byte { return b[:len(b)/2] }, "it stops there"},
		"with a changed byte":    {func(b []byte) []byte { b[700_000] ^= 1; return b }, "at byte 524"},
		"with a changed end":     {func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, "the digest of the whole is wrong"},
		"with something behind":  {func(b []byte) []byte { return append(b, 0) }, "something follows the end"},
		"that is something else": {func([]byte) []byte { return []byte(big) }, "it starts with"},
		"that is empty":          {func([]byte) []byte { return nil }, "at byte 0: it stops there"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, c.change(bytes.Clone(sound)), 0o600); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "log")
			isFault(t, RestoreBackup(dir, file), kit.ErrInvalid, file+" is no sound backup: at byte ", c.text)
			if entries, _ := os.ReadDir(filepath.Dir(dir)); len(entries) > 0 {
				t.Errorf("a refused restore left %v", entries)
			}
		})
	}
}

func TestASnapshotOfFormat1IsRead(t *testing.T) {
	old := append([]byte("landfall snapshot 1\n"), 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9)
	r := &replica{machine: newNotes(), fail: func(err error) { t.Error(err) }}
	if err := r.Restore(io.NopCloser(bytes.NewReader(append(old, `{"a":"1"}`...)))); err != nil {
		t.Fatal(err)
	}
	if r.applied.Load() != 7 || r.decided.Load() != 9 || r.machine.(*notes).read("a") != "1" {
		t.Errorf("it was read as %d, %d, %q", r.applied.Load(), r.decided.Load(), r.machine.(*notes).read("a"))
	}
}
