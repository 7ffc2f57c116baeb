// Package pace bounds how fast documents are taken over.
package pace

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"landfall.dev/kit"
)

// Pace lets documents through at a rate, which may change meanwhile: what comes
// late is made up for, but for no more than burst. Its methods may be called
// concurrently.
type Pace struct {
	taken atomic.Int64

	mu      sync.Mutex
	rate    float64       // documents a second; 0 is no bound
	due     time.Time     // when what was let through may have been
	changed chan struct{} // closed when the rate changes
}

const burst = 100 * time.Millisecond

// New returns a pace of so many documents a second; 0 is no bound.
func New(rate float64) *Pace { return &Pace{rate: rate, changed: make(chan struct{})} }

// Check returns an error unless rate is one.
func Check(rate float64) error {
	if rate < 0 {
		return kit.Errorf(kit.ErrInvalid, "", "rate %v: it is a number of documents a second, or 0", rate)
	}
	return nil
}

// Set changes the rate, and ends the waits that are for another one.
func (p *Pace) Set(rate float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if rate == p.rate {
		return
	}
	close(p.changed)
	p.rate, p.due, p.changed = rate, time.Time{}, make(chan struct{})
}

// Taken returns how many documents were taken so far.
func (p *Pace) Taken() int64 { return p.taken.Load() }

// Most returns how many of limit documents to take before the next wait.
func (p *Pace) Most(limit int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most(limit)
}

func (p *Pace) most(limit int) int {
	if p.rate == 0 {
		return limit
	}
	return min(limit, max(1, int(p.rate*burst.Seconds())))
}

// Wait returns when n documents may have been taken. Those that were let
// through before the rate changed are not made up for.
func (p *Pace) Wait(ctx context.Context, n int) error {
	p.taken.Add(int64(n))
	return p.wait(ctx, n)
}

func (p *Pace) wait(ctx context.Context, n int) error {
	wait, changed := p.claim(n)
	if wait <= 0 {
		return nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// claim returns how long to wait for n documents, unless the rate changes.
func (p *Pace) claim(n int) (wait time.Duration, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate == 0 {
		return 0, nil
	}
	now := time.Now()
	if earliest := now.Add(-burst); p.due.Before(earliest) {
		p.due = earliest
	}
	p.due = p.due.Add(time.Duration(float64(p.most(n)) / p.rate * float64(time.Second)))
	return p.due.Sub(now), p.changed
}

// page is how many bytes of a blob cost as much as a document.
const page = 4 << 10

// Reader returns r at the pace: so many bytes count like a document, but are not
// among those taken.
func (p *Pace) Reader(ctx context.Context, r io.Reader) io.Reader { return &reader{ctx, p, r} }

type reader struct {
	ctx  context.Context // of one copy
	pace *Pace
	from io.Reader
}

func (r *reader) Read(b []byte) (int, error) {
	most := r.pace.Most(1+(len(b)-1)/page) * page
	n, err := r.from.Read(b[:min(len(b), most)])
	if n > 0 {
		if late := r.pace.wait(r.ctx, 1+(n-1)/page); late != nil {
			return n, late
		}
	}
	return n, err
}
