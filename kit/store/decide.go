package store

import (
	"encoding/json"
	"fmt"
	"time"

	"landfall.dev/kit"
)

// The limits of an entry.
const (
	maxTick     = 5000     // documents and tombstones that one Tick deletes
	maxProposal = 16 << 20 // bytes of the documents that one proposal changes
	maxEntry    = 32 << 20 // the same of a batch, well below what a log takes
)

// Decide evaluates the proposals in order, each on the applied state and the
// effects of those before it in ps. It returns the log entry, nil if nothing
// changes, and one result for each proposal. It changes nothing itself.
//
// The entry fits the state that it was decided on and no other: Apply it
// before deciding again.
func (s *Store) Decide(ps []Proposal, now time.Time) (entry []byte, results []Result) {
	p := newPlan(s, now)
	results = make([]Result, len(ps))
	for i, pr := range ps {
		mark, before := len(p.undo), p.size
		records, err := p.propose(pr)
		if err == nil {
			err = p.room(before)
		}
		if err != nil {
			p.rollback(mark)
			results[i].Err = err
			continue
		}
		results[i].Records = records
	}
	if len(p.undo) == 0 {
		return nil, results
	}
	entry, err := p.encode()
	if err != nil {
		for i := range results {
			results[i] = Result{Err: &kit.Error{Op: "decide", Err: err}}
		}
		return nil, results
	}
	return entry, results
}

// plan is what the proposals of a batch have come to so far, over the applied
// state. Every change of it adds its reversal to undo.
type plan struct {
	store *Store
	now   time.Time
	head  head // with epoch, seq, time and fence as they will be

	docs      map[kit.Link]*doc // those that changed, nil for a collected tombstone
	changes   [][]byte          // the same as payloads of frames, each version in order of seq
	counters  map[string]int64  // those that changed
	cursors   map[string]Cursor // those that changed
	collected []kit.Link
	size      int // of the changes, in bytes
	undo      []func()
}

// newPlan stamps the batch with now, or the time of the batch before if that
// is later: documents' times never go backwards.
func newPlan(s *Store, now time.Time) *plan {
	p := &plan{
		store: s, head: s.head(),
		docs: map[kit.Link]*doc{}, counters: map[string]int64{}, cursors: map[string]Cursor{},
	}
	p.now = stamp(now)
	if p.now.Before(p.head.time) {
		p.now = p.head.time
	}
	p.head.time = p.now
	if p.head.epoch == 0 {
		p.head.epoch = max(1, p.now.Unix())
	}
	return p
}

// room returns why what a proposal has added, since the changes had a size of
// before, does not go into the entry.
func (p *plan) room(before int) error {
	if added := p.size - before; added > maxProposal {
		return &kit.Error{
			Fault:  kit.ErrTooLarge,
			Detail: fmt.Sprintf("the documents that this changes at once have %d bytes, the limit is %d", added, maxProposal),
			Hint:   "split it",
		}
	}
	if p.size > maxEntry {
		return &kit.Error{Fault: kit.ErrTooMany, Detail: "too much is written at once", Hint: "try again in a moment"}
	}
	return nil
}

func (p *plan) rollback(mark int) {
	for i := len(p.undo) - 1; i >= mark; i-- {
		p.undo[i]()
	}
	p.undo = p.undo[:mark]
}

func (p *plan) propose(pr Proposal) ([]kit.Record, error) {
	if err := pr.check(); err != nil {
		return nil, err
	}
	switch {
	case pr.Fence != nil:
		return nil, p.fence(*pr.Fence)
	case pr.NewEpoch:
		p.newEpoch()
		return nil, nil
	case pr.Tick:
		return nil, p.tick()
	}
	if f := p.head.fence; f.On && !pr.PassFence {
		return nil, &kit.Error{
			Fault:  kit.ErrFenced,
			Detail: fmt.Sprintf("this side takes no writes since upgrade epoch %d", f.Epoch),
			Hint:   "send them to the side that has taken over",
		}
	}
	if pr.Writes != nil {
		return p.writes(pr)
	}
	records, err := p.imports(pr.Import)
	if err == nil && pr.Cursor != nil {
		err = p.cursor(*pr.Cursor)
	}
	return records, err
}

// check returns ErrInvalid unless pr proposes one thing.
func (pr Proposal) check() error {
	n := 0
	for _, set := range []bool{pr.Writes != nil, pr.Import != nil || pr.Cursor != nil, pr.Fence != nil, pr.Tick, pr.NewEpoch} {
		if set {
			n++
		}
	}
	if n != 1 {
		return kit.Errorf(kit.ErrInvalid, "", "a proposal is one of writes, an import or a cursor, a fence, a tick and a new epoch; this one has %d of them", n)
	}
	if pr.PassFence && pr.Writes != nil {
		return kit.Errorf(kit.ErrInvalid, "", "only an import passes the fence")
	}
	return nil
}

