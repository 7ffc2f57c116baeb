package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/raft"
	"golang.org/x/sync/errgroup"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster/authority"
	"landfall.dev/kit/cluster/disk"
	"landfall.dev/kit/cluster/roster"
	"landfall.dev/kit/cluster/seal"
	"landfall.dev/kit/cluster/warnings"
	"landfall.dev/kit/cluster/wire"
)

// Config says where a node keeps its data and whom it works with.
type Config struct {
	// Dir is the data directory; empty keeps all in memory, for tests.
	Dir string
	// Advertise is the URL at which clients and other nodes reach this one.
	Advertise string
	// Host is the IP address for the traffic between nodes, on two ports that
	// are chosen at the first start; the default is 127.0.0.1.
	Host string
	// Join are URLs of members. At its first start a node joins their cluster;
	// without any it makes one. Later starts ignore them.
	Join []string
	// JoinToken is what a joining node shows and a member asks for; if it is
	// empty, nobody can join through this node.
	JoinToken string
	// Schema is the fingerprint of what the machine's entries mean. A node with
	// another is not let in, nor is a directory opened that has another.
	Schema string
	// Authority, if not empty, is the digest of the authority of the cluster to
	// join: the token is sent to nobody else. It takes URLs with https.
	Authority string
	// Logger takes warnings and the changes of the membership; the default is
	// slog.Default.
	Logger *slog.Logger

	// Voters is how many nodes vote; the rest only follow. The default is 5.
	Voters int
	// Grace is how long a node may be dead before it is removed; the default
	// is 30 seconds. A removed node that comes back joins again by itself.
	Grace time.Duration
	// Heartbeat is how long a follower waits for the leader before it calls an
	// election, and a leader for a majority before it steps down; the default is
	// 500 milliseconds.
	Heartbeat time.Duration
	// SnapshotEvery is after how many entries a snapshot replaces the log; the
	// default is 8192. Half as many entries stay, for nodes that were away.
	SnapshotEvery uint64
	// SnapshotIn is how often the number of entries is looked at; the default is
	// 30 seconds.
	SnapshotIn time.Duration
	// SnapshotBytes, and not less than half of what the last snapshot had, is
	// after how many bytes of entries a snapshot replaces the log, however few
	// they are: a restart applies them one by one, which takes longer than to read
	// a snapshot. While the cluster is filled, by a sixteenth of it in half a second
	// and more, the log may have 6 times as many. The default is 64 MiB.
	SnapshotBytes int64

	// Relaxed acknowledges writes before they are synced to the disk. A power
	// failure of a majority then loses the last ones.
	Relaxed bool
	// Disk, if not nil, is called before each "create", "write" and "sync" of a
	// file of the log. It may take its time, and its error is that of the disk.
	Disk func(op, path string) error
	// Clock tells the wall clock's time; the default is time.Now.
	Clock func() time.Time
}

const (
	maxURL = 300
	tick   = 100 * time.Millisecond // how often members are looked after
	beat   = 500 * time.Millisecond // how often a member is probed
)

func (c Config) withDefaults() (Config, error) {
	c.Host = cmp.Or(c.Host, "127.0.0.1")
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Clock == nil {
		c.Clock = time.Now
	}
	c.Voters = cmp.Or(c.Voters, 5)
	c.Grace = cmp.Or(c.Grace, 30*time.Second)
	c.Heartbeat = cmp.Or(c.Heartbeat, 500*time.Millisecond)
	c.SnapshotEvery = cmp.Or(c.SnapshotEvery, 8192)
	c.SnapshotIn = cmp.Or(c.SnapshotIn, 30*time.Second)
	c.SnapshotBytes = cmp.Or(c.SnapshotBytes, 64<<20)
	if u, err := url.Parse(c.Advertise); err != nil || u.Host == "" || len(c.Advertise) > maxURL {
		return c, kit.Errorf(kit.ErrInvalid, "", "the advertised address %q is no URL like http://127.0.0.1:7700 of at most %d bytes", c.Advertise, maxURL)
	}
	if ip := net.ParseIP(c.Host); ip == nil || ip.IsUnspecified() {
		return c, kit.Errorf(kit.ErrInvalid, "", "the host %q is no IP address at which other nodes can reach this one", c.Host)
	}
	return c, nil
}

