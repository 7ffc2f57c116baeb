package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"landfall.dev/kit"
)

// The bounds of a subscription.
const (
	maxPosts   = 8    // at once
	maxAtWork  = 256  // documents that are posted or about to be
	maxParked  = 1000 // letters that are retried, unless people retry more
	savePause  = time.Second
	saveTime   = 2 * time.Second // at the end
	fewAtFirst = 3               // attempts before a letter is written
)

// stream serves one subscription.
type stream struct {
	*term
	sub    Subscription
	reader kit.Client    // acts as who subscribed
	posts  chan struct{} // a token for each post
	atWork chan struct{} // a token for each lane without a letter
	parked chan struct{} // a token for each letter that the stream has written
	dirty  chan struct{}
	lanes  sync.WaitGroup
	stop   func() // returns when it has stopped

	mu     sync.Mutex
	ctx    context.Context // of the lanes; nil before and after
	open   map[string]*lane
	read   mark // of the last change that was yielded
	saved  progress
	counts progress // Delivered, Failures and LastError so far
}

// mark is a place in the feed.
type mark struct {
	at   kit.Position
	time time.Time // of the change there
}

func newStream(t *term, sub Subscription) *stream {
	kept := progress{sub.Of, sub.Position, sub.Seen, sub.Delivered, sub.Failures, sub.LastError}
	return &stream{
		term: t, sub: sub, reader: t.Client(sub.By),
		posts: make(chan struct{}, maxPosts), atWork: make(chan struct{}, maxAtWork), parked: make(chan struct{}, maxParked),
		dirty: make(chan struct{}, 1), open: map[string]*lane{}, saved: kept, counts: kept,
	}
}

// serves tells whether s does what sub asks for.
func (s *stream) serves(sub Subscription) bool {
	a, b := s.sub, sub
	return a.Of == b.Of && a.Filter == b.Filter && a.URL == b.URL && a.By == b.By &&
		a.Sealed == b.Sealed && a.Former == b.Former && a.Created.Equal(b.Created)
}

// run posts changes until ctx ends, and returns when all posts have.
func (s *stream) run(ctx context.Context) {
	if _, err := s.vault.open(s.sub.Sealed, s.sub.Link); err != nil {
		s.disable(ctx, err.Error())
		return
	}
	if s.sub.Position != "" {
		at, err := kit.ParsePosition(s.sub.Position)
		if err != nil {
			s.log.Error("position ignored", "subscription", s.sub.Link, "error", err)
		}
		s.read.at = at
	}
	s.read.time = s.sub.Seen
	lanes, cancel := context.WithCancelCause(ctx)
	s.mu.Lock()
	s.ctx = lanes
	s.mu.Unlock()
	var saver sync.WaitGroup
	saver.Go(func() { s.keepSaving(ctx) })
	defer func() {
		s.mu.Lock()
		s.ctx = nil
		s.mu.Unlock()
		cancel(errors.New("the subscription stops"))
		s.lanes.Wait()
		saver.Wait()
		last, end := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
		defer end()
		s.save(last)
	}()
	if !s.collect(ctx) {
		return
	}
	for attempt := 0; ctx.Err() == nil; attempt++ {
		s.mu.Lock()
		from := s.read.at
		s.mu.Unlock()
		for ch, err := range s.reader.Watch(ctx, kit.WatchQuery{Kind: s.sub.Of, Filter: s.sub.Filter, From: from}) {
			if err != nil {
				if !s.lost(ctx, from, err) {
					return
				}
				break
			}
			attempt = 0
			if !s.take(ctx, ch) {
				return
			}
		}
		sleep(ctx, kit.Retry{}.Pause(attempt))
	}
}

// collect takes up the letters that are retried.
func (s *stream) collect(ctx context.Context) bool {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		var failed error
		for l, err := range Letters.All(ctx, s.own, fmt.Sprintf("subscription == %q && state == %q", s.sub.Link, Retrying), "") {
			if failed = err; err != nil {
				break
			}
			s.adopt(l)
		}
		if failed == nil {
			return true
		}
		s.log.Warn("letters not read yet", "subscription", s.sub.Link, "error", failed)
		sleep(ctx, kit.Retry{}.Pause(attempt))
	}
	return false
}

// lost decides how to go on after the watch from a position has failed. It
// returns false if there is no going on.
func (s *stream) lost(ctx context.Context, from kit.Position, err error) bool {
	switch {
	case ctx.Err() != nil:
		return false
	case errors.Is(err, kit.ErrGone):
		// The log is another one, or has forgotten deletions. The time of the last
		// change tells what was posted: the log's time never goes back.
		next := kit.Position{}
		if p, err := s.reader.List(ctx, kit.Query{Kind: s.sub.Of, Limit: 1}); err == nil {
			now, _ := kit.ParsePosition(p.Position)
			if now.Epoch != from.Epoch {
				next.Epoch = now.Epoch // from its beginning, with deletions
			}
		}
		s.log.Info("subscription begins anew: its position is not in the log", "subscription", s.sub.Link)
		s.mu.Lock()
		s.read.at = next
		s.mu.Unlock()
		return true
	case kit.Temporary(err), errors.Is(err, kit.ErrUnauthenticated):
		s.log.Warn("watch ended", "subscription", s.sub.Link, "error", err)
		return true
	}
	s.disable(ctx, fmt.Sprintf("%s cannot watch %s: %v", s.sub.By, s.sub.Of, err))
	return false
}

