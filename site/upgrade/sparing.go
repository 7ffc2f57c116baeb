package upgrade

import (
	"cmp"
	"context"
	"time"

	"landfall.dev/api"
	"landfall.dev/site/upgrade/spare"
)

const (
	// tail is how many documents may be left for a cycle to be one that shows how
	// fast the last one will be: it is not bound unless it takes long.
	tail = 10_000
	// paceWithin is how long the side that copies has to answer.
	paceWithin = 2 * time.Second
	// calmWithin is how long a hold is put off for blue to answer as fast as it may
	// be slowed by a copy.
	calmWithin = 3 * time.Second
)

// spares tells whether the next cycle of u is to spare blue's clients. What does
// not converge comes first: then writers are slowed anyway.
func spares(u api.Upgrade) bool {
	return u.Spare >= 0 && u.Slowed == 0 && (len(u.Cycles) == 0 || improves(u.LastCycle()))
}

// sparing returns what is known of blue's clients before copying begins.
func (d *driver) sparing(u api.Upgrade) api.Sparing {
	if !spares(u) || first(u) {
		return api.Sparing{}
	}
	before, _ := d.gate.Lately()
	c := spare.New(cmp.Or(u.Spare, api.DefaultSpare), before)
	return sparingOf(c, 0)
}

// bound returns the rate at which the next cycle of u begins, 0 for no bound.
func bound(u api.Upgrade) float64 {
	if spares(u) && (len(u.Cycles) == 0 || u.LastCycle().Left > tail) {
		return u.Sparing.Rate
	}
	return 0
}

// newPacer returns what is known of blue's clients when a cycle of u begins.
func newPacer(u api.Upgrade) *spare.Pacer {
	s := u.Sparing
	c := spare.Control{Most: cmp.Or(u.Spare, api.DefaultSpare), Base: s.Base.Std(), Requests: s.Requests, Rate: s.Rate}
	if s.Base > 0 {
		c.Most = float64(s.Limit / s.Base)
	}
	if !spares(u) {
		c.Rate = 0
	}
	return spare.NewPacer(c, s.P99.Std(), bound(u))
}

// sparingOf returns what c has come to, with the percentile that was seen last.
func sparingOf(c spare.Control, p99 time.Duration) api.Sparing {
	s := api.Sparing{Base: api.Seconds(c.Base), Requests: c.Requests, P99: api.Seconds(p99), Rate: c.Rate}
	s.Limit = api.Duration(c.Most) * s.Base
	return s
}

// pace changes the rate of u's cycle until ctx ends. Each look says the rate
// again: what was lost on the way is made good by the next.
func (d *driver) pace(ctx context.Context, u api.Upgrade, p *spare.Pacer) {
	if !spares(u) {
		return
	}
	last := u.LastCycle()
	l := spare.Look{Changes: float64(last.Left) / max(last.Seconds, 1e-3)}
	tick := time.NewTicker(spare.Every)
	defer tick.Stop()
	_, since := d.gate.Lately()
	began, rate, warned := time.Now(), u.Sparing.Rate, false
	var before int64 // documents that were taken when the window began
	say := func() (taken int64) {
		ctx, cancel := context.WithTimeout(ctx, paceWithin)
		defer cancel()
		taken, err := d.copier.Pace(ctx, u.Green, rate)
		if err == nil {
			return taken
		}
		if !warned && ctx.Err() == nil {
			d.log.Warn("the rate of the copy was not changed", "upgrade", u.Link, "rate", rate, "error", err)
		}
		warned = true
		return before
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		taken := say()
		l.Window, l.Copied = since(), float64(max(taken-before, 0))/max(time.Since(began).Seconds(), 1e-3)
		var decided bool
		if rate, decided = p.Look(l); decided {
			before = say()
			_, since = d.gate.Lately()
			began = time.Now()
		}
	}
}

// calm waits until blue's clients are answered within the limit that copying has,
// but not for long: a hold lasts until the slowest of them is.
func (d *driver) calm(ctx context.Context, u api.Upgrade) {
	ctx, cancel := context.WithTimeout(ctx, calmWithin)
	defer cancel()
	for u.Sparing.Limit > 0 && ctx.Err() == nil {
		_, since := d.gate.Lately()
		select {
		case <-ctx.Done():
		case <-time.After(spare.Every):
		}
		if w := since(); !w.InUse() || w.P99 <= u.Sparing.Limit.Std() {
			return
		}
	}
}
