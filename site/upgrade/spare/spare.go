// Package spare decides how fast documents are copied, so that those who use the
// platform meanwhile hardly notice.
//
// It looks at the 99th percentile of the time in which the front doors answer,
// in windows, and changes the rate of copying as TCP does that of sending: it is
// cut when the percentile has risen too much, and grows otherwise, slowly near
// to what was too much last (RFC 5681), and not as long as it is not made use of
// (RFC 7661). It decides only: there is no clock and no network in here.
package spare

import "time"

const (
	// Every is the time between two looks.
	Every = 500 * time.Millisecond
	// Start is the rate at which copying begins if the doors are in use, in
	// documents a second, and Least the lowest: it costs next to nothing.
	Start = 20_000.0
	Least = 500.0

	// slack is by how much the percentile may rise in any case.
	slack = time.Millisecond
	// A window grows until it has enough requests to tell how long they take, or is
	// the longest: then few will do, and doors with fewer are not in use.
	enough  = 500
	few     = 50
	longest = 5 * time.Second
	// learning is how long the base is measured while next to nothing is copied.
	learning = 2 * time.Second
	// strained is for how much longer the percentile may be too high than not,
	// however much the rate is cut: then copying is hardly the reason, and the base
	// is outdated.
	strained = 10 * time.Second
	// grossly is how many times too high the percentile must be to cut the rate at
	// the first look; otherwise it takes two.
	grossly = 2

	// keepUp is how much faster than the documents change they are copied at
	// least, so that each cycle leaves a quarter of what the one before has left.
	keepUp = 4
	// The rate is cut to the share cut; it grows by the share fast, but from the
	// knee on only by the share slow of that. The knee is at the share near of what
	// was too much last, and forgotten once the rate is past it by so much.
	cut  = 0.6
	fast = 0.25
	near = 0.65
	slow = 0.04
	past = 1.6
)

// Window is what the front doors did in a span of time.
type Window struct {
	Span     time.Duration
	Requests uint64        // answered
	P99      time.Duration // within which 99 of 100 of them were
	Worst    time.Duration // the same of one of its worst seconds, 0 if it is not known
	Inside   int           // that wait for their answer at its end
	Writes   float64       // a second, at its end
}

// InUse tells whether enough requests were answered to tell how long they take.
func (w Window) InUse() bool { return w.Requests >= few }

// rate returns how many requests were answered a second.
func (w Window) rate() float64 { return float64(w.Requests) / max(w.Span.Seconds(), 1e-3) }

// Look is what is seen since the last decision.
type Look struct {
	Window
	Copied  float64 // documents a second
	Changes float64 // documents a second that change meanwhile, as the last cycle has found
}

// Control is what is known of how much copying the platform bears.
type Control struct {
	// Most is how many times Base the percentile may be, which is what somebody
	// wants, or what it was now and then without copying.
	Most float64
	// Base is the percentile without copying, with so many Requests a second; 0 is
	// not known.
	Base     time.Duration
	Requests float64
	// Rate is how many documents a second are copied at most; 0 is no bound.
	Rate float64

	knee   float64       // from there on the rate grows slowly; 0 is not known
	tense  time.Duration // for how much longer the percentile was too high than not
	warned bool          // by the look before, which has changed nothing
	learns bool          // the base, at the least rate
}

// New returns a control that has seen the window before copying begins.
func New(most float64, before Window) Control {
	c := Control{Most: most}
	if before.InUse() {
		c = c.learned(before)
		c.Most = max(most, float64(before.Worst)/float64(before.P99))
	}
	return c
}

// learned returns c with the base of the window, unless a higher one is known.
func (c Control) learned(w Window) Control {
	c.Base, c.Requests = max(c.Base, w.P99), w.rate()
	return c.from(Start)
}

// from returns c when it begins anew at a rate.
func (c Control) from(rate float64) Control {
	return Control{Most: c.Most, Base: c.Base, Requests: c.Requests, Rate: rate}
}

// learning returns c when it begins to learn the base.
func (c Control) learning() Control {
	c = c.from(Least)
	c.learns = true
	return c
}

// Next returns c after the look, and whether that has decided anything: if not,
// the window goes on.
func (c Control) Next(l Look) (after Control, decided bool) {
	stalled := !l.InUse() && l.Inside > 0 && c.Requests*l.Span.Seconds() >= 2*few
	switch {
	case stalled:
		return c.slower(l), true
	case l.Requests < enough && l.Span < longest:
		return c, false
	case !l.InUse(): // the doors are not in use
		return c.from(0), true
	case c.learns && l.Span < learning:
		return c, false
	case c.learns:
		return c.learned(l.Window), true
	case c.Base == 0:
		return c.learning(), true
	case l.P99 > grossly*c.Limit(), l.P99 > c.Limit() && c.warned:
		return c.slower(l), true
	case l.P99 > c.Limit():
		c.warned, c.tense = true, c.tense+l.Span
		return c, true
	}
	return c.faster(l), true
}

// Limit is the highest percentile that is not too high.
func (c Control) Limit() time.Duration {
	return max(time.Duration(c.Most*float64(c.Base)), c.Base+slack)
}

// floor is the rate below which copying would not come to an end.
func (l Look) floor() float64 { return max(Least, keepUp*max(l.Changes, l.Writes)) }

// slower cuts the rate, or if that has not helped for long, finds out anew what
// the platform does without copying.
func (c Control) slower(l Look) Control {
	at := c.Rate
	if at == 0 || l.Copied > 0 && l.Copied < at {
		at = max(l.Copied, Least)
	}
	c.Rate, c.knee, c.warned = max(cut*at, l.floor()), near*at, false
	if c.tense += l.Span; c.tense >= strained {
		return c.learning()
	}
	return c
}

// faster raises the rate, if it is made use of.
func (c Control) faster(l Look) Control {
	c.tense, c.warned = max(c.tense-l.Span, 0), false
	switch {
	case c.Rate == 0:
		return c
	case l.Copied < c.Rate/2:
	case c.knee == 0 || c.Rate > past*c.knee:
		c.Rate, c.knee = c.Rate*(1+fast), 0
	case c.Rate < c.knee:
		c.Rate = min(c.Rate*(1+fast), c.knee)
	default:
		c.Rate += slow * c.knee
	}
	c.Rate = max(c.Rate, l.floor())
	return c
}
