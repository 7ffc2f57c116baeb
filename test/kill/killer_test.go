package kill_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/test/harness"
)

// spot is a state that something is to be killed at.
type spot struct{ place, state string }

// entered is a spot that a document has come to.
type entered struct {
	spot
	link  kit.Link
	index int // of the place
}

// killer kills something as soon as a state is in the log, at each state once, or as
// often as its place says.
type killer struct {
	t       *testing.T
	places  []place
	journal *harness.Journal
	// strike kills, and returns what can be done once it is known what was
	// written at that moment; false if there was nothing to kill.
	strike func(s spot) (after func(), ok bool)
	end    context.CancelFunc
	done   chan struct{}

	current map[kit.Link][][]string // the states of each document, by place

	mu     sync.Mutex
	wanted map[spot]int // how often
	tries  map[spot]int
}

// maxTries is how often a state may be gone before the kill hits.
const maxTries = 12

// newKiller follows the log of the node in dir.
func newKiller(t *testing.T, dir string, places []place, strike func(spot) (func(), bool)) *killer {
	t.Helper()
	declared := declaredStates(t)
	ctx, cancel := context.WithCancel(t.Context())
	k := &killer{
		t: t, places: places, journal: harness.OpenJournal(dir), strike: strike, end: cancel, done: make(chan struct{}),
		current: map[kit.Link][][]string{}, wanted: map[spot]int{}, tries: map[spot]int{},
	}
	for _, p := range places {
		for _, s := range declared[p.typ] {
			if p.never[s] == "" {
				k.wanted[spot{p.name, s}] = max(1, p.often[s])
			}
		}
	}
	records, err := k.journal.Read() // what was before is of no interest
	if err != nil {
		t.Fatal(err)
	}
	k.note(records)
	t.Cleanup(k.stop)
	go k.run(ctx)
	return k
}

func (k *killer) stop() {
	k.end()
	<-k.done
}

func (k *killer) run(ctx context.Context) {
	defer close(k.done)
	defer k.journal.Close()
	for {
		records, err := k.journal.Next(ctx)
		if err != nil {
			if ctx.Err() == nil {
				k.t.Error(err)
			}
			return
		}
		hits := k.note(records)
		if len(hits) == 0 {
			continue
		}
		after, ok := k.strike(hits[0].spot)
		if !ok {
			continue
		}
		// It has gone on until it was dead.
		if records, err = k.journal.Read(); err != nil {
			k.t.Error(err)
			return
		}
		k.judge(append(hits, k.note(records)...))
		after()
	}
}

// note remembers the documents' states and returns the wanted ones that some
// have just come to.
func (k *killer) note(records []kit.Record) (hits []entered) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range records {
		before := k.current[r.Link]
		now := make([][]string, len(k.places))
		for i, p := range k.places {
			if p.kind != r.Kind {
				continue
			}
			now[i] = p.states(r)
			for _, s := range now[i] {
				fresh := before == nil || !slices.Contains(before[i], s)
				if fresh && k.wanted[spot{p.name, s}] > 0 {
					hits = append(hits, entered{spot{p.name, s}, r.Link, i})
				}
			}
		}
		k.current[r.Link] = now
	}
	return slices.DeleteFunc(hits, func(e entered) bool {
		return !slices.Contains(k.current[e.link][e.index], e.state) // left already
	})
}

// judge takes the states off the list that still held when the kill was done.
func (k *killer) judge(hits []entered) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, h := range hits {
		switch {
		case slices.Contains(k.current[h.link][h.index], h.state):
			if k.wanted[h.spot] == 0 {
				continue
			}
			k.t.Logf("killed at %s %s: %s", h.place, h.state, h.link)
			if k.wanted[h.spot]--; k.wanted[h.spot] == 0 {
				delete(k.wanted, h.spot)
			}
		case k.tries[h.spot] == maxTries:
			k.t.Logf("%s %s cannot be hit", h.place, h.state)
			delete(k.wanted, h.spot)
			k.t.Fail()
		default:
			k.tries[h.spot]++
		}
	}
}

// left are the states that nothing was killed at yet, without those that it is
// not certain to see.
func (k *killer) left() (spots []spot) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for s := range k.wanted {
		i := slices.IndexFunc(k.places, func(p place) bool { return p.name == s.place })
		if k.places[i].maybe == "" {
			spots = append(spots, s)
		}
	}
	return spots
}

// outage is a time in which requests may fail.
type outage struct {
	from time.Time
	to   time.Time // zero while it lasts
}

// outages are those of the platform that a load is on. Its methods may be
// called concurrently.
type outages struct {
	load *harness.Load

	mu      sync.Mutex
	all     []*outage
	running sync.WaitGroup
}

// begin says that something is being killed that requests need. After the
// returned function was called, the outage ends when wait has returned, which
// may be nil, and the platform answers.
func (o *outages) begin() (back func(ctx context.Context, wait func(context.Context))) {
	now := &outage{from: time.Now()}
	o.mu.Lock()
	o.all = append(o.all, now)
	o.mu.Unlock()
	return func(ctx context.Context, wait func(context.Context)) {
		o.running.Go(func() {
			if wait != nil {
				wait(ctx)
			}
			if o.load.AwaitAnswer(ctx) != nil {
				return // the test has ended
			}
			o.mu.Lock()
			defer o.mu.Unlock()
			now.to = time.Now()
		})
	}
}

// finish ends the load, with its own checks, and reports the failures that no
// outage explains.
func (o *outages) finish(t *testing.T) {
	t.Helper()
	o.running.Wait()
	for _, f := range o.load.Finish() {
		if !slices.ContainsFunc(o.all, func(x *outage) bool {
			return f.Ended.After(x.from) && (x.to.IsZero() || f.Began.Before(x.to))
		}) {
			t.Errorf("a request failed while nothing was down, from %s to %s: %v", f.Began.Format(clock), f.Ended.Format(clock), f.Err)
		}
	}
	for _, x := range o.all {
		t.Logf("down from %s to %s", x.from.Format(clock), x.to.Format(clock))
	}
}

const clock = "15:04:05.000"
