package task

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"landfall.dev/kit"
)

// operations carries out the pending operations of one kind's documents.
type operations struct {
	*Runner
	kind string
	work sync.WaitGroup // lanes and timers that run

	mu   sync.Mutex
	docs map[kit.Link]*document // those with pending operations
}

// document is a document with pending operations. The mutex of its operations
// guards it.
type document struct {
	link   kit.Link
	ctx    context.Context // ends with the document
	cancel context.CancelCauseFunc
	latest kit.Record
	lane   bool // a goroutine carries out the operations without a time
	timers map[string]*timer
	runs   map[string]*errand // by the operations' ids
	noted  bool               // it has steps
}

// timer is an operation that has a time.
type timer struct {
	op    kit.Op
	clock *time.Timer
}

func newOperations(r *Runner, kind string) *operations {
	return &operations{Runner: r, kind: kind, docs: map[kit.Link]*document{}}
}

// run returns when ctx has ended and no operation runs any more.
func (o *operations) run(ctx context.Context) {
	defer o.work.Wait()
	defer o.stop()
	for attempt := 0; ctx.Err() == nil; attempt++ {
		for ch, err := range o.client.Watch(ctx, kit.WatchQuery{Kind: o.kind, Pending: true}) {
			if err != nil {
				o.log.Error("watch of own documents ended", "kind", o.kind, "error", err)
				break
			}
			attempt = 0
			o.see(ctx, ch.Record)
		}
		sleep(ctx, pause(attempt))
	}
}

// stop ends all timers and keeps new ones from starting.
func (o *operations) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range o.docs {
		d.end(errors.New("the service stops"))
	}
	o.docs = nil
}

// end makes all that runs for d stop. The caller holds the mutex.
func (d *document) end(cause error) {
	d.cancel(cause)
	for _, t := range d.timers {
		t.clock.Stop()
	}
}

// see takes notice of what the watch says of a document.
func (o *operations) see(ctx context.Context, r kit.Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := o.docs[r.Link]
	switch {
	case r.Deleted && d != nil:
		d.end(errors.New("the document was deleted"))
		delete(o.docs, r.Link)
		return
	case r.Deleted || d == nil && len(r.Pending) == 0:
		return
	case d == nil:
		d = &document{link: r.Link, timers: map[string]*timer{}, runs: map[string]*errand{}}
		d.ctx, d.cancel = context.WithCancelCause(ctx)
		o.docs[r.Link] = d
	}
	o.update(d, r)
	if len(d.latest.Pending) == 0 && r.Version >= d.latest.Version {
		// Nothing to do, and the watch will not yield an older version.
		d.end(errors.New("nothing is pending"))
		delete(o.docs, r.Link)
	}
}

// update makes r the latest version of d if it is newer, and starts what must
// be started. The caller holds the mutex.
func (o *operations) update(d *document, r kit.Record) {
	switch r.Created.Compare(d.latest.Created) {
	case -1:
		return
	case 0:
		if r.Version <= d.latest.Version {
			return
		}
	}
	d.latest = r
	o.clock.saw(r)
	for id, e := range d.runs {
		if op, ok := pending(r, id); !ok || !equal(op, e.op) {
			e.cancel(errCancelled)
		}
	}
	for id, t := range d.timers {
		if op, ok := pending(r, id); !ok || !equal(op, t.op) {
			t.clock.Stop()
			delete(d.timers, id)
		}
	}
	for _, op := range r.Pending {
		switch {
		case op.At.IsZero() && !d.lane:
			d.lane = true
			o.work.Go(func() { o.follow(d) })
		case !op.At.IsZero() && d.timers[op.ID] == nil:
			t := &timer{op: op}
			d.timers[op.ID] = t
			t.clock = time.AfterFunc(o.clock.until(op.At), func() { o.fire(d, t) })
		}
	}
}

func pending(r kit.Record, id string) (kit.Op, bool) {
	i := slices.IndexFunc(r.Pending, func(op kit.Op) bool { return op.ID == id })
	if i < 0 {
		return kit.Op{}, false
	}
	return r.Pending[i], true
}

// follow carries out the operations of d that have no time, in order, until
// there are none.
func (o *operations) follow(d *document) {
	for {
		o.mu.Lock()
		i := slices.IndexFunc(d.latest.Pending, func(op kit.Op) bool { return op.At.IsZero() })
		if i < 0 || d.ctx.Err() != nil {
			d.lane = false
			o.mu.Unlock()
			return
		}
		op := d.latest.Pending[i]
		o.mu.Unlock()
		o.finish(d, op)
	}
}

// fire carries out the operation whose time has come, unless it has been
// replaced.
func (o *operations) fire(d *document, t *timer) {
	o.mu.Lock()
	if d.ctx.Err() != nil || d.timers[t.op.ID] != t {
		o.mu.Unlock()
		return
	}
	o.work.Add(1)
	o.mu.Unlock()
	defer o.work.Done()
	o.finish(d, t.op)
}

// learn takes notice of what the answer to a call says of d.
func (o *operations) learn(d *document, r kit.Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.docs[d.link] == d {
		o.update(d, r)
	}
}

// forget drops d, which does not exist any more.
func (o *operations) forget(d *document) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.docs[d.link] == d {
		d.end(errors.New("the document is gone"))
		delete(o.docs, d.link)
	}
}

// equal tells whether a and b are the same wish.
func equal(a, b kit.Op) bool {
	return a.ID == b.ID && a.Do == b.Do && a.Link == b.Link && a.Event == b.Event && a.At.Equal(b.At) &&
		bytes.Equal(a.Data, b.Data) && a.Deadline.Equal(b.Deadline) && (a.Retry == b.Retry || a.Retry != nil && b.Retry != nil && *a.Retry == *b.Retry)
}
