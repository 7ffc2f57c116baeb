package kittest

import (
	"bytes"
	"time"

	"landfall.dev/kit/store"
)

// simNode is a node of a simulated cluster. What is durable outlives a crash.
type simNode struct {
	world *world
	id    int

	// Durable, the log up to synced only.
	term   uint64
	base   uint64 // the index before that of log[0]
	log    []simEntry
	synced uint64
	image  image

	up    bool
	life  int // counts the starts
	skew  time.Duration
	store *store.Store

	applied, commit uint64
	leads           bool
	next, match     []uint64 // of the followers, by id
	queue           []*order
	batch           *batch
}

// simEntry is an entry of a log; one without data begins a term.
type simEntry struct {
	term uint64
	data []byte
}

// image is a snapshot.
type image struct {
	index, term uint64
	bytes       []byte
}

// order is a client's proposal on its way.
type order struct {
	proposal store.Proposal
	done     func(r store.Result, known bool)
}

// batch is what a leader has decided and not applied yet.
type batch struct {
	index   uint64
	orders  []*order
	results []store.Result
}

func (n *simNode) last() uint64 { return n.base + uint64(len(n.log)) }

// termAt returns the term of the entry at index, and whether it is known.
func (n *simNode) termAt(index uint64) (uint64, bool) {
	switch {
	case index == n.image.index:
		return n.image.term, true
	case index <= n.base || index > n.last():
		return 0, false
	}
	return n.log[index-n.base-1].term, true
}

// clock is the node's wall clock.
func (n *simNode) clock() time.Time { return start.Add(n.world.now + n.skew) }

// crash ends the node: what was not synced is lost, some of it or all.
func (n *simNode) crash() {
	w := n.world
	n.stepDown()
	n.up = false
	if lost := n.last() - n.synced; lost > 0 {
		n.log = n.log[:n.synced-n.base+uint64(w.random.Int64N(int64(lost)+1))]
	}
	if w.script.flaw == lazyRestart && n.last() > n.base {
		n.log = n.log[:len(n.log)-1]
	}
	n.synced = n.last()
	w.note("node %d crashes at entry %d", n.id, n.last())
}

// restart starts the node on what it has kept.
func (n *simNode) restart() {
	if n.up {
		return
	}
	n.up, n.life = true, n.life+1
	n.store = store.New(n.world.kinds)
	n.applied, n.commit = 0, 0
	n.world.note("node %d starts with the snapshot of entry %d and a log to %d", n.id, n.image.index, n.last())
	if n.image.bytes != nil {
		n.restore()
	}
}

// restore takes the state of the node's snapshot.
func (n *simNode) restore() {
	if err := n.store.Restore(bytes.NewReader(n.image.bytes)); err != nil {
		n.world.fail("node %d: %w", n.id, err)
		return
	}
	n.applied = n.image.index
	n.commit = max(n.commit, n.applied)
	n.world.agree(n)
}

// snapshot keeps the state, so that most of the log before it can go.
func (n *simNode) snapshot() {
	term, ok := n.termAt(n.applied)
	if !ok || n.applied == n.image.index {
		return
	}
	var b bytes.Buffer
	if _, err := n.store.Snapshot().WriteTo(&b); err != nil {
		n.world.fail("node %d: %w", n.id, err)
		return
	}
	n.image = image{n.applied, term, b.Bytes()}
	n.synced = max(n.synced, n.applied)
	keep := uint64(n.world.random.IntN(4))
	if first := n.applied - min(keep, n.applied); first > n.base {
		n.log = append([]simEntry(nil), n.log[first-n.base:]...)
		n.base = first
	}
	n.world.note("node %d makes a snapshot of entry %d", n.id, n.applied)
}

// rule makes the node the leader of a new term.
func (n *simNode) rule(term uint64) {
	w := n.world
	n.term, n.leads = term, true
	n.next, n.match = make([]uint64, len(w.nodes)), make([]uint64, len(w.nodes))
	for i := range n.next {
		n.next[i] = n.last() + 1
	}
	w.note("node %d leads in term %d", n.id, term)
	n.extend(nil)
}

// stepDown ends a leadership. Of what was decided the outcome is unknown; what
// waited has not happened.
func (n *simNode) stepDown() {
	if !n.leads {
		return
	}
	n.leads = false
	if n.batch != nil {
		for _, o := range n.batch.orders {
			o.done(store.Result{}, false)
		}
	}
	n.batch, n.queue = nil, nil
	n.world.note("node %d leads no more", n.id)
}

// extend appends an entry to the leader's log.
func (n *simNode) extend(data []byte) {
	n.log = append(n.log, simEntry{n.term, data})
	n.sync(func() { n.count() })
	for _, peer := range n.world.nodes {
		n.replicate(peer)
	}
}

// sync makes the log durable, after a while, and then calls f.
func (n *simNode) sync(f func()) {
	life, index := n.life, n.last()
	term, _ := n.termAt(index)
	n.world.after(time.Millisecond+n.world.upTo(20*time.Millisecond), func() {
		if at, ok := n.termAt(index); n.up && n.life == life && ok && at == term {
			n.synced = max(n.synced, index)
			f()
		}
	})
}

