package front

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// measured is over how many of the last seconds the rate of writes is taken.
	measured = 5

	// leastRate is the fewest writes a second that a slowed door lets through.
	leastRate = 10

	// longestDelay is the most that one write is made to wait by slowing.
	longestDelay = time.Second

	// mostDelayed is how many writes wait at once; more are let through.
	mostDelayed = 10_000

	// leeway is by how much writes may come before their turn, so that those
	// that come unevenly are not delayed as long as they are few enough.
	leeway = 50 * time.Millisecond
)

// pace lets writes through at a share of the rate that they had. It is a leaky
// bucket (the generic cell rate algorithm of ITU-T I.371): each write moves the
// turn of the next one by one interval. It only ever delays: what would have to
// wait longer than longestDelay goes then. Its methods may be called at once.
type pace struct {
	mu      sync.Mutex
	seconds [measured + 1]second // the last ones, by Unix second modulo their number
	share   float64              // 0 if writes are not slowed
	rate    float64              // that they had before, a second
	next    time.Time            // turn of the next write
	changed chan struct{}        // closed at each change of share; nil if none waits for it

	delayed      int // that wait now
	delayedTotal uint64
	longest      time.Duration
}

// second counts the writes of one second.
type second struct {
	at int64 // Unix time
	n  int
}

// slow lets a share of the present rate of writes through, or if they are slowed
// already, of the rate that they had before. 1 ends it. It returns whether that
// is news.
func (p *pace) slow(share float64) (changed bool, err error) {
	if !(share > 0 && share <= 1) {
		return false, fmt.Errorf("front: writes cannot be slowed to a share of %v: it is more than 0 and at most 1", share)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	switch {
	case share == 1:
		share = 0
	case p.share == 0:
		p.rate = max(leastRate, p.measure(now))
	}
	if share == p.share {
		return false, nil
	}
	p.share, p.next = share, now
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
	return true, nil
}

// wait counts a write and returns when its turn has come; with an error if ctx
// ends before.
func (p *pace) wait(ctx context.Context) error {
	now := time.Now()
	p.mu.Lock()
	p.count(now)
	delay := p.turn(now)
	if delay <= 0 || p.delayed >= mostDelayed {
		p.mu.Unlock()
		return nil
	}
	p.delayed++
	p.delayedTotal++
	p.longest = max(p.longest, delay)
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	changed := p.changed
	p.mu.Unlock()

	turn := time.NewTimer(delay)
	defer turn.Stop()
	var err error
	select {
	case <-turn.C:
	case <-changed:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delayed--
	return err
}

// state adds what the pace is doing to s.
func (p *pace) state(s *State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.SlowedTo, s.Delayed, s.DelayedTotal, s.LongestDelay = p.share, p.delayed, p.delayedTotal, p.longest
	s.WriteRate = p.measure(time.Now())
}

// The rest is called with mu held.

func (p *pace) count(now time.Time) {
	s := &p.seconds[now.Unix()%int64(len(p.seconds))]
	if s.at != now.Unix() {
		*s = second{at: now.Unix()}
	}
	s.n++
}

// turn takes the next turn and returns how long it is until then.
func (p *pace) turn(now time.Time) time.Duration {
	if p.share == 0 {
		return 0
	}
	if earliest := now.Add(-leeway); p.next.Before(earliest) {
		p.next = earliest
	}
	delay := p.next.Sub(now)
	if delay >= longestDelay {
		return longestDelay
	}
	p.next = p.next.Add(time.Duration(float64(time.Second) / (p.rate * p.share)))
	return delay
}

// measure returns how many writes there were a second, since the first of the
// last few seconds that had any.
func (p *pace) measure(now time.Time) float64 {
	n, first := 0, now.Unix()
	for _, s := range p.seconds {
		if s.n > 0 && s.at > now.Unix()-measured && s.at <= now.Unix() {
			n += s.n
			first = min(first, s.at)
		}
	}
	since := now.Sub(time.Unix(first, 0))
	return float64(n) / max(since, 100*time.Millisecond).Seconds()
}