// Node is a member of a cluster. Its methods may be called concurrently.
type Node struct {
	config  Config
	log     *slog.Logger
	dir     *disk.Directory
	roster  *roster.Roster
	replica *replica
	storage *disk.Storage

	authority *authority.Authority
	pass      *authority.Pass
	transport *wire.Transport
	raft      *raft.Raft
	votes     atomic.Pointer[raft.Raft] // the same, for other members' questions
	polls     sync.WaitGroup            // of those to other members, see poll
	gossip    *memberlist.Memberlist

	idMu sync.Mutex
	id   disk.Identity

	notify   chan bool       // from raft, whether this node leads; unbuffered
	readers  chan chan bound // of capacity 1 each
	lead     atomic.Pointer[leadership]
	failed   chan struct{} // closed when failure is set
	failOnce sync.Once
	failure  error
	ready    chan struct{}
	closing  chan struct{} // closed when close begins
	stopped  chan struct{} // closed when Run returns
	changing sync.Mutex    // held while this leader changes who is a member
	leaves   atomic.Bool   // while Leave is at work
	// dismissed is set when the cluster has said meanwhile that this node is no
	// member any more.
	dismissed atomic.Bool
	downOnce  sync.Once
	down      raft.Future   // of raft's shutdown
	halted    chan struct{} // closed when that has begun

	leaderMu sync.Mutex
	leader   Leadership
	changed  chan struct{} // leader.Changed
}

// Open opens the data directory, joins or makes a cluster where the directory
// is new, and starts to listen and to vote. A node whose peers cannot be
// reached keeps trying to join until ctx ends. The caller must Run the node,
// if only with a ctx that has ended, for its files to be closed.
func Open(ctx context.Context, config Config, m Machine) (*Node, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	n := &Node{
		config: config, log: config.Logger,
		notify: make(chan bool), readers: make(chan chan bound, maxTogether), failed: make(chan struct{}),
		ready: make(chan struct{}), closing: make(chan struct{}), stopped: make(chan struct{}), changed: make(chan struct{}),
		halted: make(chan struct{}),
	}
	n.leader.Changed = n.changed
	n.replica = &replica{machine: m, fail: n.fail, schema: config.Schema}
	n.roster = roster.New(roster.Config{
		Relaxed: config.Relaxed, Applied: n.replica.applied.Load, Expelled: n.expelled, Doubled: n.doubled,
	})
	n.replica.banished = n.roster.Banish
	if config.Relaxed {
		n.log.Warn("durability is relaxed: writes are acknowledged before they are on the disk; a power failure may lose them")
	}
	n.dir, err = disk.Open(config.Dir)
	if err != nil {
		return nil, err
	}
	for _, stage := range []func(context.Context) error{n.identify, n.certify, n.openStorage, n.startRaft, n.startGossip} {
		if err := stage(ctx); err != nil {
			return nil, errors.Join(n.dir.Explained(err), n.close())
		}
	}
	n.log.Info("opened", "node", n.id.ID, "founder", n.id.Founder, "dir", config.Dir)
	return n, nil
}

// ID returns the node's id, which it keeps for ever.
func (n *Node) ID() string { return n.id.ID }

// Authority returns the cluster's certificate authority.
func (n *Node) Authority() *authority.Authority { return n.authority }

// Certificate returns a certificate of the cluster's authority for this node,
// to serve its advertised address with.
func (n *Node) Certificate() (*tls.Certificate, error) { return n.pass.Certificate() }

// identify finds out who this node is; a new one joins or makes a cluster.
func (n *Node) identify(ctx context.Context) error {
	id, err := n.dir.Identity()
	if err != nil {
		return err
	}
	if id.Left {
		return &kit.Error{
			Fault: kit.ErrConflict, Detail: fmt.Sprintf("the node of %s has left its cluster or was removed from it", n.config.Dir),
			Hint: "use an empty --data and --join to come back",
		}
	}
	switch {
	case id.ID == "":
		id, err = n.beginLife(ctx)
	case len(n.config.Join) > 0:
		err = n.checkCluster(ctx, id)
	}
	if err != nil {
		return err
	}
	if id.Schema != n.config.Schema {
		return &kit.Error{
			Fault: kit.ErrConflict, Detail: fmt.Sprintf("%s holds schema %q, this binary has %q", n.config.Dir, id.Schema, n.config.Schema),
			Hint: "start the binary that wrote it, or upgrade the data first",
		}
	}
	peers, err := n.dir.Peers()
	if err != nil {
		return err
	}
	n.id = id
	n.roster.Add(peers...)
	return nil
}

