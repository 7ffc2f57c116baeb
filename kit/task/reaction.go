package task

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"landfall.dev/kit"
)

// reaction carries out what a service does about changes of a kind.
type reaction struct {
	*Runner
	kit.Reaction
	id      string // of the cursor
	dirty   chan struct{}
	failing chan struct{} // a token for each entry of open
	retries sync.WaitGroup

	mu    sync.Mutex
	read  kit.Position            // of the last change that was yielded
	saved kit.Position            // in the cursor
	open  map[kit.Link]kit.Change // what is tried again
}

func newReaction(r *Runner, w kit.Reaction) *reaction {
	return &reaction{
		Runner: r, Reaction: w, id: cursorID(r.service.Name, w.Kind),
		dirty: make(chan struct{}, 1), failing: make(chan struct{}, maxFailing), open: map[kit.Link]kit.Change{},
	}
}

// run returns when ctx has ended and the cursor is saved.
func (x *reaction) run(ctx context.Context) {
	if !x.load(ctx) {
		return
	}
	var saver sync.WaitGroup
	saver.Go(func() { x.keepSaving(ctx) })
	defer func() {
		x.retries.Wait()
		saver.Wait()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		x.save(last)
	}()
	for attempt := 0; ctx.Err() == nil; attempt++ {
		x.mu.Lock()
		from := x.read
		x.mu.Unlock()
		for ch, err := range x.client.Watch(ctx, kit.WatchQuery{Kind: x.Kind, From: from}) {
			if errors.Is(err, kit.ErrNotFound) {
				x.log.Info("does without", "kind", x.Kind, "because", err)
				return
			}
			if err != nil {
				x.lost(err)
				break
			}
			attempt = 0
			x.handle(ctx, ch)
		}
		sleep(ctx, pause(attempt))
	}
}

// lost decides how to go on after the watch has failed.
func (x *reaction) lost(err error) {
	if !errors.Is(err, kit.ErrGone) {
		x.log.Error("watch ended", "kind", x.Kind, "error", err)
		return
	}
	x.log.Info("reactions begin anew: the cursor is too old", "kind", x.Kind)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.read = kit.Position{}
}

// handle reacts to a change. If that fails, the change is tried again on the
// side, so that one document does not hold up all others.
func (x *reaction) handle(ctx context.Context, ch kit.Change) {
	link := ch.Record.Link
	x.mu.Lock()
	x.read = ch.Position
	if _, busy := x.open[link]; busy {
		x.open[link] = ch
		x.mu.Unlock()
		return
	}
	x.open[link] = ch
	x.mu.Unlock()

	err := x.attempt(ctx, ch.Record)
	if err == nil {
		x.close(ch)
		return
	}
	if take(ctx, x.failing) {
		x.retries.Go(func() {
			defer func() { <-x.failing }()
			x.retry(ctx, link, err)
		})
	}
}

// retry attempts the latest change of the document at link until it is done.
func (x *reaction) retry(ctx context.Context, link kit.Link, err error) {
	for attempt := 0; ; attempt++ {
		wait := pause(attempt)
		var early earlyError
		if errors.As(err, &early) {
			wait, attempt = time.Until(early.at), 0
		} else if ctx.Err() == nil {
			x.log.Warn("reaction is tried again", "link", link, "attempt", attempt+1, "error", err)
		}
		sleep(ctx, wait)
		if ctx.Err() != nil {
			return
		}
		x.mu.Lock()
		ch := x.open[link]
		x.mu.Unlock()
		if err = x.attempt(ctx, ch.Record); err == nil && x.close(ch) {
			return
		}
	}
}

// close notes that ch is done. It returns false if the document has changed
// meanwhile.
func (x *reaction) close(ch kit.Change) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.open[ch.Record.Link].Position != ch.Position {
		return false
	}
	delete(x.open, ch.Record.Link)
	select {
	case x.dirty <- struct{}{}:
	default:
	}
	return true
}

// earlyError says that an operation has to wait.
type earlyError struct{ at time.Time }

func (e earlyError) Error() string { return fmt.Sprintf("not before %s", e.at) }

// attempt asks the reaction what to do about r and does it.
func (x *reaction) attempt(ctx context.Context, r kit.Record) error {
	if r.Deleted {
		return nil
	}
	var ops []kit.Op
	err := guard(func() (err error) {
		ops, err = x.React(r, time.Now().UTC())
		return err
	})
	if err != nil {
		return err
	}
	var early error
	for _, op := range ops {
		if time.Until(op.At) > 0 {
			early = earlyError{op.At}
			continue
		}
		if op.Do == kit.OpSend && op.Link == r.Link {
			err = x.write(ctx, r, op)
		} else {
			_, err = x.carry(ctx, r, op)
		}
		if err != nil {
			return err
		}
	}
	return early
}

// done returns the position up to which everything is done.
func (x *reaction) done() kit.Position {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.read
	for _, ch := range x.open {
		if ch.Position.Seq <= p.Seq {
			p.Seq = ch.Position.Seq - 1
		}
	}
	return p
}

// load reads the cursor; false means that ctx has ended.
func (x *reaction) load(ctx context.Context) bool {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		c, err := Cursors.Read(ctx, x.client, x.id)
		if errors.Is(err, kit.ErrNotFound) {
			return true
		}
		if err == nil {
			x.read, err = kit.ParsePosition(c.Position)
			x.saved = x.read
		}
		if err == nil {
			return true
		}
		x.log.Warn("cursor not read yet", "cursor", x.id, "error", err)
		sleep(ctx, pause(attempt))
	}
	return false
}

// keepSaving writes the cursor after changes, not too often, until ctx ends.
func (x *reaction) keepSaving(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-x.dirty:
			sleep(ctx, cursorPause)
		}
		if ctx.Err() == nil {
			x.save(ctx)
		}
	}
}

// save writes the cursor. A failure only means that more is repeated.
func (x *reaction) save(ctx context.Context) {
	p := x.done()
	if p == x.saved {
		return
	}
	body := []byte(fmt.Sprintf(`{"position":%q}`, p))
	_, err := x.client.Update(ctx, Cursors.Link(x.id), body, 0)
	if errors.Is(err, kit.ErrNotFound) {
		_, err = x.client.Create(ctx, Cursors.Name, x.id, body)
	}
	if err != nil {
		x.log.Warn("cursor not saved", "cursor", x.id, "error", err)
		return
	}
	x.saved = p
}
