package cluster

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster/seal"
)

// Leadership tells who leads.
type Leadership struct {
	// URL is the leader's; empty if there is none, or none is known.
	URL string
	// Self is set while this node leads and has applied all earlier entries.
	Self bool
	// Term grows with each election. An act of the leader's that carries it can
	// be told from one of a former leader's.
	Term uint64
	// Changed is closed when any of this has changed.
	Changed <-chan struct{}
}

// NotLeader is the cause of errors of what only the leader can do.
type NotLeader struct {
	URL string // the leader's; empty if none is known
}

func (e *NotLeader) Error() string {
	if e.URL == "" {
		return "no leader is known"
	}
	return "the leader is " + e.URL
}

func (n *Node) notLeader(op string) error {
	return &kit.Error{
		Fault: kit.ErrUnavailable, Op: op, Detail: "this node does not lead; nothing was changed",
		Hint: "try again, at the leader", Err: &NotLeader{n.Leader().URL},
	}
}

// Leader returns who leads now.
func (n *Node) Leader() Leadership {
	n.leaderMu.Lock()
	defer n.leaderMu.Unlock()
	return n.leader
}

// publish brings what Leader returns up to date.
func (n *Node) publish() {
	n.leaderMu.Lock()
	defer n.leaderMu.Unlock()
	now := Leadership{Term: n.raft.CurrentTerm(), Changed: n.changed}
	if l := n.lead.Load(); l != nil {
		now.URL, now.Self, now.Term = n.config.Advertise, true, l.term
	} else if _, id := n.raft.LeaderWithID(); string(id) != n.ID() {
		now.URL = n.roster.Sight(string(id)).URL
	}
	if now == n.leader {
		return
	}
	close(n.changed)
	n.changed = make(chan struct{})
	now.Changed = n.changed
	n.leader = now
}

// watchLeader publishes each new leader as raft hears of it.
func (n *Node) watchLeader(ctx context.Context) error {
	seen := make(chan raft.Observation, 1) // a full one says enough
	o := raft.NewObserver(seen, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	n.raft.RegisterObserver(o)
	defer n.raft.DeregisterObserver(o)
	for {
		n.publish()
		select {
		case <-ctx.Done():
			return nil
		case <-seen:
		}
	}
}

// leadership is one stay in office of this node.
type leadership struct {
	term  uint64
	clock clock
	queue chan *write
	done  chan struct{} // closed when every write taken was answered

	readers chan chan struct{} // each is closed once it is confirmed: see Barrier
	over    <-chan struct{}    // closed when the leadership ends
}

var errDeposed = errors.New("another node leads")

// followRaft starts to lead and stops as raft says. Raft waits for each of
// its words on notify to be taken, and they are taken only when the former
// leadership has ended: so nothing decided in one term is appended in another.
func (n *Node) followRaft(ctx context.Context) error {
	stop := func() {}
	defer func() { stop() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case leads := <-n.notify:
			stop()
			stop = func() {}
			if leads {
				stop = n.startLeading(ctx)
			}
		}
	}
}

// startLeading returns a function that ends the leadership and waits for it.
func (n *Node) startLeading(ctx context.Context) func() {
	// The term is read before the barrier: if the barrier passes, the node led
	// from before the reading until then, so it is the term of the barrier.
	term := n.raft.CurrentTerm()
	ctx, cancel := context.WithCancelCause(ctx)
	var g sync.WaitGroup
	g.Go(func() {
		if n.applyEarlier(ctx) {
			n.leadTerm(ctx, term)
		}
	})
	return func() {
		cancel(errDeposed)
		g.Wait()
	}
}

// applyEarlier waits until all entries of earlier leaders are applied here.
func (n *Node) applyEarlier(ctx context.Context) bool {
	for ctx.Err() == nil {
		err := n.await(n.raft.Barrier(enqueueLimit))
		if err == nil {
			return true
		}
		if !errors.Is(err, raft.ErrEnqueueTimeout) {
			return false // raft says so on notify, too
		}
	}
	return false
}

