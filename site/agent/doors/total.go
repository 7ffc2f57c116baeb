package doors

import (
	"context"
	"slices"
	"time"

	"landfall.dev/site/front"
	"landfall.dev/site/upgrade/spare"
)

const (
	// lately is how far back Lately looks, at what is noted each noteEvery.
	lately    = 10 * time.Second
	noteEvery = time.Second

	// watchFor is how long further doors report often after somebody has looked.
	watchFor = 5 * time.Second

	// tellingOf is how many requests of a second tell how long they take.
	tellingOf = 100
)

// Total is what all doors did, since some moment.
type Total struct {
	Requests, Failed uint64
	Latencies        front.Latencies
}

// moment is what all doors had done at a time.
type moment struct {
	Total
	at time.Time
}

// add adds what a further door did between two reports. In the first one of a
// process there is nothing to compare it with.
func (t *Total) add(before, now front.Report) {
	if before.Order == "" || now.State.Requests < before.State.Requests {
		return
	}
	t.Requests += now.State.Requests - before.State.Requests
	t.Failed += now.State.Failed - before.State.Failed
	for i, n := range now.Latencies {
		t.Latencies[i] += n - before.Latencies[i]
	}
}

// Total returns what all doors did since this process started. What further
// doors did is known with their reports.
func (d *Doors) Total() Total {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.total()
}

// total is Total for who holds mu.
func (d *Doors) total() Total {
	own, t := d.own.State(), d.further
	t.Requests += own.Requests
	t.Failed += own.Failed
	for i, n := range d.own.Latencies() {
		t.Latencies[i] += n
	}
	return t
}

// Run notes what the doors do, for Lately, until ctx ends.
func (d *Doors) Run(ctx context.Context) error {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for {
		d.note()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (d *Doors) note() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.past = append(d.past, moment{d.total(), time.Now()})
	d.past = d.past[max(0, len(d.past)-int(lately/noteEvery)-1):]
}

// Lately returns what was done in the last ten seconds, and a function for what
// is done from now on. While that is called, further doors report often.
func (d *Doors) Lately() (before spare.Window, since func() spare.Window) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watch()
	now := moment{d.total(), time.Now()}
	oldest := now
	if len(d.past) > 0 {
		oldest = d.past[0]
	}
	before = d.window(oldest, now)
	before.Worst = d.worst()
	return before, func() spare.Window {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.watch()
		return d.window(now, moment{d.total(), time.Now()})
	}
}

// window returns what was done between two moments. The caller holds mu.
func (d *Doors) window(from, to moment) spare.Window {
	s := d.own.State()
	w := spare.Window{
		Span:     to.at.Sub(from.at),
		Requests: to.Latencies.Count(from.Latencies),
		P99:      to.Latencies.Within(0.99, from.Latencies),
		Inside:   s.InFlight, Writes: s.WriteRate,
	}
	for _, other := range d.known {
		if time.Since(other.seen) > forgetAfter {
			continue
		}
		w.Inside += other.report.State.InFlight
		w.Writes += other.report.State.WriteRate
	}
	return w
}

// worst returns the percentile of the second worst of the seconds that are noted,
// 0 if few of them had enough requests. The caller holds mu.
func (d *Doors) worst() time.Duration {
	var all []time.Duration
	for i := 1; i < len(d.past); i++ {
		before, now := d.past[i-1].Latencies, d.past[i].Latencies
		if now.Count(before) >= tellingOf {
			all = append(all, now.Within(0.99, before))
		}
	}
	if len(all) < int(lately/noteEvery)/2 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)-2]
}

// watch makes further doors report often for a while. The caller holds mu.
func (d *Doors) watch() {
	calm := !time.Now().Before(d.watched)
	d.watched = time.Now().Add(watchFor)
	if calm {
		d.signal()
	}
}

// beat is how long a further door waits for its answer. The caller holds mu.
func (d *Doors) beat() time.Duration {
	if time.Now().Before(d.watched) {
		return min(leaseBeat, d.order.Beat)
	}
	return d.order.Beat
}
