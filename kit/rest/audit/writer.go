package audit

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/limit"
)

// Writer writes records. Its methods may be called concurrently. It runs
// nothing while there is nothing to write.
type Writer struct {
	client    kit.Client
	log       *slog.Logger
	retention time.Duration
	each, all limit.Rates // of the refusals that leave a record

	mu         sync.Mutex
	queue      []entry
	writing    bool
	suppressed int64 // refusals without a record since the last that is in the queue or written
}

// entry is a record to be written.
type entry struct {
	record Record
	done   chan error // of capacity 1
}

// Refusals leave a record up to these numbers, so that who is refused all the
// time, or is over a limit, cannot fill the memory: at most some hundred thousand
// in 90 days. The others are counted in the next record of the node.
const (
	burstOfOne = 20 // of one caller or address, and then one each
	oneAfter   = time.Minute
	burstOfAll = 1000 // of all, and then one each
	allAfter   = 30 * time.Second
)

const (
	batchSize = 64   // records in a batch
	queueSize = 4096 // records that wait
	maxRaces  = 100  // that a batch may lose against other nodes
	// writeWithin is how long it is tried to write a batch.
	writeWithin = 20 * time.Second
	// DefaultRetention is how long records are kept.
	DefaultRetention = 90 * 24 * time.Hour
)

// NewWriter returns a writer of records through c, which belongs to the
// service that owns them.
func NewWriter(c kit.Client, log *slog.Logger, retention time.Duration) *Writer {
	if retention == 0 {
		retention = DefaultRetention
	}
	return &Writer{client: c, log: log, retention: retention}
}

// Refused records a refusal, soon and unless there are too many.
func (w *Writer) Refused(r Record) {
	who := r.Subject
	if who == "" {
		who = r.Remote
	}
	now := time.Now()
	few := w.each.Take(who, rate(oneAfter), burstOfOne, now) == 0 && w.all.Take("", rate(allAfter), burstOfAll, now) == 0
	w.mu.Lock()
	defer w.mu.Unlock()
	if !few || len(w.queue) >= queueSize {
		w.suppressed++
		return
	}
	r.Suppressed, w.suppressed = w.suppressed, 0
	w.add(r)
}

func rate(each time.Duration) float64 { return float64(time.Second) / float64(each) }

// Done records an administrative call and returns once the record is written,
// or was not: then it is in the log.
func (w *Writer) Done(ctx context.Context, r Record) error {
	w.mu.Lock()
	r.Suppressed, w.suppressed = w.suppressed, 0
	done := w.add(r)
	w.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// add puts a record into the queue. The caller holds mu.
func (w *Writer) add(r Record) <-chan error {
	e := entry{record: r, done: make(chan error, 1)}
	w.queue = append(w.queue, e)
	if !w.writing {
		w.writing = true
		go w.write()
	}
	return e.done
}

// write writes until the queue is empty.
func (w *Writer) write() {
	for {
		w.mu.Lock()
		n := min(len(w.queue), batchSize)
		batch := w.queue[:n:n]
		w.queue = w.queue[n:]
		if n == 0 {
			w.queue, w.writing = nil, false
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		err := w.extend(batch)
		for _, e := range batch {
			if err != nil {
				w.log.Error("audit record was not written", "error", err, "subject", e.record.Subject, "verb", e.record.Verb,
					"target", e.record.Target, "status", e.record.Status, "at", e.record.Time, "request", e.record.Request, "remote", e.record.Remote)
			}
			e.done <- err
		}
	}
}

// extend adds the batch to the chain, behind whatever others have added.
func (w *Writer) extend(batch []entry) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeWithin)
	defer cancel()
	for attempt := 1; ; attempt++ {
		head, err := Chains.Read(ctx, w.client, Head)
		if err != nil && kit.FaultOf(err) != kit.ErrNotFound {
			return err
		}
		writes, err := w.link(head, batch)
		if err != nil {
			return err
		}
		_, err = w.client.Batch(ctx, writes, kit.Once(rand.Text()))
		if f := kit.FaultOf(err); f != kit.ErrStale && f != kit.ErrConflict || attempt == maxRaces {
			return err
		}
		// Another node was first.
	}
}

// link returns the writes that add the batch to the chain that ends at head.
func (w *Writer) link(head Chain, batch []entry) ([]kit.Write, error) {
	version := head.Version
	next := Chain{Number: head.Number, Hash: head.Hash, Until: head.Until}
	var writes []kit.Write
	for _, e := range batch {
		r := e.record
		if until := r.Time.Add(w.retention).UTC().Truncate(time.Microsecond); until.After(next.Until) {
			next.Until = until
		}
		r.Meta = kit.Meta{Expires: next.Until}
		r.Time = r.Time.UTC().Truncate(time.Microsecond)
		next.Number++
		r.Number, r.Previous = next.Number, next.Hash
		body, err := json.Marshal(r)
		if err != nil {
			return nil, &kit.Error{Op: "audit.write", Err: err}
		}
		own, err := kit.StripEnvelope(body)
		if err != nil {
			return nil, err
		}
		if next.Hash, err = Hash(kit.Record{Body: own}); err != nil {
			return nil, err
		}
		writes = append(writes, kit.Write{Verb: kit.VerbCreate, Link: Records.Link(ID(r.Number)), Body: body})
	}
	body, err := json.Marshal(next)
	if err != nil {
		return nil, &kit.Error{Op: "audit.write", Err: err}
	}
	last := kit.Write{Verb: kit.VerbUpdate, Link: Chains.Link(Head), Body: body, IfMatch: version}
	if version == 0 {
		last.Verb = kit.VerbCreate
	}
	return append(writes, last), nil
}
