package kittest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
	"landfall.dev/kit/store/digest"
	"landfall.dev/kit/store/frame"
)

// checks is what is known of a schedule beyond its nodes.
type checks struct {
	digests  map[uint64][sha256.Size]byte // of the states after some entries
	acked    map[kit.Link]kit.Record      // the newest acknowledged version of each document
	latest   time.Time                    // of all that was decided and committed
	at       kit.Position                 // where that was
	watchers []*watcher
	imported map[kit.Link]int64 // the newest acknowledged position at the origin
	origin   int64              // the last position there
}

func newChecks(w *world) checks {
	c := checks{digests: map[uint64][sha256.Size]byte{}, acked: map[kit.Link]kit.Record{}, imported: map[kit.Link]int64{}}
	for range 4 {
		c.watchers = append(c.watchers, &watcher{world: w})
	}
	return c
}

// commit notes that the entry at index is committed: for ever, and once.
func (w *world) commit(index uint64, data []byte) {
	switch {
	case index <= uint64(len(w.committed)):
		if !bytes.Equal(w.committed[index-1], data) {
			w.fail("entry %d was committed twice, with different content", index)
		}
	case index == uint64(len(w.committed))+1:
		w.committed = append(w.committed, data)
	default:
		w.fail("entry %d was committed before entry %d", index, len(w.committed)+1)
	}
}

// digestEvery is how many entries are between states that are looked at as a
// whole.
const digestEvery = 10

// agree checks, now and then, that n has the same documents as all that have
// applied as much, and that they hold what they must.
func (w *world) agree(n *simNode) {
	if n.applied%digestEvery != 0 {
		return
	}
	w.sameState(n)
	if w.script.Holds != nil && w.err == nil {
		if err := w.script.Holds(n.store); err != nil {
			w.fail("node %d after entry %d: %w", n.id, n.applied, err)
		}
	}
}

func (w *world) sameState(n *simNode) {
	h := sha256.New()
	if _, err := n.store.Snapshot().WriteTo(h); err != nil {
		w.fail("node %d: %w", n.id, err)
	}
	digest := [sha256.Size]byte(h.Sum(nil))
	if known, ok := w.digests[n.applied]; ok && known != digest {
		w.fail("node %d has another state after entry %d than the node before it", n.id, n.applied)
	}
	w.digests[n.applied] = digest
}

// decided checks that the leader has, after the batch was applied, what it
// has decided.
func (w *world) decided(n *simNode, b *batch) {
	final := map[kit.Link]kit.Record{}
	for i, r := range b.results {
		if r.Err != nil && len(r.Records) > 0 {
			w.fail("a proposal was refused and has records: %v", r.Err)
		}
		for _, rec := range r.Records {
			if rec.Seq > final[rec.Link].Seq {
				final[rec.Link] = rec
			}
		}
		w.times(b.orders[i].proposal, r)
	}
	for link, rec := range final {
		got, err := n.store.Read(link)
		switch {
		case rec.Deleted && !errors.Is(err, kit.ErrNotFound):
			w.fail("%s was deleted in entry %d and is there: %v", link, b.index, err)
		case !rec.Deleted && (err != nil || !equal(got, rec)):
			w.fail("%s was decided in entry %d as\n%+v, but is\n%+v, %v", link, b.index, rec, got, err)
		}
	}
}

// times checks that what is stamped is never before what was stamped earlier.
func (w *world) times(p store.Proposal, r store.Result) {
	if p.Writes == nil {
		return // imports keep their times
	}
	for _, rec := range r.Records {
		if rec.Seq <= w.at.Seq {
			continue // it was not changed
		}
		if rec.Updated.Before(w.latest) {
			w.fail("%s is of %s, but something before it is of %s", rec.Link, rec.Updated, w.latest)
		}
		w.latest, w.at.Seq = rec.Updated, rec.Seq
	}
}

// equal tells whether two records are the same, position included.
func equal(a, b kit.Record) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && bytes.Equal(x, y) && a.Seq == b.Seq
}

// client has a client, who sees some node, propose something to a leader.
func (w *world) client() {
	see := w.nodes[w.random.IntN(len(w.nodes))].store
	p := w.script.Next(w.random, see)
	switch dice := w.random.IntN(100); {
	case dice < 6:
		p = store.Proposal{Tick: true}
	case dice < 14:
		p = w.takeOver()
	}
	w.propose(p, nil)
}

