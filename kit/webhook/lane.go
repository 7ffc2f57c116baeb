package webhook

import (
	"context"
	"errors"
	"net/http"
	"time"

	"landfall.dev/kit"
)

// lane posts the changes of one document, one after the other. The stream's
// mutex guards what is not the lane's goroutine's alone.
type lane struct {
	*stream
	id     string // of the letter that there is, or may be
	wake   chan struct{}
	atWork bool // it has a token; the goroutine's
	parked bool // it has a token; the goroutine's

	next    *kit.Change // to be posted, or for a letter to be about
	since   mark        // of the first change that is neither posted nor in a letter
	letter  *Letter     // nil, or what is kept of a change that failed
	again   bool        // somebody has retried the letter
	dropped bool        // somebody has deleted it
}

// offer makes ch the next change. The caller holds the mutex.
func (l *lane) offer(ch kit.Change) {
	l.next = &ch
	if l.since == (mark{}) {
		l.since = mark{ch.Position, ch.Record.Updated}
	}
	l.ring()
}

// ring wakes a lane that waits.
func (l *lane) ring() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run returns when there is nothing left to post, or ctx ends.
func (l *lane) run(ctx context.Context) {
	defer l.leave()
	for attempt := 0; ctx.Err() == nil; {
		l.mu.Lock()
		next, letter := l.next, l.letter
		if next == nil && letter == nil {
			delete(l.open, l.id)
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		if letter != nil {
			l.attend(ctx, *letter, next)
			attempt = 0
			continue
		}
		err := l.send(ctx, next.Record)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			l.done(next)
			attempt = 0
			continue
		}
		if attempt++; attempt >= fewAtFirst && l.park(ctx, *next, attempt, err) {
			continue
		}
		sleep(ctx, l.pause(attempt-1, err))
	}
}

// leave gives back the lane's tokens.
func (l *lane) leave() {
	if l.atWork {
		<-l.stream.atWork
	}
	if l.parked {
		<-l.stream.parked
	}
	l.touch()
}

// send posts r once and notes the outcome. A receiver that is gone for good
// ends the subscription.
func (l *lane) send(ctx context.Context, r kit.Record) error {
	select {
	case l.posts <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	err := l.post(ctx, r)
	<-l.posts
	if ctx.Err() != nil {
		return err // not the receiver's fault
	}
	l.count(err)
	var answer *refusal
	if errors.As(err, &answer) && answer.status == http.StatusGone {
		l.disable(ctx, err.Error())
	}
	return err
}

// pause returns how long to wait after a failed attempt, counted from 0.
func (l *lane) pause(attempt int, err error) time.Duration {
	d := l.Retry.Pause(attempt)
	var answer *refusal
	if errors.As(err, &answer) {
		d = max(d, answer.after)
	}
	return d
}

// done notes that ch is posted, or that a letter is about it.
func (l *lane) done(ch *kit.Change) {
	l.mu.Lock()
	l.since = mark{}
	if l.next == ch {
		l.next = nil
	} else {
		l.since = mark{l.next.Position, l.next.Record.Updated}
	}
	l.mu.Unlock()
	l.touch()
}

// park writes a letter about ch, so that the stream can go on. It returns false
// if there are too many, or that failed.
func (l *lane) park(ctx context.Context, ch kit.Change, attempts int, failure error) bool {
	select {
	case l.stream.parked <- struct{}{}:
	default:
		return false
	}
	letter := Letter{Subscription: l.sub.Link, State: Retrying}.of(ch.Record)
	letter.fail(attempts, failure, l.pause(attempts-1, failure))
	kept, err := l.keep(ctx, letter)
	if err != nil {
		<-l.stream.parked
		l.log.Warn("letter not written yet", "subscription", l.sub.Link, "document", letter.Of, "error", err)
		return false
	}
	l.parked = true
	if l.atWork {
		<-l.stream.atWork
		l.atWork = false
	}
	l.mu.Lock()
	l.letter, l.again, l.dropped = &kept, false, false
	if l.next.Position == ch.Position {
		l.next, l.since = nil, mark{}
	} else {
		l.since = mark{l.next.Position, l.next.Record.Updated}
	}
	l.mu.Unlock()
	l.touch()
	return true
}

// attend does the next thing about a letter: it notes a newer change, waits
// until it is due, or posts it.
func (l *lane) attend(ctx context.Context, letter Letter, next *kit.Change) {
	l.mu.Lock()
	dropped, again := l.dropped, l.again
	l.again = false
	l.mu.Unlock()
	switch {
	case dropped:
		l.free()
		return
	case next != nil:
		if l.rewrite(ctx, letter.of(next.Record)) {
			l.done(next)
		}
		return
	case again:
		letter.Attempts = 0
	case time.Until(letter.Next) > 0:
		due := time.NewTimer(time.Until(letter.Next))
		defer due.Stop()
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
			return
		case <-due.C:
		}
	}
	r, err := l.current(ctx, letter)
	if err == nil {
		err = l.send(ctx, r)
	}
	switch {
	case ctx.Err() != nil:
	case err == nil || errors.Is(err, errSuperseded):
		l.remove(ctx)
	default:
		letter.fail(letter.Attempts+1, err, l.pause(letter.Attempts, err))
		if letter.Attempts >= l.Retry.Attempts {
			letter.State = Dead
			l.log.Warn("delivery given up", "subscription", l.sub.Link, "document", letter.Of, "attempts", letter.Attempts, "error", err)
		}
		l.rewrite(ctx, letter)
	}
}