func (n *Node) leadTerm(ctx context.Context, term uint64) {
	l := &leadership{
		term: term, clock: newClock(n.config.Clock(), n.replica.decided.Load()),
		queue: make(chan *write, maxBatch), done: make(chan struct{}),
		readers: make(chan chan struct{}, maxTogether), over: ctx.Done(),
	}
	if l.clock.behind > time.Minute {
		n.log.Warn("found the clock behind the log: times stay ahead of it", "by", l.clock.behind)
	}
	n.lead.Store(l)
	n.roster.SetLeads(true)
	n.publish()
	n.log.Info("leads", "node", n.ID(), "term", term)
	var g sync.WaitGroup
	g.Go(func() { n.reconcile(ctx) })
	g.Go(func() { n.confirm(ctx, l) })
	n.serve(ctx, l)
	n.lead.Store(nil)
	n.roster.SetLeads(false)
	close(l.done)
	n.publish()
	g.Wait()
	n.log.Info("leads no more", "node", n.ID(), "term", term)
}

// A batch is closed at this many proposals, or at this many bytes of those
// that tell their size by a method Size() int.
const (
	maxBatch      = 512
	maxBatchBytes = 1 << 20
)

// enqueueLimit bounds the wait for raft to take an entry. It takes one within
// microseconds unless it is just about to tell that this node leads no more.
const enqueueLimit = time.Second

// write is a proposal on its way.
type write struct {
	proposal any
	claim    atomic.Bool  // by the leader that takes it, or the writer that gives up
	done     chan Outcome // of capacity 1
	index    uint64       // of the entry, set before done
}

// Write proposes a change and returns its outcome once a majority has it on
// disk and this node has applied it. Concurrent writes share an entry.
//
// Its errors are the outcome's own, or tell what is known: ErrUnavailable
// means that nothing was changed, with a *NotLeader as the cause where another
// node leads; ErrTimeout that it may or may not have been, or yet be.
func (n *Node) Write(ctx context.Context, proposal any) (any, error) {
	return n.submit(ctx, &write{proposal: proposal, done: make(chan Outcome, 1)})
}

// WriteAll is Write that returns once every member that is alive has applied
// the change, too. It is ErrTimeout if one takes longer than ctx or 10 seconds:
// then the change is made and durable.
func (n *Node) WriteAll(ctx context.Context, proposal any) (any, error) {
	w := &write{proposal: proposal, done: make(chan Outcome, 1)}
	value, err := n.submit(ctx, w)
	if err != nil || w.index == 0 {
		return value, err
	}
	return value, n.spread(ctx, w.index)
}

// WriteAsync returns once the leadership has taken the proposal into its
// queue. What becomes of it, even whether it is refused, is not told.
func (n *Node) WriteAsync(ctx context.Context, proposal any) error {
	_, err := n.enqueue(ctx, &write{proposal: proposal, done: make(chan Outcome, 1)})
	return err
}

// enqueue hands w to the leadership, which it returns.
func (n *Node) enqueue(ctx context.Context, w *write) (*leadership, error) {
	const op = "cluster.write"
	l := n.lead.Load()
	if l == nil {
		return nil, n.notLeader(op)
	}
	select {
	case l.queue <- w:
		return l, nil
	case <-l.done:
		return nil, n.notLeader(op)
	case <-ctx.Done():
		return nil, withdrawn(ctx)
	}
}

// submit hands w to the leadership and waits for its outcome.
func (n *Node) submit(ctx context.Context, w *write) (any, error) {
	const op = "cluster.write"
	l, err := n.enqueue(ctx, w)
	if err != nil {
		return nil, err
	}
	select {
	case o := <-w.done:
		return o.Value, o.Err
	case <-l.done:
		if w.claim.CompareAndSwap(false, true) {
			return nil, n.notLeader(op)
		}
		o := <-w.done
		return o.Value, o.Err
	case <-ctx.Done():
		if w.claim.CompareAndSwap(false, true) {
			return nil, withdrawn(ctx)
		}
		return nil, &kit.Error{
			Fault: kit.ErrTimeout, Op: op, Detail: "the write was not acknowledged in time; it may still be applied",
			Hint: "read what has become of it", Err: context.Cause(ctx),
		}
	}
}

