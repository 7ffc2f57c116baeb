package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"landfall.dev/kit"
)

// A question of one member to another is its kind and a log index, 1 and 8
// bytes; the answer is a log index, 8 bytes, all big-endian. A member that
// cannot answer closes the connection.
const (
	// askApplied asks for an answer once the index is applied.
	askApplied = 1
	// askRead asks the leader which index a linearizable read must see.
	askRead = 2

	askSize = 1 + 8
)

// idleAsks is how many connections to a member are kept.
const idleAsks = 8

// asker asks other members. Its methods may be called concurrently.
type asker struct {
	dial func(id string) (net.Conn, error)

	mu     sync.Mutex
	idle   map[string][]net.Conn
	closed bool
}

// ask puts one question to the node id.
func (a *asker) ask(ctx context.Context, id string, kind byte, index uint64) (uint64, error) {
	for {
		c, used, err := a.connect(id)
		if err != nil {
			return 0, err
		}
		answer, err := exchange(ctx, c, kind, index)
		if err == nil {
			a.release(id, c)
			return answer, nil
		}
		_ = c.Close()
		if !used || ctx.Err() != nil {
			return 0, err
		} // else the member may have started again since
	}
}

func exchange(ctx context.Context, c net.Conn, kind byte, index uint64) (uint64, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	b := binary.BigEndian.AppendUint64([]byte{kind}, index)
	if _, err := c.Write(b); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(c, b[:8]); err != nil {
		return 0, err
	}
	if !stop() {
		return 0, context.Cause(ctx) // its deadline has passed
	}
	return binary.BigEndian.Uint64(b), nil
}

// connect returns a connection to the node id, and whether it was used before.
func (a *asker) connect(id string) (c net.Conn, used bool, err error) {
	a.mu.Lock()
	if idle := a.idle[id]; len(idle) > 0 {
		c = idle[len(idle)-1]
		a.idle[id] = idle[:len(idle)-1]
	}
	a.mu.Unlock()
	if c != nil {
		return c, true, nil
	}
	c, err = a.dial(id)
	return c, false, err
}

func (a *asker) release(id string, c net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || len(a.idle[id]) >= idleAsks {
		_ = c.Close()
		return
	}
	a.idle[id] = append(a.idle[id], c)
}

func (a *asker) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for _, idle := range a.idle {
		for _, c := range idle {
			_ = c.Close()
		}
	}
	a.idle = nil
}

// answer serves the questions of another member on c until it is closed.
func (n *Node) answer(c net.Conn) {
	defer func() { _ = c.Close() }()
	b := make([]byte, askSize)
	for {
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		index, err := n.reply(b[0], binary.BigEndian.Uint64(b[1:]))
		if err != nil {
			return
		}
		if _, err := c.Write(binary.BigEndian.AppendUint64(nil, index)); err != nil {
			return
		}
	}
}

func (n *Node) reply(kind byte, index uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), raftRPC)
	defer cancel()
	switch kind {
	case askApplied:
		return n.awaitApplied(ctx, index)
	case askRead:
		err := n.Barrier(ctx)
		return n.replica.applied.Load(), err
	}
	return 0, errors.New("an unknown question")
}

// awaitApplied returns once the entry at index is applied here.
func (n *Node) awaitApplied(ctx context.Context, index uint64) (uint64, error) {
	for {
		changed := n.replica.changes()
		if at := n.replica.applied.Load(); at >= index {
			return at, nil
		}
		select {
		case <-changed:
		case <-n.closing:
			return 0, errStopped
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// CatchUp returns once this node, wherever the leader is, has applied every
// write that was acknowledged anywhere before the call.
func (n *Node) CatchUp(ctx context.Context) error {
	if n.lead.Load() != nil {
		return n.Barrier(ctx)
	}
	const op = "cluster.catchup"
	_, leader := n.raft.LeaderWithID()
	if leader == "" || string(leader) == n.ID() {
		return n.notLeader(op)
	}
	index, err := n.asker.ask(ctx, string(leader), askRead, 0)
	if err == nil {
		_, err = n.awaitApplied(ctx, index)
	}
	if err != nil {
		return &kit.Error{Fault: kit.ErrUnavailable, Op: op, Detail: "this node could not catch up with the leader", Hint: "try again", Err: err}
	}
	return nil
}
