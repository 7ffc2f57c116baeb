package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
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
	s.decided = nil
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
	s.decided = &decided{entry, p.changes}
	return entry, results
}

// plan is what the proposals of a batch have come to so far, over the applied
// state. Every change of it adds its reversal to undo.
type plan struct {
	store *Store
	now   time.Time
	head  head // with epoch, seq, time, lag and fence as they will be
	full  bool // the store has no room for more documents

	docs      map[kit.Link]*frame.Frame // those that changed, nil for a collected tombstone
	onces     map[[16]byte]frame.Once   // idempotency keys, by their ids
	changes   []*frame.Piece            // both, each version in order of seq
	settled   int                       // how many of the changes docs has: see settle
	counters  map[string]int64          // those that changed
	cursors   map[string]Cursor         // those that changed
	collected []kit.Link
	bulk      frame.Bulk
	size      int // of the changes and the cursors, in bytes
	undo      []func()
}

// newPlan stamps the batch with now, or the time of the batch before if that
// is later: documents' times never go backwards.
func newPlan(s *Store, now time.Time) *plan {
	p := &plan{
		store: s, docs: map[kit.Link]*frame.Frame{}, onces: map[[16]byte]frame.Once{},
		counters: map[string]int64{}, cursors: map[string]Cursor{},
	}
	s.mu.RLock()
	p.head, p.full = s.head, s.engine.Full()
	s.mu.RUnlock()
	p.now = stamp(now)
	if p.now.Before(p.head.time) {
		p.now = p.head.time
	}
	p.head = p.head.at(p.now)
	if p.head.epoch == 0 {
		p.head.epoch = max(1, p.now.UnixMicro())
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
	if err := p.fenced(pr); err != nil {
		return nil, err
	}
	if err := p.pinned(pr); err != nil {
		return nil, err
	}
	switch {
	case pr.Key != "":
		return p.writeOnce(pr)
	case pr.Writes != nil:
		return p.writes(pr)
	}
	records, err := p.imports(pr.Import)
	if err != nil {
		return nil, err
	}
	p.adopt(pr.Keys, pr.KeysAt)
	if pr.Cursor != nil {
		err = p.cursor(*pr.Cursor)
	}
	return records, err
}

// pinned returns ErrStale unless all documents have the versions that pr is
// pinned to.
func (p *plan) pinned(pr Proposal) error {
	for i, version := range pr.Pins {
		if version == 0 {
			continue
		}
		link := pr.Writes[i].Link
		if d := p.live(link); d == nil || d.Record.Version != version {
			return errMeanwhile(link)
		}
	}
	return nil
}

func errMeanwhile(l kit.Link) error {
	return &kit.Error{Fault: kit.ErrStale, Link: l, Detail: "it was changed just now", Hint: "try again"}
}

// fenced returns ErrFenced if pr does not get through the fence.
func (p *plan) fenced(pr Proposal) error {
	f := p.head.fence
	if !f.On || pr.PassFence {
		return nil
	}
	return &kit.Error{
		Fault:  kit.ErrFenced,
		Detail: fmt.Sprintf("this side takes no writes since upgrade epoch %d", f.Epoch),
		Hint:   "send them to the side that has taken over",
	}
}

// check returns ErrInvalid unless pr proposes one thing.
func (pr Proposal) check() error {
	n := 0
	for _, set := range []bool{pr.Writes != nil, pr.Import != nil || pr.Keys != nil || pr.Cursor != nil, pr.Fence != nil, pr.Tick, pr.NewEpoch} {
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
	if pr.Pins != nil && len(pr.Pins) != len(pr.Writes) {
		return kit.Errorf(kit.ErrInvalid, "", "there are %d pins for %d writes", len(pr.Pins), len(pr.Writes))
	}
	if pr.Key == "" {
		return nil
	}
	if pr.Writes == nil {
		return kit.Errorf(kit.ErrInvalid, "", "only writes have an idempotency key")
	}
	return checkKey(pr.Key)
}

func (p *plan) fence(f Fence) error {
	old := p.head.fence
	if f.Epoch < old.Epoch {
		return kit.Errorf(kit.ErrConflict, "", "the fence of epoch %d cannot be changed by epoch %d", old.Epoch, f.Epoch)
	}
	f.Closed = f.On && f.Closed
	f.Lifted = old.Lifted
	if old.On && !f.On {
		f.Lifted++
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
	p.head.epoch = max(old+1, p.now.UnixMicro())
	p.undo = append(p.undo, func() { p.head.epoch = old })
}

func (p *plan) cursor(c Cursor) error {
	if c.Name == "" {
		return kit.Errorf(kit.ErrInvalid, "", "a cursor needs a name")
	}
	if c.Data != nil && !json.Valid(c.Data) {
		return kit.Errorf(kit.ErrInvalid, "", "the data of the cursor %q is not JSON", c.Name)
	}
	// In the head it is nested deeper, and maybe too deep to be read.
	head, err := json.Marshal(wireHead{Cursors: map[string]Cursor{c.Name: c}})
	if err != nil || !json.Valid(head) {
		return kit.Errorf(kit.ErrInvalid, "", "the data of the cursor %q is nested too deep", c.Name)
	}
	old, had := p.cursors[c.Name]
	if !had && reflect.DeepEqual(p.head.cursors[c.Name], c) {
		return nil
	}
	p.cursors[c.Name] = c
	p.size += len(head)
	p.undo = append(p.undo, func() {
		restore(p.cursors, c.Name, old, had)
		p.size -= len(head)
	})
	return nil
}

// tick deletes what has expired and collects old tombstones. While the fence
// is up it does nothing: the other side does it.
func (p *plan) tick() error {
	if p.head.fence.On {
		return nil
	}
	for _, d := range p.store.overdue(p.now, maxTick) {
		link := d.Record.Link
		switch now := p.find(link); {
		case now == nil || now.Record.Seq != d.Record.Seq: // changed within this batch: a later tick looks at it
		case d.Record.Deleted:
			p.docs[link] = nil
			p.collected = append(p.collected, link)
			p.undo = append(p.undo, func() {
				delete(p.docs, link)
				p.collected = p.collected[:len(p.collected)-1]
			})
		default:
			if _, err := p.bury(&d); err != nil {
				return err
			}
		}
	}
	return nil
}

// overdue returns up to limit documents and tombstones whose time
// has come.
func (s *Store) overdue(now time.Time, limit int) []frame.Frame {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.engine.Overdue(now, limit)
}

// find returns the document or tombstone at l as the batch has left it, or
// nil.
func (p *plan) find(l kit.Link) *frame.Frame {
	p.settle()
	if d, ok := p.docs[l]; ok {
		return d
	}
	return p.store.find(l)
}

// settle brings docs up to date with the changes by series.
func (p *plan) settle() {
	for ; p.settled < len(p.changes); p.settled++ {
		if c := p.changes[p.settled]; c.Type == frame.TypeDocument {
			f := c.Frame()
			p.docs[f.Record.Link] = &f
		}
	}
}

// live returns the document at l, or nil.
func (p *plan) live(l kit.Link) *frame.Frame {
	if d := p.find(l); d != nil && !d.Record.Deleted {
		return d
	}
	return nil
}

// put makes r the document or tombstone at its link, with the next seq.
func (p *plan) put(r kit.Record, o frame.Origin) (kit.Record, error) {
	link := r.Link
	r.Seq = p.head.seq + 1
	var piece frame.Piece
	if err := encode(&piece, nil, &r, &o, false); err != nil {
		return kit.Record{}, err
	}
	if p.full && !r.Deleted {
		return kit.Record{}, at(link, errFull)
	}
	p.settle()
	old, had := p.docs[link]
	p.docs[link] = &frame.Frame{Record: r, Origin: o}
	p.changes = append(p.changes, &piece)
	p.settled++
	p.size += len(piece.Raw)
	p.head.seq++
	p.undo = append(p.undo, func() {
		restore(p.docs, link, old, had)
		p.changes = p.changes[:len(p.changes)-1]
		p.settled = len(p.changes)
		p.size -= len(piece.Raw)
		p.head.seq--
	})
	return r, nil
}

// encode makes p the piece of a document, its bytes appended to b. What Apply
// would refuse must not get into the log: no node would start again. With
// linked the link is known to be one.
func encode(p *frame.Piece, b []byte, r *kit.Record, o *frame.Origin, linked bool) error {
	err := p.Encode(b, r, o, linked)
	var internal *kit.Error
	if err != nil && (!errors.As(err, &internal) || internal.Fault != kit.ErrInternal) {
		err = kit.Errorf(kit.ErrInvalid, r.Link, "the document cannot be kept: %v", err)
	}
	return err
}

// bury puts a tombstone in the place of d.
func (p *plan) bury(d *frame.Frame) (kit.Record, error) {
	return p.put(kit.Record{
		Meta: kit.Meta{
			Link: d.Record.Link, Kind: d.Record.Kind, Schema: d.Record.Schema, Version: d.Record.Version + 1,
			Created: d.Record.Created, Updated: p.now, Source: d.Record.Source,
		},
		Deleted: true,
	}, changed(d.Origin))
}

// changed returns the origin of a document that was changed here.
func changed(o frame.Origin) frame.Origin {
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

var errFull = kit.Errorf(kit.ErrUnavailable, "", "this node holds as many documents as it can; delete some")
