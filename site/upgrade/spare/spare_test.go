package spare

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const ms = time.Millisecond

// busy is a window with a thousand requests a second.
func busy(span, p99 time.Duration) Window {
	return Window{Span: span, Requests: uint64(1000 * span.Seconds()), P99: p99, Inside: 4}
}

// known is a control in full use.
var known = Control{Most: 1.2, Base: 10 * ms, Requests: 1000, Rate: 100_000, knee: 80_000}

func with(c Control, f func(*Control)) Control { f(&c); return c }

func TestDecisions(t *testing.T) {
	unbounded := with(known, func(c *Control) { c.Rate, c.knee = 0, 0 })
	growing := with(known, func(c *Control) { c.Rate = 20_000 })
	unknown := Control{Most: 1.2}
	floored := with(known, func(c *Control) { c.Rate, c.warned = Least, true })
	warned := with(known, func(c *Control) { c.warned = true })
	for _, test := range []struct {
		name    string
		c       Control
		l       Look
		decided bool
		rate    float64
		base    time.Duration
	}{
		{"calm, near to what was too much", known, Look{Window: busy(Every, 11*ms), Copied: 99_000}, true, 103_200, 10 * ms},
		{"calm, far below what was too much", growing, Look{Window: busy(Every, 11*ms), Copied: 20_000}, true, 25_000, 10 * ms},
		{"calm, and the rate is not made use of", known, Look{Window: busy(Every, 11*ms), Copied: 49_000}, true, 100_000, 10 * ms},
		{"calm without a bound", unbounded, Look{Window: busy(Every, 12*ms), Copied: 1e6}, true, 0, 10 * ms},
		{"slow at one look", known, Look{Window: busy(Every, 13*ms), Copied: 100_000}, true, 100_000, 10 * ms},
		{"grossly slow at one look", known, Look{Window: busy(Every, 25*ms), Copied: 100_000}, true, 60_000, 10 * ms},
		{"slow at two looks", warned, Look{Window: busy(Every, 13*ms), Copied: 100_000}, true, 60_000, 10 * ms},
		{"slow, though less is copied than may be", warned, Look{Window: busy(Every, 13*ms), Copied: 60_000}, true, 36_000, 10 * ms},
		{"slow without a bound", with(unbounded, func(c *Control) { c.warned = true }), Look{Window: busy(Every, 13*ms), Copied: 1e6}, true, 600_000, 10 * ms},
		{"slow by less than a millisecond", with(known, func(c *Control) { c.Base = ms }), Look{Window: busy(Every, 1900*time.Microsecond), Copied: 99_000}, true, 103_200, ms},
		{"slow, but changes have to be caught up with", warned, Look{Window: busy(Every, 13*ms), Copied: 100_000, Changes: 20_000}, true, 80_000, 10 * ms},
		{"slow, but writes have to be caught up with", warned, Look{Window: writing(busy(Every, 13*ms), 2000), Copied: 10_000}, true, 8000, 10 * ms},
		{"slow at the floor", floored, Look{Window: busy(Every, 13*ms), Copied: Least}, true, Least, 10 * ms},
		{"few requests so far", known, Look{Window: Window{Span: Every, Requests: enough - 1, P99: time.Hour}}, false, 100_000, 10 * ms},
		{"few requests for long", known, Look{Window: Window{Span: longest, Requests: few - 1, P99: time.Hour}}, true, 0, 10 * ms},
		{"few requests, since they are stuck", known, Look{Window: Window{Span: Every, Requests: 3, Inside: 8}, Copied: 100_000}, true, 60_000, 10 * ms},
		{"the first requests", unknown, Look{Window: busy(Every, 30*ms), Copied: 1e6}, true, Least, 0},
		{"learning", unknown.learning(), Look{Window: busy(Every, 10*ms)}, false, Least, 0},
		{"learned", unknown.learning(), Look{Window: busy(learning, 10*ms)}, true, Start, 10 * ms},
	} {
		t.Run(test.name, func(t *testing.T) {
			after, decided := test.c.Next(test.l)
			if decided != test.decided || math.Abs(after.Rate-test.rate) > 1 || after.Base != test.base {
				t.Errorf("decided %t on a rate of %v and the base %v; want %t, %v, %v", decided, after.Rate, after.Base, test.decided, test.rate, test.base)
			}
		})
	}
}

func writing(w Window, writes float64) Window { w.Writes = writes; return w }

