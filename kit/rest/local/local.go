// Package local does what requests for documents ask of one node, whichever way
// they have come: over HTTP, which package rest reads and answers, or from a
// Client in the process, which there is no HTTP for.
//
// It checks the requests themselves and what the caller may do, reads the store,
// and has the cluster write. It never speaks to another node.
package local

import (
	"context"
	"log/slog"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/access"
	"landfall.dev/kit/rest/stats"
	"landfall.dev/kit/rest/tracing"
	"landfall.dev/kit/store"
)

// Node is the member of a cluster that a Server is at. Its methods may be called
// concurrently.
type Node interface {
	// Write has the leader decide on p and returns when the result is applied
	// here. ErrUnavailable means that nothing was changed; where that is not
	// known it is ErrTimeout.
	Write(ctx context.Context, p store.Proposal) ([]kit.Record, error)
	// Leader returns the address of the leader's Server, empty if there is none,
	// and whether this node is the leader.
	Leader() (url string, self bool)
	// Barrier returns when this node is known to have led after the call, and
	// to have applied all that was committed before it.
	Barrier(ctx context.Context) error
	// CatchUp returns when this node, wherever the leader is, has applied all
	// that was committed before the call. Those who wait share one look at the
	// leader, however many they are.
	CatchUp(ctx context.Context) error
}

// Server performs requests. Its methods may be called concurrently, once its
// fields and Absent are set.
type Server struct {
	Store  *store.Store
	Kinds  *store.Kinds
	Policy *access.Policy
	Tracer *tracing.Tracer
	Log    *slog.Logger
	// Node returns the node that the Server is at, nil if there is none yet.
	Node func() Node
	// Requests counts the requests of Clients that are for this node.
	Requests *stats.Requests
	// Ended is told how they have ended, those for documents that have succeeded
	// in reading them not: there are many, and nothing is to be said of them.
	Ended func(ctx context.Context, req Request, end End)

	absent map[string]string // the service that a kind is missing without
}

// End is how a request has ended.
type End struct {
	Status  int    // HTTP's
	Subject string // who made the request, once that is known
	Err     error  // nil if it has succeeded
}

// Absent makes the server say, to who asks for one of the kinds, that it runs
// without the service that has them.
func (s *Server) Absent(service string, kinds ...string) {
	if s.absent == nil {
		s.absent = map[string]string{}
	}
	for _, k := range kinds {
		s.absent[k] = service
	}
}

// Missing returns the error for a kind that is absent.
func (s *Server) Missing(l kit.Link) error {
	service, ok := s.absent[l.Kind()]
	if !ok {
		return nil
	}
	return &kit.Error{Fault: kit.ErrNotFound, Link: l, Detail: "this server runs without " + service, Hint: "start it with " + service + " among its capabilities"}
}
