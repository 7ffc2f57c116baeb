package agent

import (
	"context"
	"math/rand/v2"
	"time"
)

// pause is the time between attempts, which grows.
type pause struct {
	first, longest time.Duration
	attempt        int
}

func (p *pause) reset() { p.attempt = 0 }

func (p *pause) longer() time.Duration {
	d := min(p.first<<min(p.attempt, 20), p.longest)
	p.attempt++
	return d/2 + rand.N(d/2)
}

// sleep returns true when d has passed or there is news, and false when ctx
// has ended.
func sleep(ctx context.Context, d time.Duration, news <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	case <-news:
	}
	return true
}

// wake puts news into a channel of capacity 1.
func wake(news chan<- struct{}) {
	select {
	case news <- struct{}{}:
	default:
	}
}
