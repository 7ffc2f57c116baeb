// Package pace bounds how fast documents are taken over.
package pace

import (
	"context"
	"math"
	"sync/atomic"
	"time"
)

// Pace lets documents through at a rate, which may change meanwhile: what comes
// late is made up for, but for no more than burst. Most and Wait are for one
// goroutine, the other methods may be called at the same time.
type Pace struct {
	rate    atomic.Uint64 // the bits of a float64
	taken   atomic.Int64
	changed chan struct{} // of capacity 1: full when the rate has changed
	due     time.Time
}

const burst = 100 * time.Millisecond

// New returns a pace of so many documents a second; 0 is no bound.
func New(rate float64) *Pace {
	p := Pace{changed: make(chan struct{}, 1)}
	p.rate.Store(math.Float64bits(rate))
	return &p
}

// Set changes the rate, and ends a wait that is for another one.
func (p *Pace) Set(rate float64) {
	if p.rate.Swap(math.Float64bits(rate)) == math.Float64bits(rate) {
		return
	}
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// Taken returns how many documents were taken so far.
func (p *Pace) Taken() int64 { return p.taken.Load() }

// Most returns how many of limit documents to take before the next wait.
func (p *Pace) Most(limit int) int {
	rate := math.Float64frombits(p.rate.Load())
	if rate == 0 {
		return limit
	}
	return min(limit, max(1, int(rate*burst.Seconds())))
}

// Wait returns when n documents may have been taken. Those that were let
// through before the rate fell are not made up for.
func (p *Pace) Wait(ctx context.Context, n int) error {
	p.taken.Add(int64(n))
	select {
	case <-p.changed: // before
	default:
	}
	rate := math.Float64frombits(p.rate.Load())
	if rate == 0 {
		return nil
	}
	now := time.Now()
	if earliest := now.Add(-burst); p.due.Before(earliest) {
		p.due = earliest
	}
	p.due = p.due.Add(time.Duration(float64(p.Most(n)) / rate * float64(time.Second)))
	t := time.NewTimer(p.due.Sub(now))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-p.changed:
		p.due = time.Time{}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
