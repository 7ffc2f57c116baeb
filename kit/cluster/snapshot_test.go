package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
)

// halfway is a state whose writing waits in the middle until it is released.
type halfway struct {
	io.WriterTo
	reached, release chan struct{}
}

func (h halfway) WriteTo(w io.Writer) (int64, error) {
	return h.WriterTo.WriteTo(&pausing{Writer: w, at: h})
}

// pausing is where it waits.
type pausing struct {
	io.Writer
	at      halfway
	written int
}

// beforePause is how many bytes of a snapshot are written before the pause.
const beforePause = 4 << 20

func (p *pausing) Write(b []byte) (int, error) {
	before := p.written
	p.written += len(b)
	if before < beforePause && p.written >= beforePause {
		close(p.at.reached)
		<-p.at.release
	}
	return p.Writer.Write(b)
}

// pausedDocuments are documents whose next snapshot pauses.
type pausedDocuments struct {
	documents
	halfway halfway
}

func (d pausedDocuments) Snapshot() io.WriterTo {
	d.halfway.WriterTo = d.documents.Snapshot()
	return d.halfway
}

// creates returns a proposal to create n documents named after first.
func creates(first string, n int) store.Proposal {
	var p store.Proposal
	for i := range n {
		p.Writes = append(p.Writes, kit.Write{
			Verb: kit.VerbCreate, Link: kit.NewLink("notes", fmt.Sprint(first, "-", i)),
			Body: json.RawMessage(`{"text":"some words to be kept in a snapshot"}`),
		})
	}
	return p
}

func TestWritesGoOnWhileASnapshotOfManyDocumentsIsWritten(t *testing.T) {
	const many, together, later = 200_000, 1000, 100
	kinds := store.NewKinds(kit.Own(noteKind, nil))
	m := pausedDocuments{documents{store.New(kinds)}, halfway{reached: make(chan struct{}), release: make(chan struct{})}}
	n, err := open(t, t.TempDir(), m, func(c *Config) { c.SnapshotBytes = 1 << 40 })
	if err != nil {
		t.Fatal(err)
	}
	leaderOf(t, n)
	var g sync.WaitGroup
	for i := range many / together {
		g.Go(func() { mustWrite(t, n, creates(fmt.Sprint(i), together)) })
	}
	g.Wait()
	taken := make(chan error, 1)
	go func() { taken <- n.raft.Snapshot().Error() }()
	select {
	case <-m.halfway.reached:
	case err := <-taken:
		t.Fatalf("the snapshot ended (%v) before %d bytes", err, beforePause)
	}
	for i := range later { // none of these could end if the snapshot held them up
		mustWrite(t, n, creates(fmt.Sprint("later", i), 1))
		mustWrite(t, n, store.Proposal{Writes: []kit.Write{{
			Verb: kit.VerbDelete, Link: kit.NewLink("notes", fmt.Sprint(i, "-", together-1)),
		}}})
	}
	select {
	case err := <-taken:
		t.Fatalf("the snapshot ended (%v) before the writes", err)
	default:
	}
	close(m.halfway.release)
	if err := <-taken; err != nil {
		t.Fatal(err)
	}

	metas, err := n.storage.Snaps.List()
	if err != nil || len(metas) != 1 {
		t.Fatalf("there are %d snapshots (%v), want 1", len(metas), err)
	}
	_, in, err := n.storage.Snaps.Open(metas[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	read := documents{store.New(kinds)}
	if err := (&replica{machine: read}).Restore(in); err != nil {
		t.Fatal(err)
	}
	if read.Count("notes") != many {
		t.Errorf("the snapshot has %d documents, want the %d from before it", read.Count("notes"), many)
	}
	if _, err := read.Read(kit.NewLink("notes", fmt.Sprint(0, "-", together-1))); err != nil {
		t.Errorf("the snapshot lacks a document that was deleted after it: %v", err)
	}
}

// mustWrite writes p.
func mustWrite(t *testing.T, n *running, p store.Proposal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	value, err := n.Write(ctx, p)
	if err != nil {
		t.Error(err)
	} else if len(value.([]kit.Record)) != len(p.Writes) {
		t.Errorf("%d writes made %d documents", len(p.Writes), len(value.([]kit.Record)))
	}
}

// TestLargeEntriesAreReplacedByASnapshot writes few entries with many bytes.
func TestLargeEntriesAreReplacedByASnapshot(t *testing.T) {
	const together = 500
	kinds := store.NewKinds(kit.Own(noteKind, nil))
	dir := t.TempDir()
	m := documents{store.New(kinds)}
	n, err := open(t, dir, m, func(c *Config) { c.SnapshotBytes = 256 << 10 })
	if err != nil {
		t.Fatal(err)
	}
	leaderOf(t, n)
	snapshots := func() int {
		metas, err := n.storage.Snaps.List()
		if err != nil {
			t.Fatal(err)
		}
		return len(metas)
	}
	mustWrite(t, n, creates("small", 1))
	if got := n.replica.grown.Load(); got <= 0 || snapshots() != 0 {
		t.Errorf("after a small entry the log has grown by %d bytes, and there are %d snapshots; want some and none", got, snapshots())
	}
	written := 1
	for i := 0; n.replica.kept.Load() == 0; i++ {
		if i == 400 {
			t.Fatal("200,000 documents have made no snapshot")
		}
		mustWrite(t, n, creates(fmt.Sprint(i), together))
		written += together
	}
	if snapshots() == 0 {
		t.Error("there is no snapshot")
	}
	n.stop()
	again := documents{store.New(kinds)}
	if n, err = open(t, dir, again, nil); err != nil {
		t.Fatal(err)
	}
	leaderOf(t, n)
	if again.Count("notes") != written {
		t.Errorf("after another start there are %d documents, want %d", again.Count("notes"), written)
	}
}
