package upgrade

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/api"
	"landfall.dev/site/upgrade/spare"
)

// street is a platform with a thousand requests a second, which are answered the
// slower the faster it is copied. Its methods may be called concurrently.
type street struct {
	documents float64       // to be copied by the first cycle
	quiet     time.Duration // within which 99 of 100 requests are answered without copying
	// doubles is how many documents a second double that.
	doubles func(since time.Duration) float64
	// lost tells whether changes of the rate get lost.
	lost func(since time.Duration) bool

	mu     sync.Mutex
	began  time.Time // the first cycle
	cycles int
	rate   float64
	taken  float64
	rates  []float64 // each tenth of a second of the first cycle
}

// fastest is how many documents a second can be copied.
const fastest = 400_000.0

const beat = 100 * time.Millisecond

// copy copies step by step.
func (s *street) copy(ctx context.Context, rate float64, final bool) (Copied, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cycles++
	if s.cycles == 1 {
		s.began = time.Now()
	} else {
		s.documents = 200
	}
	s.rate, s.taken = rate, 0
	began := time.Now()
	for s.taken < s.documents {
		s.mu.Unlock()
		time.Sleep(beat)
		s.mu.Lock()
		if ctx.Err() != nil {
			return Copied{}, context.Cause(ctx)
		}
		s.taken += s.speed() * beat.Seconds()
		if s.cycles == 1 {
			s.rates = append(s.rates, s.speed())
		}
	}
	c := Copied{Documents: int64(s.taken), Left: 20, Took: time.Since(began)}
	if final {
		c.Left = 0
	}
	s.rate, s.taken = 0, 0
	return c, nil
}

// speed is how many documents a second are copied. The caller holds mu.
func (s *street) speed() float64 {
	if s.rate == 0 {
		return fastest
	}
	return min(s.rate, fastest)
}

func (s *street) pace(rate float64) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != nil && s.lost(time.Since(s.began)) {
		return 0, errors.New("green does not answer")
	}
	s.rate = rate
	return int64(s.taken), nil
}

func (s *street) lately() (spare.Window, func() spare.Window) {
	began := time.Now()
	return s.window(10*time.Second, s.quiet), func() spare.Window {
		s.mu.Lock()
		defer s.mu.Unlock()
		p99 := float64(s.quiet) * (1 + s.speed()/s.doubles(time.Since(s.began)))
		return s.window(time.Since(began), time.Duration(p99))
	}
}

func (s *street) window(span, p99 time.Duration) spare.Window {
	return spare.Window{Span: span, Requests: uint64(1000 * span.Seconds()), P99: p99, Inside: 3}
}

// at returns the rate at a time of the first cycle.
func (s *street) at(since time.Duration) float64 { return s.rates[since/beat] }

func TestTheCopySlowsDownAsLongAsClientsWouldWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.street = &street{
			documents: 8e6, quiet: 20 * time.Millisecond,
			doubles: func(since time.Duration) float64 {
				if since > 20*time.Second && since < 40*time.Second { // another program takes the machine
					return 50_000
				}
				return 1e6
			},
			lost: func(since time.Duration) bool { return since > 45*time.Second && since < 47*time.Second },
		}
		r := start(t, w, nil)
		r.create(wanted())
		half := r.awaits("slowed down", func(u api.Upgrade) bool { return u.Copying != nil && u.Sparing.Rate < 10_000 })
		if half.Sparing.Base.Std() != 20*time.Millisecond || half.Sparing.P99 == 0 {
			t.Errorf("meanwhile the upgrade says %+v", half.Sparing)
		}
		u := r.await(api.UpgradeSoak)
		s := w.street
		for _, want := range []struct {
			at          time.Duration
			least, most float64
		}{
			{0, spare.Start, spare.Start},
			{15 * time.Second, 80_000, 240_000}, // 200,000 are bearable
			{35 * time.Second, 3000, 12_000},    // 10,000
			{65 * time.Second, 50_000, 240_000},
		} {
			if got := s.at(want.at); got < want.least || got > want.most {
				t.Errorf("after %v %.0f documents a second are copied, want %.0f to %.0f", want.at, got, want.least, want.most)
			}
		}
		if u.Cycles[0].Bound >= 12_000 || u.Cycles[0].Bound < 3000 || u.Cycles[1].Bound != 0 || u.Slowest != 0 {
			t.Errorf("the cycles were %+v, writers slowed by %v", u.Cycles, u.Slowest)
		}
	})
}

