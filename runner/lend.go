package runner

import (
	"context"
	"sync"
	"time"
)

// lend lets another build run in the place of one that waits for builds: with
// one place, these would never run. back returns once the place is free again.
func (r *Runner) lend(ctx context.Context, task string) (back func()) {
	take := r.fleet.Lend(task)
	stop := make(chan struct{})
	var other sync.WaitGroup
	other.Go(func() { r.substitute(ctx, stop) })
	return func() {
		close(stop)
		other.Wait()
		take()
	}
}

// substitute runs one build after another until stop is closed.
func (r *Runner) substitute(ctx context.Context, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		if l, ok := <-r.begun; ok { // maybe what is being waited for
			r.execute(ctx, l.build, &l.record)
			continue
		}
		changed := r.fleet.Changed()
		b, ok, err := r.lease(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.Logger.Warn("found no build", "err", err)
		case ok:
			r.look()
			r.execute(ctx, b, nil)
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-stop:
			return
		case <-r.wake:
		case <-changed:
		case <-time.After(lookEvery):
		}
	}
}
