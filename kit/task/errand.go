package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
)

// errand is an operation that is carried out.
type errand struct {
	*operations
	doc    *document
	op     kit.Op
	ctx    context.Context // ends with the operation, by its deadline too
	cancel context.CancelCauseFunc
	began  time.Time // the latest attempt
	made   int       // attempts that have ended, on other nodes too
	report *reporter
	ack    *store.Ack // once it is carried out
	note   *Note      // goes with it
}

// Why the context of an errand ends.
var (
	errCancelled = errors.New("the operation was cancelled")
	errDeadline  = errors.New("deadline exceeded")
)

// begin starts an errand. It returns nil if op is not wished for any more.
func (o *operations) begin(d *document, op kit.Op) *errand {
	e := &errand{operations: o, doc: d, op: op}
	e.ctx, e.cancel = context.WithCancelCause(d.ctx)
	e.report = &reporter{errand: e}
	o.mu.Lock()
	defer o.mu.Unlock()
	if now, ok := pending(d.latest, op.ID); !ok || !equal(now, op) {
		e.cancel(errCancelled)
		return nil
	}
	d.runs[op.ID] = e
	return e
}

func (e *errand) end() {
	e.mu.Lock()
	if e.doc.runs[e.op.ID] == e {
		delete(e.doc.runs, e.op.ID)
	}
	e.mu.Unlock()
	e.cancel(nil)
}

// finish attempts op until it is acknowledged, or replaced, or not pending any
// more.
func (o *operations) finish(d *document, op kit.Op) {
	e := o.begin(d, op)
	if e == nil {
		return
	}
	defer e.end()
	if !op.Deadline.IsZero() {
		var stop context.CancelFunc
		e.ctx, stop = context.WithTimeoutCause(e.ctx, o.clock.until(op.Deadline), errDeadline)
		defer stop()
	}
	if e.retry().Attempts > 0 {
		e.made = o.earlier(d.ctx, d.link, op.ID).Count
	}
	for attempt := 0; ; attempt++ {
		o.mu.Lock()
		r := d.latest
		o.mu.Unlock()
		if now, ok := pending(r, op.ID); !ok || !equal(now, op) || d.ctx.Err() != nil {
			return
		}
		err := e.attempt(r)
		if err == nil && e.ack != nil {
			err = e.acknowledge(r.Version)
		}
		switch {
		case d.ctx.Err() != nil || err == nil && e.ack != nil:
			return
		case err == nil || errors.Is(err, errAgain):
			continue
		}
		o.log.Warn("operation is tried again", "link", r.Link, "op", op.ID, "attempt", attempt+1, "error", err)
		if e.ack == nil {
			sleep(e.ctx, e.retry().Pause(attempt))
		} else {
			sleep(d.ctx, pause(attempt))
		}
	}
}

func (e *errand) retry() kit.Retry {
	if e.op.Retry == nil {
		return kit.Retry{}
	}
	return *e.op.Retry
}

// attempt carries the operation out, once, unless that is done. Without an
// error and without an acknowledgement it was cancelled.
func (e *errand) attempt(r kit.Record) error {
	if e.ack != nil {
		return nil
	}
	e.began = time.Now()
	err := context.Cause(e.ctx)
	var ack store.Ack
	if err == nil {
		e.report.open()
		ack, err = e.carry(kit.WithReporter(e.ctx, e.report), r, e.op)
		e.report.close()
	}
	switch cause := context.Cause(e.ctx); {
	case err == nil:
		_, action := e.service.Does[e.op.Do]
		outcome, text := Done, ""
		if ack.Event == e.op.Do+".failed" && action {
			outcome, text = Failed, reason(ack.Data)
		}
		e.settle(ack, outcome, text, action || e.made > 0)
		return nil
	case errors.Is(cause, errCancelled):
		e.log.Info("operation cancelled", "link", r.Link, "op", e.op.ID)
		// The document may wish for nothing else, so that its context has ended.
		e.tell(context.WithoutCancel(e.doc.ctx), e.noteOf(Cancelled, cause.Error()))
		return nil
	case e.doc.ctx.Err() != nil:
		return context.Cause(e.doc.ctx)
	case errors.Is(cause, errDeadline):
		e.settle(e.failed(r, e.op, errDeadline), Failed, errDeadline.Error(), true)
		return nil
	}
	if e.made++; e.retry().Attempts > 0 && e.made >= e.retry().Attempts {
		err = fmt.Errorf("given up after %d attempts: %w", e.made, err)
		e.settle(e.failed(r, e.op, err), Failed, err.Error(), true)
		return nil
	}
	e.tell(e.doc.ctx, e.noteOf(Failing, err.Error()))
	return err
}

