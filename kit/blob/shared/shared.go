// Package shared keeps the blobs that a platform's documents name, by digest,
// at the nodes of its cluster.
//
// Each node has those that it holds in a directory of its own, whose size is
// bounded. A blob is put at any node; it is acknowledged when a majority of the
// voters, the leader among them, has it on its disk. The other voters get it
// right after that, and any node takes it from another one when it is asked for
// it. Nothing is ever seen of a blob before its last byte is there and its
// digest is right.
//
//	Put → own disk → offered to the other voters → a majority has it → acknowledged
//	Open → own disk, or fetched from another node, checked, kept
//
// Documents name blobs in fields of type kit.Digest, which are found by
// reflection. At its start, when the voters have changed, and every few minutes
// each node goes through them (see Run): a voter fetches what it lacks, so that a
// new one in the place of a dead one gets what documents name; what no document
// has named for Config.Unnamed is removed. The age of a blob's file says when it
// was last put, asked for by Has, or seen to be named. Earlier versions of a
// document name nothing.
package shared

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"landfall.dev/kit"
)

// Node is a node of the cluster, as this one sees it.
type Node struct {
	ID, URL              string
	Voter, Leader, Alive bool
}

// Cluster is what the blobs need of the cluster that the node is in. Its methods
// may be called concurrently.
type Cluster interface {
	// Nodes returns all nodes, and the id of this one; none while it starts.
	Nodes() (nodes []Node, self string)
	// CatchUp returns when this node has applied all that was committed before.
	CatchUp(ctx context.Context) error
	// Named returns the digests that the documents of this node name. Complete
	// tells that there are no others: then what is not among them may go.
	Named() (named map[kit.Digest]bool, complete bool, err error)
}

// Config says where blobs are kept, and how many.
type Config struct {
	// Dir is the directory, which is made and which the process has to itself.
	Dir string
	// Limit is how many bytes of blobs this node keeps at most.
	Limit int64
	// Unnamed is how long a blob is kept that no document names; 0 means a day.
	Unnamed time.Duration
	// Cluster is the one that the node is in, Secret what its nodes know each
	// other by, and Transport carries the requests to them.
	Cluster   Cluster
	Secret    string
	Transport http.RoundTripper
	Logger    *slog.Logger
}

// Blobs are the blobs of a cluster, at one of its nodes. They implement
// kit.SharedBlobs.
type Blobs struct {
	config Config
	shelf  *shelf
	peers  *peers
	offers chan offer // to Run
	// patience is how long a put waits for enough voters.
	patience time.Duration

	mu       sync.Mutex
	fetching map[kit.Digest]chan struct{} // closed when the fetch has ended
}

var _ kit.SharedBlobs = (*Blobs)(nil)

// Open returns the blobs in the directory of c. Nothing is put before Run.
func Open(c Config) (*Blobs, error) {
	if c.Unnamed == 0 {
		c.Unnamed = 24 * time.Hour
	}
	s, err := openShelf(c.Dir, c.Limit)
	if err != nil {
		return nil, err
	}
	return &Blobs{
		config: c, shelf: s, peers: newPeers(c.Transport, c.Secret),
		offers: make(chan offer), patience: patience, fetching: map[kit.Digest]chan struct{}{},
	}, nil
}

// Used returns how many bytes the blobs at this node take.
func (b *Blobs) Used() int64 { return b.shelf.size() }

// Held tells whether this node has the blob.
func (b *Blobs) Held(d kit.Digest) bool { return b.shelf.has(d) }

// Arrived returns what this node has got since the cursor, which a call before
// has returned, or the first thousands of that, and the cursor for the next
// call. With any other cursor it begins with all that the node has. When it
// returns nothing, that was all.
func (b *Blobs) Arrived(cursor string) (digests []kit.Digest, next string) {
	return b.shelf.arrived(cursor)
}

// Put implements kit.SharedBlobs.
func (b *Blobs) Put(ctx context.Context, r io.Reader, want kit.Digest) (kit.Digest, int64, error) {
	d, n, err := b.shelf.Put(ctx, r, want)
	if err == nil {
		err = b.spread(ctx, d)
	}
	if err != nil {
		return "", 0, err
	}
	return d, n, nil
}

// Open implements kit.SharedBlobs.
func (b *Blobs) Open(ctx context.Context, d kit.Digest) (kit.Blob, error) {
	blob, err := b.shelf.Open(ctx, d)
	if !errors.Is(err, kit.ErrNotFound) {
		return blob, err
	}
	if err := b.fetch(ctx, d); err != nil {
		return nil, err
	}
	return b.shelf.Open(ctx, d)
}