// propose sends p to a node that leads, or believes so. Done, if not nil, is
// called with what came of it; known is false if nobody can tell.
func (w *world) propose(p store.Proposal, done func(r store.Result, known bool)) {
	if w.calm || p.Writes == nil && p.Import == nil && p.Cursor == nil && p.Fence == nil && !p.Tick && !p.NewEpoch {
		return
	}
	var leaders []*simNode
	for _, n := range w.nodes {
		if n.up && n.leads {
			leaders = append(leaders, n)
		}
	}
	if len(leaders) == 0 {
		return
	}
	n := leaders[w.random.IntN(len(leaders))]
	n.queue = append(n.queue, &order{p, func(r store.Result, known bool) {
		if known && r.Err == nil {
			w.acknowledge(p, r)
		}
		if done != nil {
			done(r, known)
		}
	}})
	n.decide()
}

// acknowledge notes what must not be lost any more.
func (w *world) acknowledge(p store.Proposal, r store.Result) {
	for _, rec := range r.Records {
		if rec.Seq >= w.acked[rec.Link].Seq {
			w.acked[rec.Link] = rec
		}
	}
	for _, i := range p.Import {
		w.imported[i.Record.Link] = max(w.imported[i.Record.Link], i.Origin.Seq)
	}
}

// takeOver returns an import: new documents, and some that were taken over
// before. Each is at a link of its own kind that no client uses.
func (w *world) takeOver() store.Proposal {
	kind := w.script.Services[0].Owns[0].Name
	p := store.Proposal{Cursor: &store.Cursor{Name: "simulated", Position: "1.1"}}
	for range 1 + w.random.IntN(3) {
		seq := w.origin + 1
		if w.origin > 3 && w.chance(50) {
			seq -= int64(1 + w.random.IntN(3))
		}
		w.origin = max(w.origin, seq)
		p.Import = append(p.Import, w.foreign(kind, seq))
	}
	return p
}

// foreign returns what is at a position of the origin: always the same.
func (w *world) foreign(kind string, seq int64) store.Imported {
	link := kit.NewLink(kind, fmt.Sprintf("%s%d", importPrefix, seq%5))
	at := start.Add(time.Duration(seq) * time.Second)
	r := kit.Record{
		Meta: kit.Meta{Link: link, Kind: kind, Schema: 1, Version: seq, Created: start, Updated: at},
		Body: json.RawMessage(`{}`),
	}
	if seq%7 == 0 {
		r.Deleted, r.Body = true, nil
	}
	return store.Imported{Record: r, Origin: frame.Origin{Stream: "simulated", Seq: seq, Hash: digest.Hash(r)}}
}

// importPrefix starts the ids of imported documents.
const importPrefix = "simulated-import-"

// carryOut has the leader carry out a pending operation of some document, as
// its service's runner would, and sometimes once more.
func (w *world) carryOut() {
	for _, n := range w.nodes {
		if !n.up || !n.leads {
			continue
		}
		for _, s := range w.script.Services {
			for _, o := range s.Owns {
				w.carry(n, s.Name, o.Name)
			}
		}
	}
}

func (w *world) carry(n *simNode, service, kind string) {
	changes, _, err := n.store.Since(kind, kit.Position{}, 1000)
	if err != nil {
		w.fail("node %d: %w", n.id, err)
		return
	}
	changes = slices.DeleteFunc(changes, func(c kit.Change) bool { return len(c.Record.Pending) == 0 })
	if len(changes) == 0 {
		return
	}
	r := changes[w.random.IntN(len(changes))].Record
	op := r.Pending[w.random.IntN(len(r.Pending))]
	if op.At.After(n.clock()) {
		return
	}
	by := "services/" + service
	ack := store.Ack{ID: op.ID}
	acknowledge := func() {
		args, _ := json.Marshal(ack) // strings and JSON
		w.propose(store.Proposal{Internal: true, By: by, Writes: []kit.Write{{Verb: store.MethodAck, Link: r.Link, Body: args}}}, nil)
	}
	var write kit.Write
	switch {
	case op.Do == kit.OpCreate:
		write = kit.Write{Verb: kit.VerbCreate, Link: op.Link, Body: op.Data}
	case op.Do == kit.OpSend && op.Link != r.Link:
		write = kit.Write{Verb: kit.Verb(op.Event), Link: op.Link, Body: op.Data}
	case op.Do == kit.OpSend:
		ack.Event, ack.Data = op.Event, op.Data
		acknowledge()
		return
	default:
		ack.Event = op.Do + ".done"
		if w.script.Outcome != nil {
			ack.Event, ack.Data = w.script.Outcome(w.random, r, op)
		}
		acknowledge()
		return
	}
	w.propose(store.Proposal{Internal: true, By: by, Writes: []kit.Write{write}}, func(res store.Result, known bool) {
		if known && (res.Err == nil || !kit.Temporary(res.Err)) && !w.chance(20) {
			acknowledge() // else it will be carried out again
		}
	})
}

