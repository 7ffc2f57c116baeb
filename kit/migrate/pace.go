package migrate

import (
	"context"
	"time"
)

// pace lets documents through at a rate: what comes late is made up for, but
// for no more than paceBurst.
type pace struct {
	rate float64 // documents a second, 0: no bound
	due  time.Time
}

const paceBurst = 100 * time.Millisecond

// most returns how many of limit documents to take before the next wait.
func (p *pace) most(limit int) int {
	if p.rate == 0 {
		return limit
	}
	return min(limit, max(1, int(p.rate*paceBurst.Seconds())))
}

// wait returns when n documents may have been taken.
func (p *pace) wait(ctx context.Context, n int) error {
	if p.rate == 0 {
		return nil
	}
	now := time.Now()
	if earliest := now.Add(-paceBurst); p.due.Before(earliest) {
		p.due = earliest
	}
	p.due = p.due.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
	t := time.NewTimer(p.due.Sub(now))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
