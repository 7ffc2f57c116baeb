package main

import (
	"context"
	"path/filepath"
	"strconv"
	"time"
)

// What is demanded of one node.
const (
	wantReads     = 2_000_000 // a second, in the process
	wantBytes     = 100       // of memory for a document, beyond its own
	wantRestart   = 1_000_000 // documents a second
	wantFilter    = 1         // ms
	wantPause     = 50        // ms
	wantWatchers  = 10        // s
	fewDocuments  = 100_000
	documentBytes = 200
)

// held is what kitload hold prints.
type held struct {
	Heap, Resident, Pause, Typical, Collection, Client, Store, List, Restored, Filled float64
}

// hold has kitload hold documents in a process of its own and measure that.
func (m *measurement) hold(ctx context.Context, program string, documents int, measure string, more ...string) (held, error) {
	var h held
	args := []string{
		"hold", "-documents", strconv.Itoa(documents), "-size", strconv.Itoa(documentBytes),
		"-measure", measure, "-for", m.per.String(),
	}
	_, err := m.result(ctx, &h, program, append(args, more...)...)
	return h, err
}

// measureReads measures reads inside of the process.
func measureReads(ctx context.Context, m *measurement, program string) error {
	documents := m.documents / 10
	h, err := m.hold(ctx, program, documents, "reads,restore")
	if err != nil {
		return err
	}
	m.bar("reads-in-process", "eventual reads a second by a service's client, "+count(documents)+" documents", h.Client, wantReads, atLeast(1))
	m.tell("the same by the store itself, without the client and its checks: %s a second", figure(h.Store))
	m.tell("a snapshot of them is read at %s documents a second", figure(h.Restored))
	return nil
}

// measureHeld measures what documents cost while they are only held.
func measureHeld(ctx context.Context, m *measurement, program string) error {
	many, few, err := m.holdBoth(ctx, program, m.documents)
	if err != nil {
		return err
	}
	m.bar("memory-per-document", "bytes in the heap beyond a document's own, "+count(m.documents)+" documents of 200 bytes", many.Heap-documentBytes, wantBytes, atMost(1))
	m.tell("resident bytes of a document beyond its own: %s; made at %s a second", figure(many.Resident-documentBytes), figure(float64(m.documents)/many.Filled))
	m.bar("gc-pause", "ms, the longest pause of 20 collections, taken in turn with that with 100 thousand documents", many.Pause, few.Pause, atMost(1.5))
	m.tell("half of all pauses are at most %s ms, with 100 thousand documents %s ms", figure(many.Typical), figure(few.Typical))
	m.tell("a whole collection, which runs beside the program: %s ms, with 100 thousand documents %s ms", figure(many.Collection), figure(few.Collection))
	return nil
}

// measureIndex measures a filter over a declared index.
func measureIndex(ctx context.Context, m *measurement, program string) error {
	h, err := m.hold(ctx, program, m.documents, "memory,list", "-indexed")
	if err != nil {
		return err
	}
	m.bar("index-filter", "ms, a filter over an index that passes 100 of "+count(m.documents), h.List, wantFilter, atMost(1))
	m.tell("bytes in the heap beyond a document's own, with the index: %s", figure(h.Heap-documentBytes))
	return nil
}

// measureRestart measures a restart of a node with its data directory.
func measureRestart(ctx context.Context, m *measurement, program string) error {
	documents := m.documents / 5
	n, err := startNodes(ctx, m, "restarted", program, 1)
	if err != nil {
		return err
	}
	defer n.stop()
	empty, err := n.restart(ctx, m)
	if err != nil {
		return err
	}
	if err := n.run(ctx, m, nil, "fill", n.urls, "-keys", strconv.Itoa(documents), "-size", strconv.Itoa(documentBytes)); err != nil {
		return err
	}
	full, err := n.restart(ctx, m)
	if err != nil {
		return err
	}
	m.bar("restart", "documents a second, "+count(documents)+" documents of 200 bytes", float64(documents)/(full-empty).Seconds(), wantRestart, atLeast(1))
	m.tell("from the start of that process until it serves: %s s, of which an empty node takes %s s for its election", figure(full.Seconds()), figure(empty.Seconds()))
	return nil
}

// restart stops the node and returns the time until it serves again.
func (n *nodes) restart(ctx context.Context, m *measurement) (time.Duration, error) {
	n.stop()
	began := time.Now()
	err := n.startNode(ctx, m, 0)
	return time.Since(began), err
}

// measurePause measures how long a client's write waits while snapshots are
// made.
func measurePause(ctx context.Context, m *measurement, program string) error {
	documents := m.documents / 5
	n, err := startNodes(ctx, m, "paused", program, 1)
	if err != nil {
		return err
	}
	defer n.stop()
	of := []string{"-keys", strconv.Itoa(documents), "-size", strconv.Itoa(documentBytes)}
	if err := n.run(ctx, m, nil, "fill", n.urls, of...); err != nil {
		return err
	}
	n.flags = []string{"-snapshot-every", "1", "-snapshot-in", "3s"} // each is 3 to 6 s after the one before
	if _, err := n.restart(ctx, m); err != nil {
		return err
	}
	var p struct{ Snapshots, During, Longest, Between, Took float64 }
	if err := n.run(ctx, m, &p, "pause", n.urls, append(of, "-data", filepath.Join(m.dir, "paused1"))...); err != nil {
		return err
	}
	m.bar("snapshot-pause", "ms, the longest write of a client while a snapshot of "+count(documents)+" documents is made, the median over the snapshots", p.During, wantPause, atMost(1))
	m.tell("%s snapshots took %s ms each; the longest write while any of them was made: %s ms, between them: %s ms", figure(p.Snapshots), figure(p.Took), figure(p.Longest), figure(p.Between))
	return nil
}

// measureWatchers measures how soon many watchers learn of a change.
func measureWatchers(ctx context.Context, m *measurement, program string) error {
	n, err := startNodes(ctx, m, "watched", program, 1)
	if err != nil {
		return err
	}
	defer n.stop()
	var w struct{ Opened, Told float64 }
	if err := n.run(ctx, m, &w, "watch", n.urls, "-watchers", strconv.Itoa(m.watchers)); err != nil {
		return err
	}
	m.bar("watchers", "s until "+count(m.watchers)+" watchers over HTTP have a change", w.Told, wantWatchers, atMost(1))
	m.tell("the watches were opened within %s s, one connection each", figure(w.Opened))
	return nil
}

// count writes n as people say it.
func count(n int) string {
	switch {
	case n >= 1_000_000 && n%1_000_000 == 0:
		return strconv.Itoa(n/1_000_000) + " million"
	case n >= 10_000 && n%1000 == 0:
		return strconv.Itoa(n/1000) + " thousand"
	}
	return strconv.Itoa(n)
}