// errSuperseded says that a letter's document is deleted: the stream will yield
// that as a change of its own.
var errSuperseded = errors.New("the document is deleted")

// current returns the document that a letter is about, as it is now.
func (l *lane) current(ctx context.Context, letter Letter) (kit.Record, error) {
	if letter.OfDeleted {
		return letter.tombstone(), nil
	}
	r, err := l.reader.Read(ctx, letter.Of, kit.ReadOptions{})
	if errors.Is(err, kit.ErrNotFound) {
		return r, errSuperseded
	}
	return r, err
}

// rewrite brings the letter's document up to date and returns whether it could.
func (l *lane) rewrite(ctx context.Context, letter Letter) bool {
	kept, err := l.keep(ctx, letter)
	switch {
	case errors.Is(err, kit.ErrNotFound):
		l.free()
		return false
	case err != nil:
		if ctx.Err() == nil {
			l.log.Warn("letter not written yet", "subscription", l.sub.Link, "document", letter.Of, "error", err)
		}
		sleep(ctx, l.Retry.First)
		return false
	case kept.State == Dead:
		l.free()
		return true
	}
	l.mu.Lock()
	l.letter = &kept
	l.mu.Unlock()
	return true
}

// remove deletes the letter. If that fails, its document is posted once more.
func (l *lane) remove(ctx context.Context) {
	err := l.own.Delete(ctx, Letters.Link(l.id), 0)
	if err != nil && !errors.Is(err, kit.ErrNotFound) && ctx.Err() == nil {
		l.log.Warn("letter not deleted", "subscription", l.sub.Link, "letter", l.id, "error", err)
	}
	l.free()
}

// free makes the lane go on without a letter.
func (l *lane) free() {
	l.mu.Lock()
	l.letter, l.again, l.dropped = nil, false, false
	l.mu.Unlock()
	if l.parked {
		<-l.stream.parked
		l.parked = false
	}
}

// fail notes a failed attempt.
func (l *Letter) fail(attempts int, err error, pause time.Duration) {
	l.Attempts, l.Error, l.Next = attempts, err.Error(), time.Now().Add(pause).UTC()
}

// keep writes letter and returns it as it is now. One that was there and is not
// any more was dropped: ErrNotFound.
func (l *lane) keep(ctx context.Context, letter Letter) (Letter, error) {
	known := letter.Version > 0
	letter.Meta = kit.Meta{Expires: time.Now().Add(letterAge).UTC()}
	if !known {
		kept, err := Letters.Create(ctx, l.own, l.id, letter)
		if !errors.Is(err, kit.ErrConflict) {
			return kept, err
		}
	}
	return Letters.Modify(ctx, l.own, l.id, func(there *Letter) error {
		letter.Retries = there.Retries
		meta := there.Meta
		*there = letter
		there.Meta, there.Expires = meta, letter.Expires
		return nil
	})
}