func TestWhatIsKnownBeforehandDecidesTheBeginning(t *testing.T) {
	if c := New(1.2, busy(10*time.Second, 7*ms)); c.Rate != Start || c.Base != 7*ms || c.Requests != 1000 {
		t.Errorf("with traffic: %+v", c)
	}
	if c := New(1.2, Window{Span: 10 * time.Second, Requests: 10, P99: time.Second}); c.Rate != 0 || c.Base != 0 {
		t.Errorf("without traffic: %+v", c)
	}
}

// platform answers the slower the more is copied beside it.
type platform struct {
	p99   time.Duration // without copying
	half  float64       // documents a second by which it doubles
	most  float64       // documents a second that can be copied
	noise func() float64
}

// run lets c decide for so long, and returns it with the mean rate of copying
// and the share of the looks at which the percentile was too high.
func (p platform) run(c Control, span time.Duration) (after Control, mean, over float64) {
	var window time.Duration
	looks := 0
	for at := time.Duration(0); at < span; at += Every {
		rate := p.most
		if c.Rate > 0 {
			rate = min(rate, c.Rate)
		}
		p99 := time.Duration(float64(p.p99) * (1 + rate/p.half) * p.noise())
		if p99 > p.p99*6/5+slack {
			over++
		}
		mean += rate
		looks++
		window += Every
		var decided bool
		if c, decided = c.Next(Look{Window: busy(window, p99), Copied: rate}); decided {
			window = 0
		}
	}
	return c, mean / float64(looks), over / float64(looks)
}

func TestThePlatformIsSparedAndTheRateIsUsed(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		between := func(low, high float64) float64 { return low + (high-low)*random.Float64() }
		p := platform{
			p99: time.Duration(between(5, 200) * float64(ms)), half: between(10_000, 5e6), most: between(5000, 1e6),
			noise: func() float64 { return between(0.95, 1.05) },
		}
		bearable := min(p.most, 0.2*p.half)
		_, mean, over := p.run(New(1.2, busy(10*time.Second, p.p99)), time.Minute)
		if over > 0.3 || mean < 0.5*bearable || mean > 1.1*bearable {
			t.Errorf("%+v: too slow at %.0f %% of the looks; copied %.0f documents a second, %.0f are bearable", p, 100*over, mean, bearable)
		}
	}
}

func TestAnOutdatedBaseIsLearnedAnew(t *testing.T) {
	p := platform{p99: 50 * ms, half: 1e6, most: 500_000, noise: func() float64 { return 1 }}
	c, mean, _ := p.run(known, 2*time.Minute) // when it was at 10 ms
	if c.Base != 50*ms*10005/10000 || mean < 50_000 {
		t.Errorf("the base is %v, and %.0f were copied a second", c.Base, mean)
	}
}

func TestAPlatformThatIsUnsteadyIsCopiedAllTheSame(t *testing.T) {
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, seed))
		p := platform{p99: 50 * ms, half: 1e6, most: 1e6, noise: func() float64 { return 0.5 + 1.1*random.Float64() }}
		before := busy(10*time.Second, p.p99)
		before.Worst = p.p99 * 3 / 2
		if _, mean, _ := p.run(New(1.2, before), 2*time.Minute); mean < 4000 {
			t.Errorf("%.0f documents were copied a second", mean)
		}
	}
}

func TestTheRateStaysWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := New(1.2, busy(10*time.Second, time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "base"))))
		for range 50 {
			l := Look{
				Window: Window{
					Span:     time.Duration(rapid.IntRange(1, 10).Draw(t, "span")) * Every,
					Requests: rapid.Uint64Range(0, 200).Draw(t, "requests"),
					P99:      time.Duration(rapid.Int64Range(0, int64(2*time.Second)).Draw(t, "p99")),
					Inside:   rapid.IntRange(0, 3).Draw(t, "inside"),
				},
				Copied:  rapid.Float64Range(0, 1e6).Draw(t, "copied"),
				Changes: rapid.Float64Range(0, 1e5).Draw(t, "changes"),
			}
			before := c
			c, _ = c.Next(l)
			switch {
			case c.Rate == 0 || c.learns:
			case c.Rate < Least, before.Rate != c.Rate && before.Base > 0 && !before.learns && c.Rate < l.floor():
				t.Fatalf("the rate is %v after %+v", c.Rate, l)
			case before.Base > 0 && before.Rate > 0 && !before.learns && l.InUse() && l.P99 > before.Base*2+slack && c.Rate > max(before.Rate, l.floor()):
				t.Fatalf("the rate grew from %v to %v after %+v", before.Rate, c.Rate, l)
			}
		}
	})
}