// settle makes ack the end of the errand.
func (e *errand) settle(ack store.Ack, outcome Outcome, text string, noted bool) {
	e.ack = &ack
	if noted {
		n := e.noteOf(outcome, text)
		e.note = &n
	}
}

// reason returns the text of the error that an event tells.
func reason(data json.RawMessage) string {
	var e struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(data, &e) // a result of another form has no text
	return e.Error
}

func (e *errand) noteOf(outcome Outcome, text string) Note {
	a := Attempt{Node: e.term.Holder, Fence: e.term.Fence, Began: e.began.UTC(), Outcome: outcome, Error: text}
	if outcome != Running {
		a.Ended = time.Now().UTC()
	}
	return Note{Op: e.op.ID, Attempt: a, Progress: e.report.last()}
}

// errAgain says that an acknowledgement has to be made for another version of
// the document, or without its event or its note.
var errAgain = errors.New("acknowledge again")

// acknowledge tells the document what became of the operation, if it still is
// at the version: it may have wished for another operation under the same id.
// If the document refuses the event, it is to be told without one.
func (e *errand) acknowledge(version int64) error {
	d, ack := e.doc, e.ack
	args, err := json.Marshal(ack)
	if err != nil {
		return err
	}
	writes := []kit.Write{{Verb: store.MethodAck, Link: d.link, Body: args, IfMatch: version}}
	if e.note != nil {
		if w, ok := e.noting(*e.note); ok {
			writes = append(writes, w)
		}
	}
	records, err := e.client.Batch(d.ctx, writes)
	switch {
	case err == nil:
		e.learn(d, records[0])
		e.wrote(len(writes) > 1)
		return nil
	case e.term.Ended(err) || d.ctx.Err() != nil:
		return err
	case e.aboutSteps(err):
		if !e.learnSteps(err) {
			e.note = nil // what is kept for people holds nothing up
		}
		return errAgain
	}
	if errors.Is(err, kit.ErrStale) {
		r, err := e.client.Read(d.ctx, d.link, kit.ReadOptions{})
		if err == nil {
			e.learn(d, r)
			return errAgain
		}
		if !errors.Is(err, kit.ErrNotFound) {
			return err
		}
	}
	switch {
	case errors.Is(err, kit.ErrNotFound) || errors.Is(err, kit.ErrStale):
		e.forget(d)
		return nil
	case kit.Temporary(err) || ack.Event == "":
		return err
	}
	e.log.Debug("event dropped", "link", d.link, "op", ack.ID, "event", ack.Event, "error", err)
	e.ack = &store.Ack{ID: ack.ID}
	return errAgain
}

// noteTime bounds how long a note may take.
const noteTime = 2 * time.Second

// tell keeps a note, if that can be done at once.
func (e *errand) tell(ctx context.Context, n Note) {
	ctx, cancel := context.WithTimeout(ctx, noteTime)
	defer cancel()
	for range 3 {
		w, ok := e.noting(n)
		if !ok {
			return
		}
		_, err := e.client.Batch(ctx, []kit.Write{w})
		if err == nil {
			e.wrote(true)
			return
		}
		if !e.learnSteps(err) {
			e.log.Debug("step not noted", "link", e.doc.link, "op", e.op.ID, "error", err)
			return
		}
	}
}

// noting returns the write that keeps n, or false if the document can have no
// steps.
func (e *errand) noting(n Note) (kit.Write, bool) {
	link, ok := stepsLink(e.doc.link)
	body, err := json.Marshal(map[string]any{"note": n, "expires": time.Now().Add(stepsAge).UTC()})
	if !ok || err != nil {
		return kit.Write{}, false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	verb := kit.VerbCreate
	if e.doc.noted {
		verb = kit.VerbUpdate
	}
	return kit.Write{Verb: verb, Link: link, Body: body}, true
}

// wrote notes that the document has steps.
func (e *errand) wrote(steps bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.doc.noted = e.doc.noted || steps
}

// aboutSteps tells whether err is not about the document itself.
func (e *errand) aboutSteps(err error) bool {
	var of *kit.Error
	return errors.As(err, &of) && of.Link.Kind() == AllSteps.Name && e.doc.link.Kind() != AllSteps.Name
}

// learnSteps learns from err whether the document has steps already, and
// returns true if it was not known.
func (e *errand) learnSteps(err error) bool {
	if !e.aboutSteps(err) {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case errors.Is(err, kit.ErrConflict) && !e.doc.noted, errors.Is(err, kit.ErrNotFound) && e.doc.noted:
		e.doc.noted = !e.doc.noted
		return true
	}
	return false
}
