package linear

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// fault is one disturbance of a schedule. Who is hit is the leader at its
// beginning, or a node counted from there.
type fault struct {
	what   string
	target int // 0 is the leader
	after  time.Duration
	lasts  time.Duration
	skew   time.Duration // of a wrong clock
	delay  time.Duration // of a slow disk
}

func (f fault) String() string {
	s := fmt.Sprintf("%s leader+%d after %s for %s", f.what, f.target, f.after, f.lasts)
	switch f.what {
	case "clock":
		s += fmt.Sprintf(" by %s", f.skew)
	case "slow":
		s += fmt.Sprintf(" by %s", f.delay)
	}
	return s
}

// schedule is what happens in one history: two lanes at the same time, and
// one fault after the other in each.
type schedule struct {
	seed     uint64
	nodes    int
	full     int // the member with the small disk, -1 for none
	grace    time.Duration
	steady   bool            // all clocks are right
	skews    []time.Duration // of the members' clocks from the beginning
	lanes    [2][]fault
	duration time.Duration
}

func (s schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d nodes, clocks off by %v, the dead are replaced after %s, small disk of %d", s.seed, s.nodes, s.skews, s.grace, s.full)
	for i, lane := range s.lanes {
		for _, f := range lane {
			fmt.Fprintf(&b, "\n\tlane %d: %s", i, f)
		}
	}
	return b.String()
}

// The faults of the two lanes; those that are there twice come twice as often.
var (
	crashes = []string{"kill", "kill", "pause", "isolate", "isolate", "split", "deaf", "mute", "kill all"}
	strains = []string{"slow", "clock", "full"}
)

// plan returns the schedule of the seed.
func plan(seed uint64, duration time.Duration) schedule {
	r := rand.New(rand.NewPCG(seed, 0x1a2b3c))
	s := schedule{seed: seed, nodes: 3, full: -1, grace: 30 * time.Second, duration: duration}
	if seed%4 == 0 {
		s.nodes = 5
	}
	if seed%3 == 0 {
		s.grace = 2 * time.Second
	}
	if seed%2 == 0 {
		s.full = r.IntN(s.nodes)
	}
	if seed%3 == 1 {
		s.steady = true
	}
	for range s.nodes {
		s.skews = append(s.skews, s.skew(r))
	}
	for lane, kinds := range [][]string{crashes, strains} {
		at := time.Duration(0)
		for at < duration-time.Second {
			f := fault{what: kinds[r.IntN(len(kinds))], after: milliseconds(r, 100, 500), lasts: milliseconds(r, 300, 1500)}
			if r.IntN(2) == 0 {
				f.target = r.IntN(s.nodes)
			}
			f.skew, f.delay = s.skew(r), milliseconds(r, 5, 300)
			if f.what == "full" && s.full < 0 || f.what == "clock" && s.steady {
				f.what = "slow"
			}
			s.lanes[lane] = append(s.lanes[lane], f)
			at += f.after + f.lasts
		}
	}
	return s
}

func milliseconds(r *rand.Rand, from, to int) time.Duration {
	return time.Duration(from+r.IntN(to-from)) * time.Millisecond
}

// skew is how wrong a clock is: not at all, or by about an hour.
func (s schedule) skew(r *rand.Rand) time.Duration {
	switch dice := r.IntN(3); {
	case dice == 0 || s.steady:
		return 0
	case dice == 1:
		return time.Duration(30+r.IntN(60)) * time.Minute
	default:
		return -time.Duration(30+r.IntN(60)) * time.Minute
	}
}

// disturb plays one lane until ctx ends; then all that it did is still there
// to be mended.
func (c *cluster) disturb(ctx context.Context, s schedule, lane []fault) {
	for _, f := range lane {
		if !wait(ctx, f.after) {
			return
		}
		i := (c.leader(ctx) + f.target) % len(c.members)
		end := c.begins(f, i, s.full)
		if !wait(ctx, f.lasts) {
			return
		}
		end()
	}
}

// begins makes the fault happen to member i, and returns what ends it.
func (c *cluster) begins(f fault, i, full int) (end func()) {
	m := c.members[i]
	switch f.what {
	case "kill":
		m.kill()
		return m.start
	case "kill all":
		for _, m := range c.members {
			m.kill()
		}
		return func() {
			for _, m := range c.members {
				m.start()
			}
		}
	case "pause":
		m.pause()
		return m.resume
	case "slow":
		m.slow(f.delay)
		return func() { m.slow(0) }
	case "clock":
		m.skew(f.skew)
		return func() {}
	case "full":
		c.members[full].fill()
		return c.members[full].free
	}
	c.partition(f.what, i)
	return c.lan.heal
}

// partition loses packets: all from and to member i (isolate), all to it
// (deaf), all from it (mute), or all between two halves (split).
func (c *cluster) partition(how string, i int) {
	n := len(c.members)
	minority := []int{i}
	if how == "split" {
		for k := 1; k < n/2; k++ {
			minority = append(minority, (i+k)%n)
		}
	}
	for _, a := range minority {
		for _, b := range c.lan.others(minority...) {
			if how != "deaf" {
				c.lan.cut(a, b)
			}
			if how != "mute" {
				c.lan.cut(b, a)
			}
		}
	}
}

// wait returns false if ctx ends before d has passed.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
