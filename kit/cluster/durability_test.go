package cluster

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"landfall.dev/kit"
)

func TestAWriteToAllWaitsForEveryMemberThatIsAlive(t *testing.T) {
	nodes := three(t, nil)
	if _, err := nodes[0].WriteAll(t.Context(), put{"a", "1"}); err != nil {
		t.Fatal(err)
	}
	for i, n := range nodes {
		if n.read("a") != "1" {
			t.Errorf("node %d has not applied what was acknowledged by all", i)
		}
	}

	hold := make(chan struct{})
	nodes[2].setHold(hold)
	done := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _, err := nodes[0].WriteAll(ctx, put{"b", "2"}); done <- err }()
	eventually(t, "the others to apply it", func() bool { return nodes[0].read("b") == "2" && nodes[1].read("b") == "2" })
	select {
	case err := <-done:
		t.Errorf("a write to all returned %v while a member had not applied it", err)
	default:
	}
	cancel()
	isFault(t, <-done, kit.ErrTimeout, "durable", nodes[2].ID(), "do not repeat it")
	go func() { _, err := nodes[0].WriteAll(t.Context(), put{"c", "3"}); done <- err }()
	close(hold)
	if err := <-done; err != nil || nodes[2].read("c") != "3" {
		t.Errorf("a write to all got %v, and c is %q there", err, nodes[2].read("c"))
	}

	nodes[2].stop() // who is dead is not waited for
	if _, err := nodes[0].WriteAll(t.Context(), put{"d", "4"}); err != nil {
		t.Errorf("a write to all without a dead member: %v", err)
	}
	_, err := nodes[1].WriteAll(t.Context(), put{"e", "5"})
	isFault(t, err, kit.ErrUnavailable, "does not lead")
}

func TestAnAsyncWriteReturnsOnceItIsQueued(t *testing.T) {
	m := newNotes()
	m.decide = make(chan struct{})
	n, err := open(t, t.TempDir(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	leaderOf(t, n)
	if err := n.WriteAsync(t.Context(), put{"a", "1"}); err != nil { // nobody decides yet
		t.Fatal(err)
	}
	<-m.decide
	m.decide <- struct{}{}
	eventually(t, "the write", func() bool { return n.read("a") == "1" })
	n.stop()
	isFault(t, n.WriteAsync(t.Context(), put{"b", "1"}), kit.ErrUnavailable)
}

func TestAFollowerCatchesUpOnRequest(t *testing.T) {
	nodes := three(t, nil)
	for i := range 20 {
		writeTo(t, nodes, fmt.Sprint(i), "x")
		for _, n := range nodes {
			if err := n.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n.read(fmt.Sprint(i)) != "x" {
				t.Errorf("node %s does not have write %d after it has caught up", n.ID(), i)
			}
		}
	}
}

func TestRelaxedDurabilityIsSaidSo(t *testing.T) {
	var syncs atomic.Int64
	n := leaderOf(t, start(t, t.TempDir(), func(c *Config) {
		c.Relaxed = true
		c.Disk = func(op, _ string) error {
			if op == "sync" {
				syncs.Add(1)
			}
			return nil
		}
	}))
	if _, err := n.Write(t.Context(), put{"a", "1"}); err != nil {
		t.Fatal(err)
	}
	if syncs.Load() > 0 {
		t.Error("a relaxed node synced its log")
	}
	other := start(t, t.TempDir(), nil, n)
	<-other.Ready()
	for _, m := range other.Members() {
		if m.Relaxed != (m.ID == n.ID()) {
			t.Errorf("member %s is relaxed: %v", m.ID, m.Relaxed)
		}
	}
}

// fullDisk is a Config.Disk that can be filled.
type fullDisk struct{ full atomic.Bool }

func (d *fullDisk) before(op, path string) error {
	if d.full.Load() && op != "sync" && strings.HasSuffix(path, ".wal") {
		return fmt.Errorf("%s %s: %w", op, path, syscall.ENOSPC)
	}
	return nil
}

func TestAFullDiskStopsOneNodeAndNotTheOthers(t *testing.T) {
	disks := make([]*fullDisk, 3)
	dir := t.TempDir()
	var nodes []*running
	for i := range disks {
		disks[i] = &fullDisk{}
		nodes = append(nodes, start(t, filepath.Join(dir, fmt.Sprint(i)), func(c *Config) { c.Disk = disks[i].before }, nodes[:min(i, 1)]...))
	}
	votes(t, nodes[0], 3)
	for i := range 20 {
		writeTo(t, nodes, fmt.Sprint("before", i), "x")
	}
	disks[0].full.Store(true) // the leader's
	_, err := nodes[0].Write(t.Context(), put{"during", "x"})
	if f := kit.FaultOf(err); f != kit.ErrTimeout && f != kit.ErrUnavailable {
		t.Errorf("a write on a full disk got %v", err)
	}
	<-nodes[0].done
	isFault(t, nodes[0].err, kit.ErrUnavailable, "the disk of "+nodes[0].config.Dir+" is full", "free space")
	for i := range 20 {
		writeTo(t, nodes[1:], fmt.Sprint("after", i), "x")
	}
	_, err = open(t, nodes[0].config.Dir, newNotes(), func(c *Config) {
		c.Disk = func(op, path string) error {
			if op == "write" {
				return fmt.Errorf("%s %s: %w", op, path, syscall.ENOSPC)
			}
			return nil
		}
	})
	isFault(t, err, kit.ErrUnavailable, "the disk of "+nodes[0].config.Dir+" is full", "free space")
	disks[0].full.Store(false)
	back := start(t, nodes[0].config.Dir, nil)
	<-back.Ready()
	for i := range 20 {
		for _, key := range []string{fmt.Sprint("before", i), fmt.Sprint("after", i)} {
			if back.read(key) != "x" {
				t.Errorf("%s is lost on the node whose disk was full", key)
			}
		}
	}
}
