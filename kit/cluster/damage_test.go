package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster/disk"
)

// edit changes the first file that matches the pattern below dir.
func edit(t *testing.T, dir, pattern string, change func([]byte) []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s in %s (%v)", pattern, dir, err)
	}
	b, err := os.ReadFile(files[len(files)-1])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[len(files)-1], change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedDirectoryIsNotOpened(t *testing.T) {
	sound := soundDirectory(t)
	drop := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	garble := func(pattern, text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			edit(t, dir, pattern, func(b []byte) []byte {
				i := bytes.Index(b, []byte(text))
				if i < 0 {
					t.Fatalf("%s holds no %q", pattern, text)
				}
				b[i] ^= 1
				return b
			})
		}
	}
	blank := func(pattern string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			edit(t, dir, pattern, func([]byte) []byte { return nil })
		}
	}
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string)
		text   string
	}{
		"no VERSION":          {drop("VERSION"), "VERSION is damaged"},
		"no node.json":        {drop("node.json"), "node.json is damaged"},
		"an empty node.json":  {blank("node.json"), "node.json is damaged"},
		"an empty peers.json": {blank("peers.json"), "peers.json is damaged"},
		"no log":              {drop("log"), "log is damaged"},
		"no index of the log": {drop("log/wal-meta.db"), "log is damaged"},
		"a changed entry":     {garble("log/*.wal", "value50"), ".wal is damaged at byte "},
		"a lost last entry":   {garble("log/*.wal", "value99"), ".wal is damaged at byte "},
		"an emptied segment":  {blank("log/*.wal"), ".wal is damaged at byte 0: the log ends at entry"},
		"no segment": {func(t *testing.T, dir string) {
			files, _ := filepath.Glob(filepath.Join(dir, "log", "*.wal"))
			for _, f := range files {
				drop(filepath.Join("log", filepath.Base(f)))(t, dir)
			}
		}, "its segments (*.wal) are missing"},
		"no snapshot":              {drop("snapshots"), "the snapshot before it is missing"},
		"a changed snapshot":       {garble("snapshots/*/state.bin", "value1"), "is damaged"},
		"a snapshot's changed CRC": {blank("snapshots/*/meta.json"), "meta.json is damaged: it cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(sound)); err != nil {
				t.Fatal(err)
			}
			c.damage(t, dir)
			_, err := open(t, dir, newNotes(), nil)
			isFault(t, err, kit.ErrInternal, dir, c.text, "restore")
		})
	}
}

// soundDirectory returns the directory of a node that has stopped, with 100
// entries and a snapshot of 40.
func soundDirectory(t *testing.T) string {
	t.Helper()
	n := leaderOf(t, start(t, t.TempDir(), func(c *Config) { c.SnapshotEvery = 10 }))
	for i := range 100 {
		if i == 40 {
			if err := n.raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := n.Write(t.Context(), put{fmt.Sprint("key", i), fmt.Sprint("value", i)}); err != nil {
			t.Fatal(err)
		}
	}
	n.stop()
	return n.config.Dir
}

func TestANodeThatHardlyStartedKeepsTheMark(t *testing.T) {
	sound := soundDirectory(t)
	n, err := Open(t.Context(), Config{Dir: sound, Advertise: "http://127.0.0.1:1", Schema: "notes/1", Logger: quiet(t)}, newNotes())
	if err != nil {
		t.Fatal(err)
	}
	want := n.dir.Mark()
	ended, end := context.WithCancel(t.Context())
	end()
	if err := n.Run(ended); err != nil {
		t.Fatal(err)
	}
	d, err := disk.Open(sound)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	if d.Mark() < want || want < 100 {
		t.Errorf("the mark is %d, was %d, want no less, and 100 at least", d.Mark(), want)
	}
}