// decide has the leader decide what waits, if all before it is applied.
func (n *simNode) decide() {
	w := n.world
	if !n.leads || n.batch != nil || n.applied < n.last() || len(n.queue) == 0 {
		return
	}
	size := 1 + w.random.IntN(len(n.queue))
	orders := n.queue[:size:size]
	n.queue = n.queue[size:]
	var proposals []store.Proposal
	for _, o := range orders {
		proposals = append(proposals, o.proposal)
	}
	before := n.store.Position()
	entry, results := n.store.Decide(proposals, n.clock())
	if n.store.Position() != before {
		w.fail("node %d: a decision has changed the store", n.id)
	}
	n.batch = &batch{n.last() + 1, orders, results}
	if w.script.flaw == ackEarly && entry != nil {
		for i, o := range orders {
			o.done(results[i], true)
			o.done = func(store.Result, bool) {}
		}
	}
	w.note("node %d decides on %d proposals: entry %d of %d bytes", n.id, len(orders), n.batch.index, len(entry))
	// A batch without effect is logged, too, before it is answered: what it was
	// refused for may be what only a former leader believes.
	n.extend(entry)
}

// replicate sends a follower what it lacks.
func (n *simNode) replicate(to *simNode) {
	if to == n || !n.leads {
		return
	}
	w, term, from := n.world, n.term, n.next[to.id]
	prev := from - 1
	if prevTerm, ok := n.termAt(prev); ok && (prev >= n.base || prev == n.image.index && prev == n.base) {
		entries := append([]simEntry(nil), n.log[prev-n.base:]...)
		commit := n.commit
		w.send(n, to, func() { to.follow(n, term, prev, prevTerm, entries, commit) })
		return
	}
	if prev == 0 && n.base == 0 {
		entries := append([]simEntry(nil), n.log...)
		commit := n.commit
		w.send(n, to, func() { to.follow(n, term, 0, 0, entries, commit) })
		return
	}
	snapshot := n.image
	w.send(n, to, func() { to.install(n, term, snapshot) })
}

// obey tells whether the message of a leader in the term counts.
func (n *simNode) obey(term uint64, leader *simNode) bool {
	if term < n.term {
		own := n.term
		n.world.send(n, leader, func() { leader.hear(own) })
		return false
	}
	if term > n.term || n.leads {
		n.stepDown()
		n.term = term
	}
	return true
}

// hear makes a leader of an older term give up.
func (n *simNode) hear(term uint64) {
	if term > n.term {
		n.stepDown()
		n.term = term
	}
}

// follow takes entries that come after prev.
func (n *simNode) follow(leader *simNode, term, prev, prevTerm uint64, entries []simEntry, commit uint64) {
	if !n.obey(term, leader) {
		return
	}
	w := n.world
	if at, ok := n.termAt(prev); prev > 0 && prev > n.image.index && (!ok || at != prevTerm) {
		hint := n.commit // up to there all logs are the same
		w.send(n, leader, func() { leader.lacks(n, term, hint) })
		return
	}
	for i, e := range entries {
		index := prev + 1 + uint64(i)
		if index <= n.image.index || index <= n.base {
			continue // it is in the snapshot
		}
		if at, ok := n.termAt(index); ok && at == e.term {
			continue
		}
		n.log = append(n.log[:index-n.base-1:index-n.base-1], e)
		n.synced = min(n.synced, index-1)
	}
	upTo := prev + uint64(len(entries))
	n.commit = max(n.commit, min(commit, upTo))
	n.apply()
	n.sync(func() { w.send(n, leader, func() { leader.has(n, term, upTo) }) })
}

// install takes the leader's snapshot in place of the log before it.
func (n *simNode) install(leader *simNode, term uint64, s image) {
	if !n.obey(term, leader) || s.bytes == nil {
		return
	}
	w := n.world
	if s.index > n.applied {
		w.note("node %d installs the snapshot of entry %d", n.id, s.index)
		if at, ok := n.termAt(s.index); ok && at == s.term && s.index > n.base {
			n.log = append([]simEntry(nil), n.log[s.index-n.base:]...)
		} else {
			n.log = nil
		}
		n.base, n.image = s.index, s
		n.synced = s.index
		n.restore()
	}
	w.send(n, leader, func() { leader.has(n, term, s.index) })
}

// has notes that a follower has synced the log up to index.
func (n *simNode) has(f *simNode, term, index uint64) {
	if !n.leads || n.term != term {
		return
	}
	n.match[f.id] = max(n.match[f.id], index)
	n.next[f.id] = max(n.next[f.id], index+1)
	n.count()
}

// lacks notes that a follower has nothing after index that fits.
func (n *simNode) lacks(f *simNode, term, index uint64) {
	if !n.leads || n.term != term {
		return
	}
	n.next[f.id] = max(n.match[f.id], min(index, n.last())) + 1
}

// count commits what a majority has, if the last of it is of this term.
func (n *simNode) count() {
	if !n.leads {
		return
	}
	for index := n.last(); index > n.commit; index-- {
		have := 0
		for _, f := range n.world.nodes {
			if f == n && n.synced >= index || f != n && n.match[f.id] >= index {
				have++
			}
		}
		if at, _ := n.termAt(index); have > len(n.world.nodes)/2 && at == n.term {
			n.commit = index
			n.apply()
			return
		}
	}
}

// apply applies what is committed.
func (n *simNode) apply() {
	w := n.world
	for n.applied < min(n.commit, n.last()) && w.err == nil {
		index := n.applied + 1
		e := n.log[index-n.base-1]
		w.commit(index, e.data)
		if e.data != nil && !(w.script.flaw == skipEntry && n.id == 1 && index%20 == 0) {
			if err := n.store.Apply(e.data); err != nil {
				w.fail("node %d, entry %d: %w", n.id, index, err)
				return
			}
		}
		n.applied = index
		w.agree(n)
		if b := n.batch; b != nil && b.index <= n.applied {
			n.batch = nil
			w.decided(n, b)
			for i, o := range b.orders {
				o.done(b.results[i], true)
			}
		}
	}
	n.decide()
}
