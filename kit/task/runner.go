package task

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/elect"
)

// The bounds of a Runner.
const (
	maxActions   = 16 // actions of a service at once, unless it says otherwise
	maxWrites    = 64 // creates and sends of a service at once
	maxFailing   = 1000
	longestPause = 30 * time.Second
	cursorPause  = 200 * time.Millisecond // between two saves of a cursor
)

// Runner carries out the operations of one service.
type Runner struct {
	client  kit.Client // while it leads, fenced by its term
	service kit.Service
	log     *slog.Logger
	term    elect.Term
	clock   *clock
	actions chan struct{} // a token for each action that runs
	writes  chan struct{} // a token for each create and send that runs
}

// New returns a Runner for s; c acts as the service.
func New(c kit.Client, s kit.Service, log *slog.Logger) *Runner {
	return &Runner{
		client:  c,
		service: s,
		log:     log.With("service", s.Name),
		clock:   &clock{},
		actions: make(chan struct{}, cmp.Or(s.Actions, maxActions)),
		writes:  make(chan struct{}, maxWrites),
	}
}

// Run runs the service's loops until ctx ends, and its operations, reactions
// and leading loops during the terms of this node: from when terms yields one
// until it yields another, which is none if it has no fencing number, or is
// closed. A nil channel means always. Run returns once all that it started has
// stopped.
//
// All that it writes in a term is refused once another node has taken over.
func (r *Runner) Run(ctx context.Context, terms <-chan elect.Term) error {
	var g sync.WaitGroup
	defer g.Wait()
	for _, loop := range r.service.Runs {
		g.Go(func() { r.loop(ctx, loop) })
	}
	if terms == nil {
		r.lead(ctx, elect.Term{})
		return nil
	}
	stop := func() {}
	for {
		select {
		case <-ctx.Done():
			stop()
			return nil
		case t, open := <-terms:
			stop()
			stop = func() {}
			if !open {
				terms = nil // never yields again
			}
			if t.Fence != 0 {
				stop = r.begin(ctx, t)
			}
		}
	}
}

// begin leads until the function that it returns is called, which returns when
// everything has stopped.
func (r *Runner) begin(ctx context.Context, t elect.Term) (stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.lead(ctx, t)
	}()
	return func() {
		cancel(fmt.Errorf("this node no longer leads %s", r.service.Name))
		<-done
	}
}

// lead carries out operations and reactions until ctx or the term ends.
func (r *Runner) lead(ctx context.Context, t elect.Term) {
	ctx, cancel := context.WithCancelCause(kit.WithFence(ctx, t.Fence))
	defer cancel(nil)
	in := *r
	in.term = t
	in.client = t.Fenced(r.client, func(err error) {
		cancel(fmt.Errorf("another node leads %s: %w", r.service.Name, err))
	})
	var g sync.WaitGroup
	defer g.Wait()
	for _, loop := range r.service.Leads {
		g.Go(func() { in.loop(ctx, loop) })
	}
	for _, o := range r.service.Owns {
		if o.Step != nil {
			g.Go(func() { newOperations(&in, o.Name).run(ctx) })
		}
	}
	for _, w := range r.service.Watches {
		g.Go(func() { newReaction(&in, w).run(ctx) })
	}
}

// loop runs one of the service's loops again and again until ctx ends or it
// returns without an error.
func (r *Runner) loop(ctx context.Context, loop func(context.Context) error) {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		began := time.Now()
		err := guard(func() error { return loop(ctx) })
		if err == nil || ctx.Err() != nil {
			return
		}
		r.log.Error("loop failed", "error", err)
		if time.Since(began) > longestPause {
			attempt = 0
		}
		sleep(ctx, pause(attempt))
	}
}

// guard turns a panic of f into a temporary error that says where it was.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic at %s: %v", panicSite(), p)
		}
	}()
	return f()
}

// panicSite returns the file and line that the deferred caller's panic comes
// from.
func panicSite() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		f, more := frames.Next()
		if !more || !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		}
	}
}

// pause returns a random time that grows with the attempts.
func pause(attempt int) time.Duration { return kit.Retry{}.Pause(attempt) }

// clock tells the time of the log, which is ahead where this machine's clock is
// behind that of an earlier leader. Its methods may be called concurrently.
type clock struct {
	mu    sync.Mutex
	seq   int64     // of the latest change seen
	stamp time.Time // of that change
	at    time.Time // when it was seen, by the monotonic clock
}

// saw notes that r was changed at its time. What a later change says counts: a
// clock that was wrong, here or at a document's origin, may be right by now.
func (c *clock) saw(r kit.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Seq > c.seq {
		c.seq, c.stamp, c.at = r.Seq, r.Updated, time.Now()
	}
}

// until returns how long it is until t.
func (c *clock) until(t time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := time.Until(t)
	if c.seq > 0 {
		left = min(left, t.Sub(c.stamp)-time.Since(c.at))
	}
	return left
}

// sleep returns when d has passed or ctx has ended.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