// beginLife returns the identity of a new node.
func (n *Node) beginLife(ctx context.Context) (disk.Identity, error) {
	id := newIdentity(n.config.Schema)
	if len(n.config.Join) == 0 {
		id = found(id)
		return id, n.dir.Save("node.json", id)
	}
	answer, err := n.join(ctx, id.ID)
	if err != nil {
		return id, err
	}
	id.Key = answer.Key
	n.roster.Add(answer.Peers...)
	if err := n.dir.Save("peers.json", answer.Peers); err != nil {
		return id, err
	}
	return id, n.dir.Save("node.json", id)
}

// newIdentity returns the identity of a node that has none yet.
func newIdentity(schema string) disk.Identity {
	return disk.Identity{ID: "n" + strings.ToLower(rand.Text()[:9]), Schema: schema}
}

// found makes id that of the first node of a new cluster.
func found(id disk.Identity) disk.Identity {
	id.Founder = true
	id.Key = make([]byte, disk.KeySize)
	_, _ = rand.Read(id.Key) // never fails
	return id
}

// Found makes the identity of a new cluster's first node in dir, where there
// is none yet, and returns the authority of the node's cluster: before Open,
// so that others can be told which cluster to join.
func Found(dir, schema string) (*authority.Authority, error) {
	d, err := disk.Open(dir)
	if err != nil {
		return nil, err
	}
	id, err := d.Identity()
	if err == nil && id.ID == "" {
		id = found(newIdentity(schema))
		err = d.Save("node.json", id)
	}
	if err = errors.Join(err, d.Close()); err != nil {
		return nil, err
	}
	return authority.New(id.Key)
}

// certify makes what this node proves its identity with.
func (n *Node) certify(context.Context) error {
	var err error
	if n.authority, err = authority.New(n.id.Key); err != nil {
		return err
	}
	hosts := []string{n.id.ID, n.config.Host, "localhost"}
	if u, err := url.Parse(n.config.Advertise); err == nil {
		hosts = append(hosts, u.Hostname())
	}
	slices.Sort(hosts)
	n.pass = &authority.Pass{Authority: n.authority, ID: n.id.ID, Hosts: slices.Compact(hosts)}
	if at := n.roster.Sight(n.id.ID).Raft; at != "" && wire.Occupied(n.pass, at) {
		return double(n.id.ID, at, n.config.Dir)
	}
	return nil
}

// double says that another process is the node id, too.
func double(id, addr, dir string) error {
	return &kit.Error{
		Fault: kit.ErrConflict, Op: "cluster.open",
		Detail: fmt.Sprintf("node %s of %s is running already at %s: one of the two has a copy of the other's directory", id, dir, addr),
		Hint:   "a directory is for one node: give the new one an empty --data and --join",
	}
}

// doubled stops the node since another one at addr has its id.
func (n *Node) doubled(addr string) { n.fail(double(n.id.ID, addr, n.config.Dir)) }

// recognize tells why the node id may not connect to this one. One that is not
// known here yet may: others can hear of it, or of its election, before.
func (n *Node) recognize(id string) error {
	if n.roster.Expelled(id) {
		return fmt.Errorf("node %s was removed from the cluster", id)
	}
	return nil
}

// setIdentity changes the identity and saves it.
func (n *Node) setIdentity(change func(*disk.Identity)) error {
	n.idMu.Lock()
	defer n.idMu.Unlock()
	change(&n.id)
	return n.dir.Save("node.json", n.id)
}

func (n *Node) openStorage(context.Context) error {
	var err error
	n.storage, err = n.dir.OpenStorage(disk.Options{
		Formed: n.id.Formed, Files: disk.NewFiles(n.config.Relaxed, n.config.Disk),
		Restore: n.replica.begin, Check: seal.Check, Log: warnings.Raft(n.log), Fail: n.fail,
	})
	return err
}

