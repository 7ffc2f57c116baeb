package linear

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"landfall.dev/kit"
)

// seeds is how many schedules a run plays, span how long each disturbs, and
// atOnce how many clusters there are at a time.
const (
	seeds  = 20
	span   = 5 * time.Second
	atOnce = 2
)

func TestHistoriesAreLinearizable(t *testing.T) {
	if text := os.Getenv("LANDFALL_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("LANDFALL_SEED: %v", err)
		}
		play(t, plan(seed, span), 0)
		return
	}
	slots := newSlots()
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprintf("seed %d", seed+1), func(t *testing.T) {
			t.Parallel()
			slot := <-slots
			t.Cleanup(func() { slots <- slot }) // after all cleanups of play
			play(t, plan(seed+1, span), slot)
		})
	}
}

// TestSoak plays new schedules for as long as SOAK says.
func TestSoak(t *testing.T) {
	if os.Getenv("SOAK") == "" {
		return // only make soak asks for it
	}
	lasts, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Fatalf("SOAK: %v: write it like 30m", err)
	}
	began := time.Now()
	slots := newSlots()
	var g sync.WaitGroup
	defer g.Wait()
	for seed := uint64(began.Unix()); time.Since(began) < lasts && !t.Failed(); seed++ {
		slot := <-slots
		g.Go(func() {
			defer func() { slots <- slot }()
			t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { play(t, plan(seed, span), slot) })
		})
	}
}

// newSlots returns the places for clusters.
func newSlots() chan int {
	slots := make(chan int, atOnce)
	for i := range atOnce {
		slots <- i
	}
	return slots
}

// play disturbs a new cluster as the schedule says, under load, and checks
// what was seen.
func play(t *testing.T, s schedule, slot int) {
	t.Log(s)
	c := newCluster(t, slot, s.nodes, s.full, s.grace)
	for i, m := range c.members {
		m.skew(s.skews[i])
	}
	r := &record{began: time.Now(), entries: map[kit.Link]kit.Fault{}, refused: map[kit.Link][]string{}, watched: map[kit.Link]document{}}
	watching, stop := context.WithCancel(t.Context())
	defer stop()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		c.follow(watching, r)
	}()
	c.load(r, s)
	c.mend()
	c.settle(r)
	c.until("every member tells the past", c.agree)
	c.until("the watch has told all", func(ctx context.Context) error { return c.told(ctx, r) })
	stop()
	<-watched
	r.judge(t)
	if t.Failed() {
		t.Logf("play it again by LANDFALL_SEED=%d go test -count=1 ./test/linear -run TestHistories\n%s", s.seed, s)
	}
}

// clients is how many share the registers and lists.
const clients = 5

// load lets clients work while the schedule is played.
func (c *cluster) load(r *record, s schedule) {
	ctx, stop := context.WithCancel(c.t.Context())
	var work, faults sync.WaitGroup
	for i := range clients {
		work.Go(func() { c.work(ctx, r, i, s) })
	}
	work.Go(func() { c.enter(ctx, r, 100) })
	work.Go(func() { c.enter(ctx, r, 101) })
	work.Go(func() { c.pair(ctx, r, 0) })
	work.Go(func() { c.compare(ctx, r) })
	work.Go(func() { c.recall(ctx, r) })
	for i := range c.members {
		work.Go(func() { c.look(ctx, r, i) })
	}
	disturbed, end := context.WithTimeout(ctx, s.duration)
	for _, lane := range s.lanes {
		faults.Go(func() { c.disturb(disturbed, s, lane) })
	}
	<-disturbed.Done()
	end()
	faults.Wait()
	stop()
	work.Wait()
}

// settle waits until all members have the same, and records what that is. A
// write of unknown outcome may still come meanwhile.
func (c *cluster) settle(r *record) {
	c.t.Helper()
	s := session{cluster: c, record: r, number: clients, client: c.client(0, false), seen: map[kit.Link]int64{}}
	links := []kit.Link{"pairs/left", "pairs/right"}
	for i := range sharedRegisters {
		links = append(links, kit.NewLink("registers", strconv.Itoa(i)))
	}
	for i := range sharedLists {
		links = append(links, kit.NewLink("lists", strconv.Itoa(i)))
	}
	for _, l := range links {
		c.until("all have the same "+string(l), func(ctx context.Context) error { return c.same(ctx, s, l) })
	}
	for i, m := range c.members {
		c.until(m.name+" has all entries", func(ctx context.Context) error {
			entries, err := c.all(ctx, i, "entries")
			if err != nil {
				return err
			}
			return r.compare(entries)
		})
	}
}

// same compares what the members have of a document with what it is.
func (c *cluster) same(ctx context.Context, s session, l kit.Link) error {
	in := input{verb: kit.VerbRead, link: l}
	called := s.record.now()
	out := s.do(ctx, in)
	if out.fault != 0 && out.fault != kit.ErrNotFound {
		return out.err
	}
	out.err = nil
	if l.Kind() != "pairs" {
		s.record.add(operation(s.number, in, called, out, s.record.now()))
	}
	want := document{out.fault == 0, out.version, out.value}
	for i, m := range c.members {
		doc, err := c.client(i, true).Read(ctx, l, kit.ReadOptions{Consistency: kit.Eventual})
		if got := (document{err == nil, doc.Version, valueOf(doc)}); got != want {
			return errors.Join(err, fmt.Errorf("%s has %+v, not %+v", m.name, got, want))
		}
	}
	return nil
}

// compare returns an error unless entries are what was acknowledged, and
// nothing that was refused.
func (r *record) compare(entries map[kit.Link]kit.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for link, fault := range r.entries {
		_, there := entries[link]
		known := output{fault: fault}
		switch {
		case fault == 0 && !there:
			return fmt.Errorf("%s was acknowledged and is lost", link)
		case fault != 0 && !known.unknown() && there:
			return fmt.Errorf("%s was refused with %s and is there", link, fault)
		}
	}
	return nil
}

// judge reports all that must not have been seen.
func (r *record) judge(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, w := range r.wrong {
		if i == 10 {
			t.Errorf("and %d more", len(r.wrong)-10)
			break
		}
		t.Error(w)
	}
	unknown, acked := 0, 0
	for _, o := range r.history {
		if o.Output.(output).unknown() {
			unknown++
		}
	}
	for _, f := range r.entries {
		if f == 0 {
			acked++
		}
	}
	began := time.Now()
	if wrong := check(r.history, patience); wrong != "" {
		t.Error("not linearizable: " + wrong)
		for link, why := range r.refused {
			if strings.Contains(wrong, "operations on "+string(link)+":") {
				t.Logf("not made, as the clients were told:\n%s", strings.Join(why, "\n"))
			}
		}
	}
	t.Logf("%d operations, %d of unknown outcome, were checked in %s; %d of %d entries were acknowledged", len(r.history), unknown, time.Since(began).Round(time.Millisecond), acked, len(r.entries))
	if acked == 0 {
		t.Error("nothing was acknowledged: the cluster has not worked at all")
	}
}