func (p *plan) fence(f Fence) error {
	old := p.head.fence
	if f.Epoch < old.Epoch {
		return kit.Errorf(kit.ErrConflict, "", "the fence of epoch %d cannot be changed by epoch %d", old.Epoch, f.Epoch)
	}
	if f != old {
		p.head.fence = f
		p.undo = append(p.undo, func() { p.head.fence = old })
	}
	return nil
}

// newEpoch takes the time as the epoch, so that restoring a backup twice makes
// two different ones.
func (p *plan) newEpoch() {
	old := p.head.epoch
	p.head.epoch = max(old+1, p.now.Unix())
	p.undo = append(p.undo, func() { p.head.epoch = old })
}

func (p *plan) cursor(c Cursor) error {
	if c.Name == "" {
		return kit.Errorf(kit.ErrInvalid, "", "a cursor needs a name")
	}
	if c.Data != nil && !json.Valid(c.Data) {
		return kit.Errorf(kit.ErrInvalid, "", "the data of the cursor %q is not JSON", c.Name)
	}
	old, had := p.cursors[c.Name]
	p.cursors[c.Name] = c
	p.undo = append(p.undo, func() { restore(p.cursors, c.Name, old, had) })
	return nil
}

// tick deletes what has expired and collects old tombstones. While the fence
// is up it does nothing: the other side does it.
func (p *plan) tick() error {
	if p.head.fence.On {
		return nil
	}
	for _, d := range p.store.overdue(p.now, maxTick) {
		switch link := d.rec.Link; {
		case p.find(link) != d: // changed within this batch: a later tick looks at it
		case d.rec.Deleted:
			p.docs[link] = nil
			p.collected = append(p.collected, link)
			p.undo = append(p.undo, func() {
				delete(p.docs, link)
				p.collected = p.collected[:len(p.collected)-1]
			})
		default:
			if _, err := p.bury(d); err != nil {
				return err
			}
		}
	}
	return nil
}

// overdue returns up to limit documents and tombstones whose time has come.
func (s *Store) overdue(now time.Time, limit int) []*doc {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var docs []*doc
	s.state.due.Ascend(func(d *doc) bool {
		if d.due().After(now) || len(docs) == limit {
			return false
		}
		docs = append(docs, d)
		return true
	})
	return docs
}

// find returns the document or tombstone at l as the batch has left it, or
// nil.
func (p *plan) find(l kit.Link) *doc {
	if d, ok := p.docs[l]; ok {
		return d
	}
	return p.store.find(l)
}

// live returns the document at l, or nil.
func (p *plan) live(l kit.Link) *doc {
	if d := p.find(l); d != nil && !d.rec.Deleted {
		return d
	}
	return nil
}

// put makes r the document or tombstone at its link, with the next seq.
func (p *plan) put(r kit.Record, o Origin) (kit.Record, error) {
	link := r.Link
	r.Seq = p.head.seq + 1
	payload, err := appendDocument(nil, Frame{Record: r, Origin: o})
	if err != nil {
		return kit.Record{}, err
	}
	old, had := p.docs[link]
	p.docs[link] = &doc{rec: r, origin: o}
	p.changes = append(p.changes, payload)
	p.size += len(payload)
	p.head.seq++
	p.undo = append(p.undo, func() {
		restore(p.docs, link, old, had)
		p.changes = p.changes[:len(p.changes)-1]
		p.size -= len(payload)
		p.head.seq--
	})
	return r, nil
}

// bury puts a tombstone in the place of d.
func (p *plan) bury(d *doc) (kit.Record, error) {
	return p.put(kit.Record{
		Meta: kit.Meta{
			Link: d.rec.Link, Kind: d.rec.Kind, Schema: d.rec.Schema, Version: d.rec.Version + 1,
			Created: d.rec.Created, Updated: p.now, Source: d.rec.Source,
		},
		Deleted: true,
	}, d.origin.changed())
}

// changed returns the origin of a document that was changed here.
func (o Origin) changed() Origin {
	o.Hash = [16]byte{}
	return o
}

// counter returns the last id allocated in the kind.
func (p *plan) counter(kind string) int64 {
	if n, ok := p.counters[kind]; ok {
		return n
	}
	return p.head.counters[kind]
}

func (p *plan) setCounter(kind string, n int64) {
	old, had := p.counters[kind]
	p.counters[kind] = n
	p.undo = append(p.undo, func() { restore(p.counters, kind, old, had) })
}

// restore puts back what m had under key.
func restore[K comparable, V any](m map[K]V, key K, old V, had bool) {
	if had {
		m[key] = old
	} else {
		delete(m, key)
	}
}