func (n *Node) startRaft(context.Context) error {
	log := warnings.Raft(n.log)
	listener, err := wire.Listen(n.config.Host, n.id.RaftPort)
	if err != nil {
		return err
	}
	n.roster.Be(disk.Peer{ID: n.id.ID, URL: n.config.Advertise, Raft: listener.Addr().String()}, n.id.Starts+1)
	n.transport = wire.New(wire.Config{
		Listener: listener, Pass: n.pass, Locate: n.roster.Locate, Admit: n.recognize, Answer: n.answer, Log: log,
	})
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(n.id.ID)
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = n.config.Heartbeat, n.config.Heartbeat, n.config.Heartbeat
	c.SnapshotThreshold, c.TrailingLogs, c.SnapshotInterval = n.config.SnapshotEvery, n.config.SnapshotEvery/2, n.config.SnapshotIn
	c.NotifyCh = n.notify
	c.Logger = log
	c.ShutdownOnRemove = false
	c.NoLegacyTelemetry = true
	c.NoSnapshotRestoreOnStart = true // openStorage has done that
	if n.id.Founder && !n.id.Formed && !n.id.Restored {
		self := raft.Server{ID: c.LocalID, Address: raft.ServerAddress(n.id.ID)}
		err := raft.BootstrapCluster(c, n.storage.Logs, n.storage.Bare, n.storage.Snaps, n.transport, raft.Configuration{Servers: []raft.Server{self}})
		if err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
			return err
		}
	}
	err = n.setIdentity(func(id *disk.Identity) {
		id.Formed, id.RaftPort = true, wire.Port(listener)
		id.Starts++
	})
	if err != nil {
		return err
	}
	if err := n.makeRaft(c); err != nil {
		return err
	}
	n.votes.Store(n.raft)
	n.transport.Serve(n.raft)
	return nil
}

// makeRaft makes n.raft, in a goroutine of its own: it writes the term first, and
// where that is not possible the goroutine that wants to ends (see package disk).
func (n *Node) makeRaft(c *raft.Config) (err error) {
	made := make(chan struct{})
	go func() {
		defer close(made)
		n.raft, err = raft.NewRaft(c, n.replica, n.storage.Logs, n.storage.Stable, n.storage.Snaps, n.transport)
	}()
	<-made
	if n.raft == nil && err == nil {
		return n.failure
	}
	return err
}

// fail makes Run end with err.
func (n *Node) fail(err error) {
	n.failOnce.Do(func() {
		n.failure = err
		close(n.failed)
	})
}

// Ready is closed once this node has applied all that the leader had applied
// after this node's start: before, it would serve documents that are old.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Run takes part in the cluster until ctx ends or the node cannot go on, and
// returns after everything has stopped and the files are closed. A leader
// first hands over to another voter. It must be called once.
func (n *Node) Run(ctx context.Context) error {
	inner, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	g, inner := errgroup.WithContext(inner)
	g.Go(func() error { return n.followRaft(inner) })
	g.Go(func() error { return n.watchLeader(inner) })
	g.Go(func() error { return n.followReads(inner) })
	g.Go(func() error { return n.tend(inner) })
	g.Go(func() error { return n.mingle(inner) })
	g.Go(func() error { return n.condense(inner) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			n.handOver()
		case <-n.failed:
			n.shutDown() // who waits for an entry need not wait any longer
		case <-inner.Done():
		}
		stop(errStopped)
		return nil
	})
	err := n.dir.Explained(g.Wait())
	err = errors.Join(err, n.close())
	close(n.stopped)
	select {
	case <-n.failed:
		return errors.Join(n.failure, err)
	default:
		return err
	}
}

var errStopped = errors.New("the node stops")

// handOver gives the lead to another voter, if there is one alive.
func (n *Node) handOver() {
	if n.lead.Load() == nil {
		return
	}
	for _, m := range n.Members() {
		if m.Voter && m.Alive && m.ID != n.ID() {
			// If it fails, the others elect a leader a moment later.
			_ = n.await(n.raft.LeadershipTransfer())
			return
		}
	}
}

// shutDown makes raft stop; its future waits until it has.
func (n *Node) shutDown() raft.Future {
	n.downOnce.Do(func() {
		n.down = n.raft.Shutdown()
		close(n.halted)
	})
	return n.down
}

// answerLimit is how long what raft has answered may take to arrive once it
// shuts down.
const answerLimit = 2 * time.Second

// await returns the error of f, or that raft was shut down: it does not answer
// what it has not looked at by then.
func (n *Node) await(f raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return err
	case <-n.halted:
	}
	select {
	case err := <-done:
		return err
	case <-time.After(answerLimit):
		return raft.ErrRaftShutdown
	}
}

// close stops what Open has started. Raft waits for its calls to other members,
// which only the closing of the transport ends in time.
func (n *Node) close() error {
	close(n.closing)
	var errs []error
	if n.gossip != nil {
		errs = append(errs, n.gossip.Shutdown())
	}
	var down raft.Future
	if n.raft != nil {
		down = n.shutDown()
	}
	if n.transport != nil {
		errs = append(errs, n.transport.Close())
	}
	if down != nil {
		errs = append(errs, down.Error())
	}
	n.polls.Wait()
	if n.storage != nil {
		errs = append(errs, n.storage.Close())
	}
	return errors.Join(append(errs, n.dir.Close())...)
}
