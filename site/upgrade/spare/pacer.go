package spare

import (
	"sync"
	"time"
)

// Pacer is the control of one cycle, which others may look at meanwhile: its
// methods may be called concurrently.
type Pacer struct {
	mu      sync.Mutex
	control Control
	p99     time.Duration
	lowest  float64 // rate so far, 0 if there was no bound
}

// NewPacer returns the pacer of a cycle that begins bound to a rate, 0 for no
// bound, after c, and p99 as it was last, have come from the cycle before.
func NewPacer(c Control, p99 time.Duration, bound float64) *Pacer {
	return &Pacer{control: c, p99: p99, lowest: bound}
}

// Look does what Control.Next does, and returns the rate from now on.
func (p *Pacer) Look(l Look) (rate float64, decided bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.control, decided = p.control.Next(l)
	if decided && l.InUse() {
		p.p99 = l.P99
	}
	rate = p.control.Rate
	if rate > 0 && (p.lowest == 0 || rate < p.lowest) {
		p.lowest = rate
	}
	return rate, decided
}

// Control returns the control as it is now, and the percentile that was seen
// last.
func (p *Pacer) Control() (c Control, p99 time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.control, p.p99
}

// Lowest returns the lowest rate so far, 0 if there was no bound.
func (p *Pacer) Lowest() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lowest
}
