package migrate

import (
	"context"
	"net/http"
	"net/url"
	"sync/atomic"

	"landfall.dev/kit"
	"landfall.dev/kit/blob/shared"
	"landfall.dev/kit/migrate/blobs"
	"landfall.dev/kit/migrate/door"
	"landfall.dev/kit/migrate/pace"
	"landfall.dev/kit/migrate/room"
	"landfall.dev/kit/store"
)

// Node is the member of a cluster that the service speaks for; it is that of
// rest. Its methods may be called concurrently.
type Node interface {
	// Write has the leader decide on p and returns when the result is applied
	// here.
	Write(ctx context.Context, p store.Proposal) ([]kit.Record, error)
	// Leader returns the address of the leader, empty if there is none, and
	// whether this node is the leader.
	Leader() (url string, self bool)
	// Barrier returns when this node is known to have led after the call, and
	// to have applied all that was committed before it.
	Barrier(ctx context.Context) error
}

// The paths of the service.
const (
	statusPath       = "/migrate/status"
	exportPath       = "/migrate/export"
	sumsPath         = "/migrate/sums"
	quarantinePath   = "/migrate/quarantine"
	irreversiblePath = "/migrate/irreversible"
	retryPath        = "/migrate/retry"
	waivePath        = "/migrate/waive"
	repairPath       = "/migrate/repair"
	fencePath        = "/migrate/fence"
	pullPath         = "/migrate/pull"
	pacePath         = "/migrate/pace"
)

// service is one node's side of migrations.
type service struct {
	node    Node
	store   *store.Store
	kinds   *store.Kinds
	blobs   *shared.Blobs             // nil if the platform keeps none
	pulling chan struct{}             // of capacity 1: full while a pull runs
	pace    atomic.Pointer[pace.Pace] // of that pull
	arrived string                    // the cursor of the last pull in the source's blobs; who pulls has it
}

// Service declares the endpoints of migrations on a node, whose blobs are nil if
// it keeps none. Who knows the cluster's token may use them; with an empty one
// nobody may.
func Service(n Node, s *store.Store, kinds *store.Kinds, own *shared.Blobs, clusterToken string) kit.Service {
	v := &service{node: n, store: s, kinds: kinds, blobs: own, pulling: make(chan struct{}, 1)}
	route := door.New(clusterToken).Route
	return kit.Service{Name: "migrate", Serves: []kit.Route{
		route("GET "+statusPath, v.serveStatus),
		route("GET "+exportPath, v.serveExport),
		route("GET "+sumsPath, v.serveSums),
		route("GET "+quarantinePath, v.serveQuarantine),
		route("POST "+fencePath, v.serveFence),
		route("GET "+irreversiblePath, v.serveIrreversible),
		route("POST "+pacePath, v.servePace),
		route("POST "+pullPath, v.pulls((*cycle).pull)),
		route("POST "+retryPath, v.pulls((*cycle).retryAll)),
		route("POST "+repairPath, v.pulls((*cycle).repair)),
		route("POST "+waivePath, v.serveWaive),
		route("GET "+blobs.Path, v.serveBlobs),
		route("GET "+blobs.Path+"/{digest}", v.serveBlobs),
	}}
}

var errNoLeader = &kit.Error{Fault: kit.ErrUnavailable, Detail: "the cluster has no leader now", Hint: "try again in a moment"}

// lead returns nil if this node leads and sees all that is committed.
func (s *service) lead(ctx context.Context) error {
	switch leader, self := s.node.Leader(); {
	case self:
		return s.node.Barrier(ctx)
	case leader == "":
		return errNoLeader
	default:
		return door.Elsewhere(leader)
	}
}

// serveBlobs serves the blobs; what the leader has got is what was put.
func (s *service) serveBlobs(w http.ResponseWriter, r *http.Request) error {
	if err := s.lead(r.Context()); err != nil {
		return err
	}
	return blobs.Serve(w, r, s.blobs)
}

