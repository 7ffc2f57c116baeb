package wire

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"landfall.dev/kit/cluster/authority"
)

// CallLimit is the longest wait for a member to answer one of raft's calls.
const CallLimit = 10 * time.Second

// Config is what a Transport needs to know.
type Config struct {
	Listener net.Listener    // closed with the transport
	Pass     *authority.Pass // of this node
	// Locate returns the address of the node id.
	Locate func(id string) (string, error)
	// Admit tells why the node id may not take part.
	Admit func(id string) error
	// Answer answers a question of the node id. An error is not told, but that
	// there is none.
	Answer func(id string, kind byte, number uint64) (uint64, error)
	Log    hclog.Logger
}

// Member is what a transport must know of the raft that it works for.
type Member interface {
	State() raft.RaftState
	CurrentTerm() uint64
}

// Transport is raft's transport over streams, mended in three places.
//
// Raft stops to read a pipeline's answers at the first that tells of a failure
// or of a newer term, but may go on to send; that blocks for ever, and with it
// the replication to that member and raft's shutdown. Here the pipeline is
// closed behind such an answer: see pipeline.
//
// Raft handles heartbeats beside its own goroutine, also those that make it a
// follower of a newer term. A leader or candidate that is about to log an entry
// or to count a vote would do so in the new term, which is another's. Here such
// heartbeats take the way of all other calls: see SetHeartbeatHandler.
//
// Raft leaves calls under way when it shuts down, and waits for them: as long
// as it takes a member that does not answer to time out. Close ends them.
type Transport struct {
	*raft.NetworkTransport
	streams *streams
	idle    idle
	calls   chan raft.RPC // to raft
	member  atomic.Pointer[Member]
	closed  chan struct{}
	work    sync.WaitGroup // of the goroutines; it grows while pipes is not nil

	mu    sync.Mutex
	pipes map[*pipeline]bool // those open; nil once closed
}

// New returns a transport that accepts connections at once.
func New(c Config) *Transport {
	s := newStreams(c)
	t := &Transport{
		NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: s, MaxPool: 3, Timeout: CallLimit, Logger: c.Log, MsgpackUseNewTimeFormat: true,
		}),
		streams: s, idle: idle{conns: map[string][]net.Conn{}}, calls: make(chan raft.RPC), closed: make(chan struct{}), pipes: map[*pipeline]bool{},
	}
	t.work.Go(t.forward)
	return t
}

// Serve tells which raft the transport works for, once there is one.
func (t *Transport) Serve(m Member) { t.member.Store(&m) }

// Consumer returns the calls of other members.
func (t *Transport) Consumer() <-chan raft.RPC { return t.calls }

// forward hands on the calls that have come over the network.
func (t *Transport) forward() {
	for {
		select {
		case call := <-t.NetworkTransport.Consumer():
			t.deliver(call)
		case <-t.closed:
			return
		}
	}
}

// deliver hands the call to raft's own goroutine. What is not answered when
// the transport is closed, its connection forgets.
func (t *Transport) deliver(call raft.RPC) {
	select {
	case t.calls <- call:
	case <-t.closed:
	}
}

// SetHeartbeatHandler takes raft's function for heartbeats, which may be called
// beside all else. It gets those that change nothing but when the leader was
// heard of last.
func (t *Transport) SetHeartbeatHandler(handle func(raft.RPC)) {
	t.NetworkTransport.SetHeartbeatHandler(func(call raft.RPC) {
		if t.routine(call) {
			handle(call)
		} else {
			t.deliver(call)
		}
	})
}

// routine tells whether the heartbeat comes to a follower in its leader's term.
func (t *Transport) routine(call raft.RPC) bool {
	m := t.member.Load()
	beat, ok := call.Command.(*raft.AppendEntriesRequest)
	return ok && m != nil && (*m).State() == raft.Follower && (*m).CurrentTerm() == beat.Term
}

// AppendEntriesPipeline opens a pipeline to a member.
func (t *Transport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	p := newPipeline(inner, t.forget)
	t.mu.Lock()
	open := t.pipes != nil
	if open {
		t.pipes[p] = true
		t.work.Go(p.forward)
	}
	t.mu.Unlock()
	if !open {
		return nil, errors.Join(raft.ErrTransportShutdown, p.Close())
	}
	return p, nil
}

func (t *Transport) forget(p *pipeline) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.pipes, p)
}

// Close stops listening, ends every call that is under way in either direction
// and waits for those that served them. It may be called again.
func (t *Transport) Close() error {
	t.mu.Lock()
	pipes := t.pipes
	t.pipes = nil
	t.mu.Unlock()
	if pipes == nil {
		return nil
	}
	close(t.closed)
	err := t.NetworkTransport.Close() // with the streams, whose error it drops
	for p := range pipes {
		_ = p.Close()
	}
	t.work.Wait()
	return err
}
