package platform

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync/atomic"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/blob/shared"
	"landfall.dev/kit/cluster"
	"landfall.dev/kit/store"
)

// machine lets a cluster replicate a store.
type machine struct{ store *store.Store }

func (m machine) Decide(proposals []any, now time.Time) ([]byte, []cluster.Outcome) {
	ps := make([]store.Proposal, len(proposals))
	for i, p := range proposals {
		ps[i] = p.(store.Proposal)
	}
	entry, results := m.store.Decide(ps, now)
	outcomes := make([]cluster.Outcome, len(results))
	for i, r := range results {
		outcomes[i].Err = r.Err
		if r.Records != nil { // an outcome of nothing at all, as of most ticks, costs nothing
			outcomes[i].Value = r.Records
		}
	}
	return entry, outcomes
}

func (m machine) Apply(entry []byte) error  { return m.store.Apply(entry) }
func (m machine) Snapshot() io.WriterTo     { return m.store.Snapshot() }
func (m machine) Restore(r io.Reader) error { return m.store.Restore(r) }

// memberRef is the member of the cluster, which is there only once it is
// open. It implements rest.Node.
type memberRef struct {
	p        atomic.Pointer[cluster.Node]
	dir      string        // where it keeps its files
	prepared atomic.Bool   // see Prepared
	blobs    *shared.Blobs // nil if it keeps none
}

// Prepared tells whether this node, which leads, has seen to it that the cluster
// has what a new one needs: who finds it healthy relies on the fence of one in
// standby, and on the administrator's token.
func (m *memberRef) Prepared() bool { return m.prepared.Load() }

func (m *memberRef) set(n *cluster.Node) { m.p.Store(n) }

var errStarting = &kit.Error{Fault: kit.ErrUnavailable, Detail: "the node is starting", Hint: "try again in a moment"}

func (m *memberRef) Write(ctx context.Context, p store.Proposal) ([]kit.Record, error) {
	n := m.p.Load()
	if n == nil {
		return nil, errStarting
	}
	var v any
	var err error
	switch p.Durability {
	case kit.Quorum:
		v, err = n.Write(ctx, p)
	case kit.All:
		v, err = n.WriteAll(ctx, p)
	case kit.Async:
		return promised(p), n.WriteAsync(ctx, p)
	default:
		return nil, &kit.Error{
			Fault: kit.ErrInvalid, Detail: fmt.Sprintf("there is no durability %q", p.Durability),
			Hint: "use all or async, or leave it out for a majority",
		}
	}
	records, _ := v.([]kit.Record)
	return records, err
}

// promised returns what is known of the records of p before it is decided.
func promised(p store.Proposal) []kit.Record {
	records := make([]kit.Record, len(p.Writes))
	for i, w := range p.Writes {
		if w.Link.ID() != "" {
			records[i].Link, records[i].Kind = w.Link, w.Link.Kind()
		}
	}
	return records
}

// Disk returns how many bytes the member keeps.
func (m *memberRef) Disk() (n int64) {
	_ = filepath.WalkDir(m.dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // a file may go while this looks
		}
		if i, err := e.Info(); err == nil {
			n += i.Size()
		}
		return nil
	})
	if m.blobs != nil {
		n += m.blobs.Used()
	}
	return n
}

func (m *memberRef) Leader() (url string, self bool) {
	n := m.p.Load()
	if n == nil {
		return "", false
	}
	l := n.Leader()
	return l.URL, l.Self
}

func (m *memberRef) Barrier(ctx context.Context) error {
	n := m.p.Load()
	if n == nil {
		return errStarting
	}
	return n.Barrier(ctx)
}

func (m *memberRef) CatchUp(ctx context.Context) error {
	n := m.p.Load()
	if n == nil {
		return errStarting
	}
	return n.CatchUp(ctx)
}
