package cluster

import (
	"context"
	"time"

	"github.com/hashicorp/raft"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster/wire"
)

// Barrier returns once a read of the machine on this node is linearizable: it
// sees every write that was acknowledged anywhere before the call. It is
// ErrUnavailable where this node does not lead.
//
// It is Raft's ReadIndex (Ongaro's thesis, 6.4) and takes no entry. A leader has
// applied an entry of its own term, so all that earlier leaders have
// acknowledged, and what it acknowledges itself it has applied before. So its
// state is new enough unless there was a later leader before the call; and
// there was none if a majority of the voters, each asked after the call, is
// still in this leader's term. All readers that wait share one such round.
//
// (raft's VerifyLeader counts answers to heartbeats that were sent before the
// call, and those of members without a vote.)
func (n *Node) Barrier(ctx context.Context) error {
	const op = "cluster.barrier"
	l := n.lead.Load()
	if l == nil {
		return n.notLeader(op)
	}
	if err := l.confirmed(ctx); err != nil {
		return &kit.Error{
			Fault: kit.ErrUnavailable, Op: op, Detail: "no majority confirmed that this node leads",
			Hint: "try again", Err: err,
		}
	}
	return nil
}

// confirmed returns nil if this node has led from before the call until after
// it.
func (l *leadership) confirmed(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case l.readers <- done:
	case <-l.over:
		return errDeposed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-done:
		return nil
	case <-l.over:
		return errDeposed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// confirm answers the readers, in rounds, until ctx ends.
func (n *Node) confirm(ctx context.Context, l *leadership) {
	p := &poll{node: n, term: l.term, asked: map[string]bool{}, answers: make(chan ballot)}
	for {
		waiting := together(ctx, l.readers)
		if waiting == nil || !p.majority(ctx) {
			return
		}
		for _, done := range waiting {
			close(done)
		}
	}
}

// poll asks the voters whether they are still in a leader's term. One that is
// slow to answer is not asked again meanwhile.
type poll struct {
	node    *Node
	term    uint64
	round   int
	asked   map[string]bool // whose answer is awaited
	answers chan ballot
}

// ballot is a voter's answer in a round.
type ballot struct {
	voter  string
	round  int
	agrees bool
}

// majority returns true once most voters, asked after the call, are in the
// term. It goes on asking until ctx ends.
func (p *poll) majority(ctx context.Context) bool {
	p.round++
	agree := map[string]bool{}
	for {
		voters, votes := p.node.voters(), 0
		for _, id := range voters {
			switch {
			case agree[id]:
			case id == p.node.ID():
				agree[id] = p.node.raft.CurrentTerm() == p.term
			case !p.asked[id]:
				p.ask(ctx, id)
			}
			if agree[id] {
				votes++
			}
		}
		if votes > len(voters)/2 {
			return true
		}
		select {
		case b := <-p.answers:
			delete(p.asked, b.voter)
			if b.agrees && b.round == p.round {
				agree[b.voter] = true
			}
		case <-ctx.Done():
			return false
		}
	}
}

// ask gets a ballot of the voter into answers. One without an answer comes
// late, so that the voter is not asked again at once.
func (p *poll) ask(ctx context.Context, voter string) {
	p.asked[voter] = true
	round := p.round
	p.node.polls.Go(func() {
		limited, cancel := context.WithTimeout(ctx, wire.DialLimit)
		at, err := p.node.transport.Ask(limited, voter, askTerm, p.term)
		cancel()
		b := ballot{voter, round, err == nil && at == p.term}
		if !b.agrees {
			select {
			case <-time.After(tick):
			case <-ctx.Done():
			}
		}
		select {
		case p.answers <- b:
		case <-ctx.Done():
		}
	})
}

// voters returns the ids of the members that vote.
func (n *Node) voters() []string {
	var ids []string
	for _, s := range n.raft.GetConfiguration().Configuration().Servers {
		if s.Suffrage == raft.Voter {
			ids = append(ids, string(s.ID))
		}
	}
	return ids
}