func withdrawn(ctx context.Context) error {
	return &kit.Error{
		Fault: kit.ErrUnavailable, Op: "cluster.write", Detail: "the write had to wait too long; nothing was changed",
		Hint: "try again", Err: context.Cause(ctx),
	}
}

// serve decides and logs batches until ctx ends. While one is on its way, the
// next one gathers in the queue.
func (n *Node) serve(ctx context.Context, l *leadership) {
	var p pace
	for {
		batch := gather(ctx, l.queue, p)
		if batch == nil {
			return
		}
		began := time.Now()
		proposals := make([]any, len(batch))
		for i, w := range batch {
			proposals[i] = w.proposal
		}
		index, outcomes, err := n.decide(ctx, l, proposals)
		p = pace{len(batch) + len(l.queue), min(time.Since(began)/4, longestPause)}
		for i, w := range batch {
			w.index = index
			if err != nil {
				w.done <- Outcome{Err: err}
			} else {
				w.done <- outcomes[i]
			}
		}
	}
}

// pace is what a batch may wait for: those who wrote last time, and are about
// to write again as soon as they have their answer. Without it the writers part
// into two groups that take turns, with half of the writes in each entry.
type pace struct {
	writers int
	wait    time.Duration
}

// longestPause bounds how long a batch waits to grow.
const longestPause = time.Millisecond

// gather waits for a write and takes it with those that wait behind it. It
// returns none if ctx has ended.
func gather(ctx context.Context, queue <-chan *write, p pace) []*write {
	var batch []*write
	var enough <-chan time.Time
	bytes, yielded := 0, false
	for ctx.Err() == nil && len(batch) < maxBatch && bytes < maxBatchBytes {
		var w *write
		select {
		case w = <-queue:
			yielded = false
		default:
			if len(batch) > 0 && !yielded {
				yielded = true
				runtime.Gosched() // to those who are about to write
				continue
			}
			if len(batch) >= max(p.writers, 1) {
				return batch
			}
			if len(batch) > 0 && enough == nil {
				enough = time.After(p.wait)
			}
			select {
			case w = <-queue:
			case <-enough:
				return batch
			case <-ctx.Done():
				return batch
			}
		}
		if w.claim.CompareAndSwap(false, true) {
			batch = append(batch, w)
			if s, ok := w.proposal.(interface{ Size() int }); ok {
				bytes += s.Size()
			}
		}
	}
	return batch
}

// decide has the machine decide proposals and returns once their entry, whose
// index it returns, is applied. If there is none, but an outcome that says
// something, it still makes sure that this node leads.
func (n *Node) decide(ctx context.Context, l *leadership, proposals []any) (uint64, []Outcome, error) {
	now := l.clock.now()
	entry, outcomes := n.replica.decide(proposals, now)
	if len(outcomes) != len(proposals) {
		return 0, nil, kit.Errorf(kit.ErrInternal, "", "the machine decided %d of %d proposals; nothing was changed", len(outcomes), len(proposals))
	}
	if entry != nil {
		f := n.raft.Apply(seal.Entry(entry, now), enqueueLimit)
		if err := n.logged(n.await(f)); err != nil {
			return 0, nil, err
		}
		if failure, _ := f.Response().(error); failure != nil {
			return 0, nil, &kit.Error{Fault: kit.ErrInternal, Op: "cluster.write", Detail: "the entry was logged, but this node cannot apply it", Err: failure}
		}
		return f.Index(), outcomes, nil
	}
	// Else a former leader, that was stopped for a while and goes on, would
	// refuse writes for what is not so any more.
	if slices.ContainsFunc(outcomes, Outcome.tells) && l.confirmed(ctx) != nil {
		return 0, nil, n.notLeader("cluster.write")
	}
	return 0, outcomes, nil
}

// tells reports whether o says something of the state.
func (o Outcome) tells() bool { return o.Err != nil || o.Value != nil }

// logged says what the error of an append means for its writes.
func (n *Node) logged(err error) error {
	const op = "cluster.write"
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return n.notLeader(op) // refused before it came into the log
	default:
		return &kit.Error{
			Fault: kit.ErrTimeout, Op: op, Detail: "the write was logged, but not acknowledged by a majority; it may still be applied",
			Hint: "read what has become of it", Err: err,
		}
	}
}
