// Package steady makes requests at a steady rate, whether or not the ones
// before are answered, and tells what a pause of the server's looked like from
// outside.
package steady

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Plan says how much load there shall be.
type Plan struct {
	PerSecond int
	// Connections are how many requests can be under way. What is due while
	// that many are is late.
	Connections int
}

// Op makes one request. Random is the connection's own.
type Op func(ctx context.Context, random *rand.Rand) error

// Load are the requests that were made since Start. Its methods may be called
// concurrently.
type Load struct {
	end func()

	mu      sync.Mutex
	made    []made
	failed  int
	failure string // the first
}

// made is a request that was answered: when it was sent, how late that was, and
// how long after it was sent the answer came.
type made struct {
	sent       time.Time
	late, took time.Duration
}

// backlog is for how many seconds requests may be late before they are not
// even noted.
const backlog = 600

// Start makes requests by op until Stop is called or ctx ends.
func Start(ctx context.Context, p Plan, op Op) *Load {
	l := &Load{}
	ctx, cancel := context.WithCancel(ctx)
	due := make(chan time.Time, backlog*p.PerSecond)
	var g sync.WaitGroup
	g.Go(func() {
		defer close(due)
		pace(ctx, due, time.Second/time.Duration(p.PerSecond))
	})
	for c := range p.Connections {
		g.Go(func() { l.work(context.WithoutCancel(ctx), due, rand.New(rand.NewPCG(uint64(c), 0)), op) })
	}
	l.end = sync.OnceFunc(func() {
		cancel()
		g.Wait()
	})
	return l
}

// Stop ends the load, and returns once all that was due is answered.
func (l *Load) Stop() { l.end() }

// pace sends the times at which something is due, when they have come.
func pace(ctx context.Context, due chan<- time.Time, every time.Duration) {
	wake := time.NewTicker(time.Millisecond)
	defer wake.Stop()
	for next := time.Now(); ; {
		for ; !next.After(time.Now()); next = next.Add(every) {
			select {
			case due <- next:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-wake.C:
		case <-ctx.Done():
			return
		}
	}
}

// work makes the requests that are due, one after the other.
func (l *Load) work(ctx context.Context, due <-chan time.Time, random *rand.Rand, op Op) {
	for at := range due {
		sent := time.Now()
		err := op(ctx, random)
		took := time.Since(sent)
		l.mu.Lock()
		if err == nil {
			l.made = append(l.made, made{sent, sent.Sub(at), took})
		} else {
			l.failed++
			l.failure = cmp.Or(l.failure, err.Error())
		}
		l.mu.Unlock()
	}
}

// Seen is what clients saw of a pause.
type Seen struct {
	// Longest is the longest that a request took which was under way then, and
	// Due the same, from when it was due.
	Longest, Due time.Duration
	// Before and After are the parts of Longest before the pause began and after
	// it had ended.
	Before, After time.Duration
	// Gap is the longest time without an answer to anybody.
	Gap time.Duration
}

// edge is the time around a pause in which answers end a gap.
const edge = 500 * time.Millisecond

// During tells what was seen of a pause.
func (l *Load) During(from, to time.Time) Seen {
	l.mu.Lock()
	defer l.mu.Unlock()
	var s Seen
	answers := []time.Time{from.Add(-edge), to.Add(edge)}
	for _, m := range l.made {
		answered := m.sent.Add(m.took)
		if !m.sent.After(to) && !answered.Before(from) {
			s.Due = max(s.Due, m.late+m.took)
			if m.took > s.Longest {
				s.Longest, s.Before, s.After = m.took, max(0, from.Sub(m.sent)), max(0, answered.Sub(to))
			}
		}
		if answered.After(answers[0]) && answered.Before(answers[1]) {
			answers = append(answers, answered)
		}
	}
	slices.SortFunc(answers, time.Time.Compare)
	for i, answer := range answers[1:] {
		s.Gap = max(s.Gap, answer.Sub(answers[i]))
	}
	return s
}

// Times are those that all requests took, and by which they were late, in
// order.
func (l *Load) Times() (took, late []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.made {
		took, late = append(took, m.took), append(late, m.late)
	}
	slices.Sort(took)
	slices.Sort(late)
	return took, late
}

// Outcome is how many requests were answered and how many failed, and by what
// the first of these did.
func (l *Load) Outcome() (answered, failed int, failure string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.made), l.failed, l.failure
}