// Status tells how a cluster stands.
type Status struct {
	// Position is the place in the log up to which the leader has applied it.
	Position string `json:"position"`
	// Since is the position from which on deletions are remembered.
	Since string `json:"since,omitempty"`
	// Documents is the number of documents that an export has.
	Documents int64 `json:"documents"`
	// Fenced tells that clients' writes are refused, Epoch who has said so last.
	Fenced bool  `json:"fenced"`
	Epoch  int64 `json:"epoch"`
	// Schemas and Counts are the exported kinds with their schemas, and the
	// numbers of their documents.
	Schemas map[string]int   `json:"schemas"`
	Counts  map[string]int64 `json:"counts"`
	// Closed tells that clients' reads are refused, too.
	Closed bool `json:"closed,omitempty"`
	// Room is what the node takes of the machine.
	Room room.Room `json:"room"`
	// Left is how many documents changed after the position that was asked for.
	Left int64 `json:"left,omitempty"`
	// Cursor is how far this cluster has pulled, nil if it never did.
	Cursor *CursorStatus `json:"cursor,omitempty"`
}

// CursorStatus is how far a cluster has pulled.
type CursorStatus struct {
	// Position is one of the source.
	Position string `json:"position"`
	// Filled tells that a cycle was completed: nothing older is missing.
	Filled bool `json:"filled"`
	// Quarantined is how many documents could not be transformed and are not
	// waived.
	Quarantined int `json:"quarantined"`
}

func (s *service) serveStatus(w http.ResponseWriter, r *http.Request) error {
	if err := s.lead(r.Context()); err != nil {
		return err
	}
	after, err := parsePosition(r.URL.Query(), "after")
	if err != nil {
		return err
	}
	status, err := s.status()
	if err != nil {
		return err
	}
	if r.URL.Query().Has("after") {
		if status.Left, err = s.left(after); err != nil {
			return err
		}
	}
	return door.Answer(w, status)
}

func (s *service) status() (Status, error) {
	status := Status{Position: s.store.Position().String(), Since: s.store.Snapshot().Since().String()}
	fence := s.store.Fence()
	status.Epoch, status.Fenced, status.Closed = fence.Epoch, fence.On, fence.Closed
	status.Room = room.Of(s.node)
	status.Schemas, status.Counts = s.exported()
	for _, n := range status.Counts {
		status.Documents += n
	}
	p, at, err := s.progress(forth)
	if err != nil || at == "" {
		return status, err
	}
	q, err := s.quarantine(forth, p)
	if err != nil {
		return status, err
	}
	status.Cursor = &CursorStatus{Position: at, Filled: !p.Filling, Quarantined: len(q.blocking())}
	return status, nil
}

// exported returns the schemas and the numbers of documents of the kinds that
// are not Local.
func (s *service) exported() (schemas map[string]int, counts map[string]int64) {
	schemas, counts = map[string]int{}, map[string]int64{}
	for _, name := range s.kinds.Names() {
		if k, ok := s.kinds.Find(name); ok && !k.Local {
			schemas[name] = k.Schema
			counts[name] = int64(s.store.Count(name))
		}
	}
	return schemas, counts
}

// left counts the exported documents that changed after the position.
func (s *service) left(after kit.Position) (int64, error) {
	frames, err := s.store.Snapshot().Frames(after, kit.Position{})
	if err != nil {
		return 0, err
	}
	schemas, _ := s.exported()
	var n int64
	for f := range frames {
		if schemas[f.Record.Kind] > 0 {
			n++
		}
	}
	return n, nil
}

// parsePosition returns the position in q under the name, zero if there is
// none.
func parsePosition(q url.Values, name string) (kit.Position, error) {
	if !q.Has(name) {
		return kit.Position{}, nil
	}
	return kit.ParsePosition(q.Get(name))
}

func (s *service) serveFence(w http.ResponseWriter, r *http.Request) error {
	if err := s.lead(r.Context()); err != nil {
		return err
	}
	var f store.Fence
	if err := door.Decode(r, &f); err != nil {
		return err
	}
	if f.Epoch < 1 {
		return kit.Errorf(kit.ErrInvalid, "", "a fence needs the epoch of the upgrade, 1 or more, not %d", f.Epoch)
	}
	if _, err := s.node.Write(r.Context(), store.Proposal{Fence: &f}); err != nil {
		return err
	}
	status, err := s.status()
	if err != nil {
		return err
	}
	return door.Answer(w, status)
}
