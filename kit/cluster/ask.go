package cluster

import (
	"context"
	"errors"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster/wire"
)

// The questions of one member to another, each with a number.
const (
	// askApplied asks for an answer, a log index, once that index is applied.
	askApplied = 1
	// askRead asks the leader which index a linearizable read must see.
	askRead = 2
	// askTerm asks which term the member is in.
	askTerm = 3
	// askLeave asks the leader to remove who asks. The answer comes once the
	// removal is committed, or was refused since no majority would remain.
	askLeave = 4

	leaveGranted = 1
	leaveRefused = 2
)

// answer answers a question of the member id.
func (n *Node) answer(id string, kind byte, number uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), wire.CallLimit)
	defer cancel()
	switch kind {
	case askApplied:
		return n.awaitApplied(ctx, number)
	case askRead:
		index := n.replica.applied.Load()
		return index, n.Barrier(ctx)
	case askTerm:
		if r := n.votes.Load(); r != nil {
			return r.CurrentTerm(), nil
		}
	case askLeave:
		return n.letGo(id)
	}
	return 0, errors.New("no answer")
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
	index, err := n.readIndex(ctx)
	if err == nil {
		_, err = n.awaitApplied(ctx, index)
	}
	if err != nil {
		return &kit.Error{
			Fault: kit.ErrUnavailable, Op: "cluster.catchup", Detail: "this node could not catch up with the leader",
			Hint: "try again", Err: err,
		}
	}
	return nil
}

// bound is the answer to who asks which index a read must see.
type bound struct {
	index uint64
	err   error
}

// readIndex returns the index that a read which begins now must see.
func (n *Node) readIndex(ctx context.Context) (uint64, error) {
	answer := make(chan bound, 1)
	select {
	case n.readers <- answer:
	case <-n.closing:
		return 0, errStopped
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	select {
	case b := <-answer:
		return b.index, b.err
	case <-n.closing:
		return 0, errStopped
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// followReads asks the leader for all readers that wait here at once, until
// ctx ends.
func (n *Node) followReads(ctx context.Context) error {
	for {
		waiting := together(ctx, n.readers)
		if waiting == nil {
			return nil
		}
		index, err := n.askLeader(ctx)
		for _, w := range waiting {
			w <- bound{index, err}
		}
	}
}

// askLeader asks the leader which index a read must see, until another leads.
func (n *Node) askLeader(ctx context.Context) (uint64, error) {
	changed := n.Leader().Changed
	_, leader := n.raft.LeaderWithID()
	if leader == "" || string(leader) == n.ID() {
		return 0, n.notLeader("cluster.catchup")
	}
	ctx, cancel := context.WithTimeout(ctx, wire.CallLimit)
	defer cancel()
	asked := make(chan struct{})
	defer close(asked)
	go func() {
		select {
		case <-changed:
			cancel()
		case <-asked:
		}
	}()
	return n.transport.Ask(ctx, string(leader), askRead, 0)
}

// together returns who waits in the queue, at least one, or none if ctx ends.
func together[T any](ctx context.Context, queue <-chan T) []T {
	var all []T
	select {
	case w := <-queue:
		all = append(all, w)
	case <-ctx.Done():
		return nil
	}
	for len(all) < maxTogether {
		select {
		case w := <-queue:
			all = append(all, w)
		default:
			return all
		}
	}
	return all
}

// maxTogether bounds how many share a round of questions.
const maxTogether = 4096
