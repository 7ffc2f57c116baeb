package task

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"landfall.dev/kit"
)

// The bounds of a Runner.
const (
	maxActions   = 16 // actions of a service at once
	maxWrites    = 64 // creates and sends of a service at once
	maxFailing   = 1000
	firstPause   = 100 * time.Millisecond
	longestPause = 30 * time.Second
	cursorPause  = 200 * time.Millisecond // between two saves of a cursor
)

// Runner carries out the operations of one service.
type Runner struct {
	client  kit.Client
	service kit.Service
	log     *slog.Logger
	actions chan struct{} // a token for each action that runs
	writes  chan struct{} // a token for each create and send that runs
}

// New returns a Runner for s; c acts as the service.
func New(c kit.Client, s kit.Service, log *slog.Logger) *Runner {
	return &Runner{
		client:  c,
		service: s,
		log:     log.With("service", s.Name),
		actions: make(chan struct{}, maxActions),
		writes:  make(chan struct{}, maxWrites),
	}
}

// Run runs the service's loops until ctx ends, and its operations and
// reactions while this node leads it: from when leading yields true until it
// yields false or is closed. A nil channel means always. Run returns once all
// that it started has stopped.
func (r *Runner) Run(ctx context.Context, leading <-chan bool) error {
	var g sync.WaitGroup
	defer g.Wait()
	for _, loop := range r.service.Runs {
		g.Go(func() { r.loop(ctx, loop) })
	}
	if leading == nil {
		r.lead(ctx)
		return nil
	}
	stop := func() {}
	for {
		select {
		case <-ctx.Done():
			stop()
			return nil
		case on, open := <-leading:
			stop()
			stop = func() {}
			if !open {
				leading = nil // never yields again
			}
			if on {
				stop = r.term(ctx)
			}
		}
	}
}

// term leads until the function that it returns is called, which returns when
// everything has stopped.
func (r *Runner) term(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.lead(ctx)
	}()
	return func() {
		cancel(fmt.Errorf("this node no longer leads %s", r.service.Name))
		<-done
	}
}

// lead carries out operations and reactions until ctx ends.
func (r *Runner) lead(ctx context.Context) {
	var g sync.WaitGroup
	defer g.Wait()
	for _, o := range r.service.Owns {
		if o.Step != nil {
			g.Go(func() { newOperations(r, o.Name).run(ctx) })
		}
	}
	for _, w := range r.service.Watches {
		g.Go(func() { newReaction(r, w).run(ctx) })
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
func pause(attempt int) time.Duration {
	d := min(firstPause<<min(attempt, 20), longestPause)
	return d/2 + rand.N(d/2)
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