// Has implements kit.SharedBlobs.
func (b *Blobs) Has(ctx context.Context, d kit.Digest) (bool, error) {
	if err := d.Check(); err != nil {
		return false, err
	}
	err := b.shelf.touch(d)
	if errors.Is(err, kit.ErrNotFound) {
		err = b.fetch(ctx, d)
	}
	if errors.Is(err, kit.ErrNotFound) {
		return false, nil
	}
	if err == nil {
		err = b.spread(ctx, d)
	}
	return err == nil, err
}

// offer asks a node to hold a blob that this one has.
type offer struct {
	to     Node
	digest kit.Digest
	done   chan<- offered // has room
}

// offered is what has become of an offer.
type offered struct {
	to  Node
	err error
}

const (
	patience = 3 * time.Second
	again    = 100 * time.Millisecond
)

// spread returns when a majority of the voters has the blob, which this node
// has, and the leader among them. The others go on getting it. Where too few
// answer it tries again for a while: there may just be another leader.
func (b *Blobs) spread(ctx context.Context, d kit.Digest) error {
	for until := time.Now().Add(b.patience); ; {
		err := b.spreadOnce(ctx, d)
		if !errors.Is(err, kit.ErrUnavailable) || time.Now().After(until) {
			return err
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (b *Blobs) spreadOnce(ctx context.Context, d kit.Digest) error {
	nodes, self := b.config.Cluster.Nodes()
	done := make(chan offered, len(nodes))
	voters, held, asked, leader := 0, 0, 0, true
	for _, n := range nodes {
		if !n.Voter {
			continue
		}
		voters++
		if n.ID == self {
			held++
			continue
		}
		asked++
		leader = leader && !n.Leader
		select {
		case b.offers <- offer{n, d, done}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if voters == 0 {
		return &kit.Error{Fault: kit.ErrUnavailable, Detail: "the node is starting", Hint: "try again in a moment"}
	}
	var last error
	for ; held <= voters/2 || !leader; asked-- {
		if asked == 0 {
			return short(voters, held, last)
		}
		select {
		case o := <-done:
			if o.err != nil {
				last = fmt.Errorf("%s: %w", o.to.URL, o.err)
				continue
			}
			held++
			leader = leader || o.to.Leader
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// short is the error of a blob that too few hold.
func short(voters, held int, last error) error {
	fault := kit.ErrUnavailable
	if errors.Is(last, kit.ErrFull) {
		fault = kit.ErrFull
	}
	return &kit.Error{
		Fault:  fault,
		Detail: fmt.Sprintf("%d of %d voters hold the blob: it takes %d, and the leader", held, voters, voters/2+1),
		Hint:   "put it again when more of them answer and have room", Err: last,
	}
}

// fetch takes the blob from another node. Those who ask for the same wait for
// the one who is at it.
func (b *Blobs) fetch(ctx context.Context, d kit.Digest) error {
	for {
		b.mu.Lock()
		other, busy := b.fetching[d]
		if !busy {
			b.fetching[d] = make(chan struct{})
		}
		b.mu.Unlock()
		if !busy {
			break
		}
		select {
		case <-other:
			if b.shelf.has(d) {
				return nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		close(b.fetching[d])
		delete(b.fetching, d)
	}()
	if b.shelf.has(d) {
		return nil
	}
	return b.fetchOnce(ctx, d)
}

// fetchOnce asks one node after the other.
func (b *Blobs) fetchOnce(ctx context.Context, d kit.Digest) error {
	nodes, self := b.config.Cluster.Nodes()
	var last error
	for _, n := range nodes {
		if n.ID == self || n.URL == "" {
			continue
		}
		err := b.peers.get(ctx, n, d, b.shelf)
		if err == nil || ctx.Err() != nil || errors.Is(err, kit.ErrFull) {
			return err
		}
		if !errors.Is(err, kit.ErrNotFound) {
			last = errors.Join(last, fmt.Errorf("%s: %w", n.URL, err))
		}
	}
	if last != nil || len(nodes) == 0 {
		return &kit.Error{
			Fault: kit.ErrUnavailable, Detail: "no node that answers has the blob " + string(d),
			Hint: "try again when all of them answer", Err: last,
		}
	}
	return kit.Errorf(kit.ErrNotFound, "", "there is no blob %s", d)
}

// Run carries the offers of puts out and tends the blobs until ctx ends. It
// returns once all that it started has stopped.
func (b *Blobs) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		for {
			select {
			case o := <-b.offers:
				g.Go(func() error {
					o.done <- offered{o.to, b.peers.offer(ctx, o.to, o.digest, b.shelf)}
					return nil
				})
			case <-ctx.Done():
				return nil
			}
		}
	})
	g.Go(func() error { return b.tend(ctx) })
	return g.Wait()
}
