package platform

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"landfall.dev/kit"
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
		outcomes[i] = cluster.Outcome{Value: r.Records, Err: r.Err}
	}
	return entry, outcomes
}

func (m machine) Apply(entry []byte) error  { return m.store.Apply(entry) }
func (m machine) Snapshot() io.WriterTo     { return m.store.Snapshot() }
func (m machine) Restore(r io.Reader) error { return m.store.Restore(r) }

// memberRef is the member of the cluster, which is there only once it is
// open. It implements rest.Node.
type memberRef struct{ p atomic.Pointer[cluster.Node] }

func (m *memberRef) set(n *cluster.Node) { m.p.Store(n) }

var errStarting = &kit.Error{Fault: kit.ErrUnavailable, Detail: "the node is starting", Hint: "try again in a moment"}

func (m *memberRef) Write(ctx context.Context, p store.Proposal) ([]kit.Record, error) {
	n := m.p.Load()
	if n == nil {
		return nil, errStarting
	}
	v, err := n.Write(ctx, p)
	records, _ := v.([]kit.Record)
	return records, err
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

// joinService answers nodes that want to join, which have no token of their
// own yet but the cluster's.
func joinService(n *Node) kit.Service {
	join := kit.Handler(func(w http.ResponseWriter, r *http.Request) error {
		member := n.member.p.Load()
		if member == nil {
			return errStarting
		}
		member.JoinHandler().ServeHTTP(w, r)
		return nil
	})
	return kit.Service{Name: "cluster", Serves: []kit.Route{
		{Pattern: "POST " + cluster.JoinPath, Handler: join, Self: true},
	}}
}