// disable ends the subscription.
func (s *stream) disable(ctx context.Context, why string) {
	s.log.Warn("subscription disabled", "subscription", s.sub.Link, "because", why)
	args, _ := json.Marshal(why)
	for attempt := 0; ctx.Err() == nil; attempt++ {
		_, err := s.own.Do(ctx, s.sub.Link, methodDisable, args)
		if err == nil || errors.Is(err, kit.ErrNotFound) {
			return
		}
		if ctx.Err() == nil {
			s.log.Warn("subscription not disabled yet", "subscription", s.sub.Link, "error", err)
		}
		sleep(ctx, kit.Retry{}.Pause(attempt))
	}
}

// take gives ch to the lane of its document. It returns false if ctx ends
// while there is no room for another lane.
func (s *stream) take(ctx context.Context, ch kit.Change) bool {
	here := mark{ch.Position, ch.Record.Updated}
	id := letterID(s.sub.Link, ch.Record.Link)
	old := ch.Record.Updated.Before(s.sub.Seen) // posted in an earlier log, or not asked for
	s.mu.Lock()
	l := s.open[id]
	if old || l != nil {
		if l != nil && !old {
			l.offer(ch)
		}
		s.read = here
		s.mu.Unlock()
		s.touch()
		return true
	}
	s.mu.Unlock()
	select {
	case s.atWork <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read = here
	if l := s.open[id]; l != nil { // somebody has retried a letter meanwhile
		<-s.atWork
		l.offer(ch)
		return true
	}
	l = &lane{stream: s, id: id, wake: make(chan struct{}, 1), atWork: true}
	l.offer(ch)
	s.begin(l)
	return true
}

// adopt takes up a letter that is retried. One that a lane is about is tried at
// once if somebody has asked for that.
func (s *stream) adopt(letter Letter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil {
		return
	}
	id := letter.Link.ID()
	l := s.open[id]
	switch {
	case l == nil:
		s.begin(&lane{stream: s, id: id, wake: make(chan struct{}, 1), letter: &letter})
	case l.letter == nil:
		l.letter = &letter
	case l.letter.Retries < letter.Retries:
		l.again = true
		l.ring()
	}
}

// drop gives up a letter that was deleted, if it is not a newer one.
func (s *stream) drop(tombstone kit.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.open[tombstone.Link.ID()]; l != nil && l.letter != nil && l.letter.Version < tombstone.Version {
		l.dropped = true
		l.ring()
	}
}

// begin runs a new lane. The caller holds the mutex.
func (s *stream) begin(l *lane) {
	s.open[l.id] = l
	ctx := s.ctx
	s.lanes.Go(func() { l.run(ctx) })
}

// count notes the outcome of a post.
func (s *stream) count(err error) {
	s.mu.Lock()
	if err == nil {
		s.counts.Delivered++
	} else {
		s.counts.Failures++
		s.counts.LastError = err.Error()
	}
	s.mu.Unlock()
	s.touch()
}

// touch says that there is something to save.
func (s *stream) touch() {
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

// keepSaving saves the progress after changes, not too often, until ctx ends.
func (s *stream) keepSaving(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.dirty:
			s.save(ctx)
			sleep(ctx, savePause)
		}
	}
}

// save writes how far the subscription has come. A failure only means that
// more is repeated.
func (s *stream) save(ctx context.Context) {
	s.mu.Lock()
	p, done := s.counts, s.read
	for _, l := range s.open {
		if l.since.at != (kit.Position{}) && l.since.at.Seq <= done.at.Seq {
			done = mark{kit.Position{Epoch: l.since.at.Epoch, Seq: l.since.at.Seq - 1}, l.since.time}
		}
	}
	s.mu.Unlock()
	if done.at.Seq > 0 {
		p.Position, p.Seen = done.at.String(), done.time
	}
	if p == s.saved {
		return
	}
	args, err := json.Marshal(p)
	if err == nil {
		_, err = s.own.Do(ctx, s.sub.Link, methodProgress, args)
	}
	switch {
	case err == nil:
		s.saved = p
	case ctx.Err() == nil && !errors.Is(err, kit.ErrNotFound):
		s.log.Warn("progress of a subscription not saved", "subscription", s.sub.Link, "error", err)
	}
}
