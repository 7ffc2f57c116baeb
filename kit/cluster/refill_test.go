package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster/disk"
)

func TestADamagedNodeIsRefilledFromItsPeers(t *testing.T) {
	for name, damaged := range map[string]struct{ pattern, text string }{
		"a segment":  {"log/*.wal", "value50"},
		"a snapshot": {"snapshots/*/state.bin", "value1"},
	} {
		t.Run(name, func(t *testing.T) {
			nodes := three(t, func(c *Config) { c.SnapshotEvery = 10 })
			for i := range 100 {
				if i == 40 {
					if err := nodes[2].raft.Snapshot().Error(); err != nil {
						t.Fatal(err)
					}
				}
				writeTo(t, nodes, fmt.Sprint("key", i), fmt.Sprint("value", i))
			}
			eventually(t, "replication", func() bool { c, _ := nodes[2].count(); return c == 100 })
			dir := nodes[2].config.Dir
			ask := Config{Dir: dir, JoinToken: token, Logger: quiet(t)}
			_, err := Refill(t.Context(), ask)
			isFault(t, err, kit.ErrConflict, "another landfall process")
			nodes[2].stop()
			_, err = Refill(t.Context(), ask)
			isFault(t, err, kit.ErrConflict, "nothing is damaged")

			edit(t, dir, damaged.pattern, func(b []byte) []byte {
				b[strings.Index(string(b), damaged.text)] ^= 1
				return b
			})
			_, err = open(t, dir, newNotes(), nil)
			var d *disk.Damage
			if !errors.As(err, &d) || d.Offset < 0 || len(d.Peers) != 2 {
				t.Fatalf("the damaged node starts with %v (%+v), want a file, an offset and two peers", err, d)
			}
			if ok, _ := filepath.Match(filepath.Join(dir, damaged.pattern), d.File); !ok {
				t.Errorf("the damage is said to be in %s", d.File)
			}
			wrong := ask
			wrong.JoinToken = "guess"
			_, err = Refill(t.Context(), wrong)
			isFault(t, err, kit.ErrUnauthenticated, "the join token is wrong")

			aside, err := Refill(t.Context(), ask)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(aside, "node.json")); err != nil {
				t.Errorf("the damaged log is not kept: %v", err)
			}
			back := start(t, dir, nil)
			<-back.Ready()
			if c, _ := back.count(); c != 100 || back.ID() == nodes[2].ID() {
				t.Errorf("the refilled node %s has %d values, want 100 and another id than %s", back.ID(), c, nodes[2].ID())
			}
		})
	}
}

func TestADamagedNodeWithoutPeersIsNotRefilled(t *testing.T) {
	dir := soundDirectory(t)
	edit(t, dir, "log/*.wal", func(b []byte) []byte {
		b[strings.Index(string(b), "value50")] ^= 1
		return b
	})
	_, err := Refill(context.Background(), Config{Dir: dir, JoinToken: token, Logger: quiet(t)})
	isFault(t, err, kit.ErrInvalid, "no other member is known", "restore a backup")
	_, err = Refill(context.Background(), Config{Dir: filepath.Join(dir, "nothing"), JoinToken: token})
	isFault(t, err, kit.ErrNotFound, "is no data directory")
}

func TestADamagedNodeIsNotRefilledWhereItsVoteIsNeeded(t *testing.T) {
	first := leaderOf(t, start(t, t.TempDir(), nil))
	second := start(t, t.TempDir(), nil, first)
	votes(t, first, 2)
	writeTo(t, []*running{first, second}, "key", "value50")
	dir := second.config.Dir
	second.stop()
	edit(t, dir, "log/*.wal", func(b []byte) []byte {
		b[strings.Index(string(b), "value50")] ^= 1
		return b
	})
	_, err := Refill(t.Context(), Config{Dir: dir, JoinToken: token, Logger: quiet(t)})
	isFault(t, err, kit.ErrConflict, "has no majority", "restore a backup")
	if _, err := os.Stat(filepath.Join(dir, "node.json")); err != nil {
		t.Errorf("a refused refill has moved the directory: %v", err)
	}
}