// watcher follows all documents, now on this node, now on that.
type watcher struct {
	world *world
	at    kit.Position
	have  map[kit.Link]kit.Record
}

// watch has the watchers look for changes, each at some node.
func (w *world) watch() {
	for _, x := range w.watchers {
		if n := w.nodes[w.random.IntN(len(w.nodes))]; n.up {
			x.look(n, 1+w.random.IntN(20))
		}
	}
}

// look takes up to limit changes from n and returns whether there are more.
func (x *watcher) look(n *simNode, limit int) bool {
	after := x.at
	if x.world.script.flaw == deafWatch && after.Seq%16 == 15 {
		after.Seq++
	}
	changes, more, err := n.store.Since("", after, limit)
	if errors.Is(err, kit.ErrGone) {
		x.at, x.have = kit.Position{}, nil
		return true
	}
	if err != nil {
		x.world.fail("a watch of node %d: %w", n.id, err)
		return false
	}
	if x.have == nil {
		x.have = map[kit.Link]kit.Record{}
	}
	for _, c := range changes {
		if old, ok := x.have[c.Record.Link]; c.Position.Seq <= x.at.Seq || ok && c.Record.Version <= old.Version && !imported(c.Record.Link) {
			x.world.fail("a watch at node %d was told of %s at %s, version %d, after %s, version %d", n.id, c.Record.Link, c.Position, c.Record.Version, x.at, old.Version)
		}
		x.at = c.Position
		if c.Record.Deleted {
			delete(x.have, c.Record.Link)
		} else {
			x.have[c.Record.Link] = c.Record
		}
	}
	return more
}

func imported(l kit.Link) bool { return strings.HasPrefix(l.ID(), importPrefix) }

// inTheEnd checks what must be so once all nodes had the time to come in line.
func (w *world) inTheEnd() {
	for _, n := range w.nodes {
		if n.applied != uint64(len(w.committed)) {
			w.fail("node %d has not come further than entry %d of %d", n.id, n.applied, len(w.committed))
			return
		}
		w.sameState(n)
	}
	s := w.nodes[0].store
	for link, acked := range w.acked {
		got, err := s.Read(link)
		switch {
		case err != nil && !errors.Is(err, kit.ErrNotFound):
			w.fail("%w", err)
		case err != nil && !acked.Deleted && !w.deletedSince(acked):
			w.fail("%s was acknowledged at %d and is gone", link, acked.Seq)
		case err == nil && got.Seq < acked.Seq:
			w.fail("%s was acknowledged at %d, but is of %d", link, acked.Seq, got.Seq)
		case err == nil && got.Seq == acked.Seq && !equal(got, acked):
			w.fail("%s was acknowledged as\n%+v, but is\n%+v", link, acked, got)
		}
	}
	w.importsInTheEnd(s)
	for _, x := range w.watchers {
		for n := w.nodes[w.random.IntN(len(w.nodes))]; x.look(n, 100); {
		}
		x.inTheEnd(s)
	}
}

// deletedSince tells whether the document was deleted after it was
// acknowledged, or that cannot be known any more.
func (w *world) deletedSince(acked kit.Record) bool {
	changes, _, err := w.nodes[0].store.Since("", kit.Position{Epoch: w.nodes[0].store.Position().Epoch, Seq: acked.Seq}, 1<<20)
	return err != nil || slices.ContainsFunc(changes, func(c kit.Change) bool { return c.Record.Link == acked.Link && c.Record.Deleted })
}

// importsInTheEnd checks that of each document that was taken over the newest
// version is there.
func (w *world) importsInTheEnd(s *store.Store) {
	for link, seq := range w.imported {
		got, err := s.Read(link)
		newest := w.foreign(link.Kind(), seq)
		switch {
		case err == nil && got.Version < seq:
			w.fail("of %s the position %d at its origin was acknowledged, but it is of %d", link, seq, got.Version)
		case err != nil && !newest.Record.Deleted && w.origin-seq < 5:
			w.fail("%s was taken over at %d and is gone: %w", link, seq, err)
		}
	}
}

// inTheEnd checks that the watch has told of every document.
func (x *watcher) inTheEnd(s *store.Store) {
	changes, _, err := s.Since("", kit.Position{}, 1<<20)
	if err != nil {
		x.world.fail("%w", err)
	}
	live := 0
	for _, c := range changes {
		if c.Record.Deleted {
			continue
		}
		live++
		if have, ok := x.have[c.Record.Link]; !ok || !equal(have, c.Record) {
			x.world.fail("a watch missed %s at %s: it has version %d", c.Record.Link, c.Position, have.Version)
		}
	}
	if live != len(x.have) {
		x.world.fail("a watch believes in %d documents, of which %d are there", len(x.have), live)
	}
}