func TestTheCopyIsNotSlowedIfNobodyWantsThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.street = &street{documents: 4e6, quiet: 20 * time.Millisecond, doubles: func(time.Duration) float64 { return 1000 }}
		r := start(t, w, nil)
		u := wanted()
		u.Spare = -1
		r.create(u)
		u = r.await(api.UpgradeSoak)
		if took := u.Cycles[0].Seconds; took > 10.2 || u.Cycles[0].Bound != 0 {
			t.Errorf("the first cycle took %v s, bound to %v", took, u.Cycles[0].Bound)
		}
	})
}

func TestACycleThatDidNotHelpIsFollowedByOneThatIsNotBound(t *testing.T) {
	busy := api.Upgrade{Sparing: api.Sparing{Base: 0.01, Requests: 1000, Rate: 5000}}
	for _, test := range []struct {
		name  string
		last  api.Cycle
		on    bool
		bound float64
	}{
		{"the first", api.Cycle{}, true, 5000},
		{"after one that helped", api.Cycle{Number: 1, Documents: 100_000, Left: 20_000, Seconds: 10}, true, 5000},
		{"after one that did not", api.Cycle{Number: 1, Documents: 100_000, Left: 60_000, Seconds: 10, Bound: 5000}, false, 0},
		{"a tail", api.Cycle{Number: 1, Documents: 100_000, Left: 10_000, Seconds: 10}, true, 0},
	} {
		u := busy
		if test.last.Number > 0 {
			u.Cycles = []api.Cycle{test.last}
		}
		on, bound := spares(u), bound(u)
		if on != test.on || bound != test.bound {
			t.Errorf("%s: watched %t, bound to %v; want %t, %v", test.name, on, bound, test.on, test.bound)
		}
		if share := slower(u, test.last); test.last.Bound > 0 && share != 0 {
			t.Errorf("%s: writers are slowed by %v, though the copy was", test.name, share)
		}
	}
}

// slowing is a gate behind which clients wait that long, window by window.
type slowing struct {
	Gate
	windows []spare.Window
}

func (s *slowing) Lately() (spare.Window, func() spare.Window) {
	now := s.windows[0]
	if len(s.windows) > 1 {
		s.windows = s.windows[1:]
	}
	return spare.Window{}, func() spare.Window { return now }
}

func TestAHoldIsPutOffUntilClientsAreAnsweredAsBefore(t *testing.T) {
	slow, quick, idle := spare.Window{Requests: 1000, P99: 90 * time.Millisecond}, spare.Window{Requests: 1000, P99: 9 * time.Millisecond}, spare.Window{Requests: 1, P99: time.Second}
	limited := api.Upgrade{Sparing: api.Sparing{Limit: api.Seconds(12 * time.Millisecond)}}
	for _, test := range []struct {
		name    string
		windows []spare.Window
		u       api.Upgrade
		want    time.Duration
	}{
		{"at once", []spare.Window{quick}, limited, spare.Every},
		{"after a while", []spare.Window{slow, slow, slow, quick}, limited, 4 * spare.Every},
		{"never", []spare.Window{slow}, limited, calmWithin},
		{"not in use", []spare.Window{idle}, limited, spare.Every},
		{"what was before is not known", []spare.Window{slow}, api.Upgrade{}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := &driver{gate: &slowing{windows: test.windows}}
			began := time.Now()
			if d.calm(t.Context(), test.u); time.Since(began) != test.want {
				t.Errorf("%s: it was put off for %v, want %v", test.name, time.Since(began), test.want)
			}
		})
	}
}
