package front

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func to(side string, epoch int64) *target {
	return &target{Route: Route{Epoch: epoch, Side: side, Backends: []string{"a:1"}}}
}

func newTicket() *ticket { return &ticket{class: Short, bytes: 1, left: 10 * time.Second} }

// short are bounds for short requests.
func short(held int, bytes int64) map[Class]Bound {
	return map[Class]Bound{Short: {Held: held, Bytes: bytes}}
}

// openGate returns a gate that is open to blue at epoch 1.
func openGate(t *testing.T, maxHeld int, maxBytes int64, burst int) *gate {
	t.Helper()
	g := newGate(short(maxHeld, maxBytes), 0.5, burst)
	if err := g.open(to("blue", 1)); err != nil {
		t.Fatalf("open: %v", err)
	}
	return g
}

// guests are tickets that enter a gate in goroutines of their own, and the
// numbers of those let in, in order.
type guests struct {
	g    *gate
	mu   sync.Mutex
	in   []int
	errs map[int]error
}

// come lets k, number n, arrive and waits until it is inside or waiting.
func (gs *guests) come(t *testing.T, n int, k *ticket) {
	go func() {
		err := gs.g.enter(t.Context(), k)
		gs.mu.Lock()
		defer gs.mu.Unlock()
		if err != nil {
			if gs.errs == nil {
				gs.errs = map[int]error{}
			}
			gs.errs[n] = err
			return
		}
		gs.in = append(gs.in, n)
	}()
	synctest.Wait()
}

func (gs *guests) inside(t *testing.T, what string, want ...int) {
	t.Helper()
	synctest.Wait()
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if !slices.Equal(gs.in, want) {
		t.Fatalf("%s: inside were, in order, %v, want %v", what, gs.in, want)
	}
}

func enter(t *testing.T, g *gate, k *ticket) {
	t.Helper()
	if err := g.enter(t.Context(), k); err != nil {
		t.Fatalf("enter: %v", err)
	}
}

func wantState(t *testing.T, g *gate, holding bool, held, inFlight int) {
	t.Helper()
	s := g.state()
	if s.Holding != holding || s.Held != held || s.InFlight != inFlight {
		t.Fatalf("state: holding %v, held %d, in flight %d; want %v, %d, %d",
			s.Holding, s.Held, s.InFlight, holding, held, inFlight)
	}
}

func TestHoldReturnsWhenThoseInsideAreDoneAndOpenReleasesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := openGate(t, 10, 100, 1) // one at a time, so that the order shows
		early := newTicket()
		enter(t, g, early)

		held := make(chan error, 1)
		go func() { held <- g.hold(t.Context()) }()
		synctest.Wait()
		gs := &guests{g: g}
		late := make([]*ticket, 4)
		for i := range late {
			late[i] = newTicket()
			gs.come(t, i, late[i])
		}
		wantState(t, g, true, 4, 1)
		select {
		case err := <-held:
			t.Fatalf("hold returned %v while one was inside", err)
		default:
		}
		time.Sleep(30 * time.Millisecond)
		g.leave(early)
		if err := <-held; err != nil {
			t.Fatalf("hold: %v", err)
		}
		if d := g.state().LastDrain; d != 30*time.Millisecond {
			t.Errorf("drain took %v, want 30ms", d)
		}
		gs.inside(t, "while held")
		time.Sleep(20 * time.Millisecond)
		if err := g.open(to("green", 2)); err != nil {
			t.Fatalf("open: %v", err)
		}
		gs.inside(t, "after open", 0)
		g.leave(late[0])
		gs.inside(t, "after one left", 0, 1)
		gs.come(t, 4, newTicket())
		gs.inside(t, "a new one goes behind those that wait", 0, 1)
		g.leave(late[1])
		gs.inside(t, "after two left", 0, 1, 2)
		if late[1].to.Side != "green" {
			t.Errorf("a held request went to %s", late[1].to.Side)
		}
		if s := g.state(); s.LastHold != 50*time.Millisecond || s.LongestWait < 50*time.Millisecond {
			t.Errorf("hold lasted %v, longest wait %v, want 50ms and no less", s.LastHold, s.LongestWait)
		}
	})
}

func TestReleaseWidensWhileSlowRequestsAreInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := openGate(t, 10, 100, 2)
		if err := g.hold(t.Context()); err != nil {
			t.Fatalf("hold: %v", err)
		}
		gs := &guests{g: g}
		for i := range 5 {
			gs.come(t, i, newTicket())
		}
		g.open(to("green", 2))
		synctest.Wait()
		wantState(t, g, false, 3, 2)
		time.Sleep(widenEvery)
		synctest.Wait()
		wantState(t, g, false, 1, 4)
		time.Sleep(widenEvery)
		synctest.Wait()
		wantState(t, g, false, 0, 5)
	})
}

func TestHoldThatEndsTooEarlyReleasesToTheSameSide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := openGate(t, 10, 100, 10)
		enter(t, g, newTicket())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		held := make(chan error, 1)
		go func() { held <- g.hold(ctx) }()
		synctest.Wait()
		gs := &guests{g: g}
		late := newTicket()
		gs.come(t, 0, late)
		gs.inside(t, "while held")
		if err := <-held; !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("hold: %v, want the context's error", err)
		}
		gs.inside(t, "after the hold gave up", 0)
		if late.to.Side != "blue" {
			t.Errorf("it went to %s, want blue", late.to.Side)
		}
		wantState(t, g, false, 0, 2)
	})
}

func TestALaterHoldOutlivesAnEarlierOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := openGate(t, 10, 100, 10)
		inside := newTicket()
		enter(t, g, inside)
		first, cancel := context.WithCancel(t.Context())
		results := make(chan error, 2)
		go func() { results <- g.hold(first) }()
		synctest.Wait()
		go func() { results <- g.hold(t.Context()) }()
		synctest.Wait()
		cancel()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Fatalf("first hold: %v, want canceled", err)
		}
		wantState(t, g, true, 0, 1)
		g.leave(inside)
		if err := <-results; err != nil {
			t.Fatalf("second hold: %v", err)
		}
		if err := g.hold(t.Context()); err != nil {
			t.Fatalf("hold while all is held: %v", err)
		}
	})
}

func TestOpenEndsAHoldThatStillWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := openGate(t, 10, 100, 10)
		enter(t, g, newTicket())
		held := make(chan error, 1)
		go func() { held <- g.hold(t.Context()) }()
		synctest.Wait()
		for range 2 { // it may be repeated
			if err := g.open(to("blue", 1)); err != nil {
				t.Fatalf("open: %v", err)
			}
		}
		if err := <-held; !errors.Is(err, ErrOpened) {
			t.Fatalf("hold: %v, want ErrOpened", err)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	cases := []struct {
		name     string
		maxHeld  int
		maxBytes int64
		size     int64
	}{
		{"in number", 3, 1000, 1},
		{"in bytes", 1000, 30, 10},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := openGate(t, c.maxHeld, c.maxBytes, 10)
				g.hold(t.Context())
				gs := &guests{g: g}
				for i := range 3 {
					k := newTicket()
					k.bytes = c.size
					gs.come(t, i, k)
				}
				k := newTicket()
				k.bytes = c.size
				if err := g.enter(t.Context(), k); !errors.Is(err, errFull) {
					t.Fatalf("the fourth got %v, want errFull", err)
				}
				g.open(to("green", 2))
				synctest.Wait()
				wantState(t, g, false, 0, 3)
				g.mu.Lock()
				defer g.mu.Unlock()
				if len(g.waiting) != 0 {
					t.Errorf("room is still accounted for: %v", g.waiting)
				}
			})
		})
	}
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestNobodyWaitsLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(short(10, 100), 0.5, 10)
		began := time.Now()
		if err := g.enter(t.Context(), newTicket()); !errors.Is(err, errNoRoute) {
			t.Fatalf("without a route: %v, want errNoRoute", err)
		}
		if d := time.Since(began); d != 10*time.Second {
			t.Errorf("it waited %v, want 10s", d)
		}
		g.route(to("blue", 1))
		g.hold(t.Context())
		if err := g.enter(t.Context(), newTicket()); !errors.Is(err, errWaited) {
			t.Fatalf("while held: %v, want errWaited", err)
		}
		wantState(t, g, true, 0, 0)
	})
}

func TestTheTimeOfAllWaitsCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := openGate(t, 10, 100, 10)
		k := newTicket()
		g.hold(t.Context())
		time.AfterFunc(6*time.Second, func() { g.open(to("blue", 1)) })
		enter(t, g, k)
		g.yield(k)
		g.hold(t.Context())
		began := time.Now()
		if err := g.enter(t.Context(), k); !errors.Is(err, errWaited) {
			t.Fatalf("second wait: %v, want errWaited", err)
		}
		if d := time.Since(began); d != 4*time.Second {
			t.Errorf("second wait took %v, want the 4s that were left", d)
		}
	})
}

func TestAClientThatGoesAwayLeavesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := openGate(t, 10, 100, 10)
		g.hold(t.Context())
		gone := errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		result := make(chan error, 1)
		go func() { result <- g.enter(ctx, newTicket()) }()
		synctest.Wait()
		wantState(t, g, true, 1, 0)
		cancel(gone)
		if err := <-result; !errors.Is(err, gone) {
			t.Fatalf("enter: %v, want the cause", err)
		}
		wantState(t, g, true, 0, 0)
	})
}

func TestRouteWithoutHoldLetsThoseInWhoWaitedForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(short(10, 100), 0.5, 10)
		gs := &guests{g: g}
		gs.come(t, 0, newTicket())
		gs.inside(t, "without a route")
		g.route(to("blue", 1))
		gs.inside(t, "with a route", 0)

		g.hold(canceled(t)) // one is inside: the hold gives up at once
		wantState(t, g, false, 0, 1)
	})
}

func TestRouteDoesNotEndAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := openGate(t, 10, 100, 10)
		g.hold(t.Context())
		gs := &guests{g: g}
		gs.come(t, 0, newTicket())
		g.route(to("green", 2))
		gs.inside(t, "after route")
		g.open(to("green", 2))
		gs.inside(t, "after open", 0)
	})
}

func TestStaleRoutesAreRefused(t *testing.T) {
	cases := []struct {
		name  string
		route *target
		want  error
	}{
		{"an older epoch", to("green", 4), ErrStale},
		{"an older epoch of the same side", to("blue", 4), ErrStale},
		{"another side in the same epoch", to("green", 5), ErrStale},
		{"the same route", to("blue", 5), nil},
		{"a newer epoch", to("green", 6), nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := newGate(short(10, 100), 0.5, 10)
			g.route(to("blue", 5))
			g.hold(t.Context())
			if err := g.open(c.route); !errors.Is(err, c.want) {
				t.Fatalf("open: %v, want %v", err, c.want)
			}
			if s := g.state(); s.Holding != (c.want != nil) {
				t.Errorf("holding: %v after open returned %v", s.Holding, c.want)
			}
		})
	}
}

func TestStreamsAreNotWaitedForAndAreCutWhenTheSideChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := openGate(t, 10, 100, 10)
		var cut atomic.Int32
		for range 50 {
			k := newTicket()
			k.class, k.cut = Stream, func() { cut.Add(1); g.leave(k) }
			enter(t, g, k)
		}
		if err := g.hold(t.Context()); err != nil {
			t.Fatalf("hold: %v", err)
		}
		g.open(to("blue", 2))
		time.Sleep(time.Second)
		if n := cut.Load(); n != 0 {
			t.Fatalf("%d streams were cut though the side is the same", n)
		}
		g.hold(t.Context())
		g.open(to("green", 3))
		time.Sleep(50 * cutSpacing)
		synctest.Wait()
		if n := cut.Load(); n != 50 {
			t.Errorf("%d streams were cut, want 50", n)
		}
		if n := g.state().Streams; n != 0 {
			t.Errorf("%d streams are left, want 0", n)
		}
	})
}

func TestAFencedRequestGoesBackToItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := openGate(t, 10, 100, 1)
		old := []*ticket{newTicket(), newTicket()}
		enter(t, g, old[0])
		enter(t, g, old[1])
		held := make(chan error, 1)
		go func() { held <- g.hold(t.Context()) }()
		synctest.Wait()
		gs := &guests{g: g}
		gs.come(t, 2, newTicket())
		for i, k := range slices.Backward(old) {
			go func() {
				if err := g.fenced(t.Context(), k); err != nil {
					t.Errorf("fenced: %v", err)
				}
				gs.mu.Lock()
				gs.in = append(gs.in, i)
				gs.mu.Unlock()
			}()
			synctest.Wait()
		}
		if err := <-held; err != nil {
			t.Fatalf("hold: %v, want that fenced requests are not inside", err)
		}
		wantState(t, g, true, 3, 0)
		g.open(to("green", 2))
		gs.inside(t, "after open", 0)
		g.leave(old[0])
		gs.inside(t, "after the first left", 0, 1)
		g.leave(old[1])
		gs.inside(t, "after the second left", 0, 1, 2)
	})
}

func TestAFencedRequestWaitsForAnotherRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := openGate(t, 10, 100, 10)
		k := newTicket()
		enter(t, g, k)
		began := time.Now()
		if err := g.fenced(t.Context(), k); err != nil || k.to.Side != "blue" || time.Since(began) != fencePause {
			t.Fatalf("first try: %v, to %s after %v, want to blue after %v", err, k.to.Side, time.Since(began), fencePause)
		}
		time.AfterFunc(fencePause/2, func() { g.route(to("green", 2)) })
		if err := g.fenced(t.Context(), k); err != nil || k.to.Side != "green" {
			t.Fatalf("second try: %v, to %s, want to green", err, k.to.Side)
		}
		var err error
		for err == nil {
			err = g.fenced(t.Context(), k)
		}
		if waited := time.Since(began); !errors.Is(err, errFenced) || waited != 10*time.Second {
			t.Fatalf("it ended with %v after %v, want errFenced after 10s", err, waited)
		}
	})
}

func TestStopAnswersThoseThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(short(10, 100), 0.5, 10)
		gs := &guests{g: g}
		gs.come(t, 0, newTicket())
		g.stop()
		gs.come(t, 1, newTicket())
		for n := range 2 {
			if !errors.Is(gs.errs[n], errStopping) {
				t.Errorf("request %d: %v, want errStopping", n, gs.errs[n])
			}
		}
	})
}

// TestNobodyIsInsideAfterAHold looks for the race between one who enters and
// one who holds.
func TestNobodyIsInsideAfterAHold(t *testing.T) {
	g := openGate(t, 1000, 1000, 4)
	ctx, cancel := context.WithCancel(t.Context())
	var inside atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for ctx.Err() == nil {
				k := newTicket()
				if err := g.enter(ctx, k); err != nil {
					return
				}
				inside.Add(1)
				inside.Add(-1)
				g.leave(k)
			}
		})
	}
	for epoch := int64(2); epoch < 2000; epoch++ {
		if err := g.hold(t.Context()); err != nil {
			t.Fatalf("hold: %v", err)
		}
		if n := inside.Load(); n != 0 {
			t.Fatalf("%d inside after hold %d", n, epoch)
		}
		if err := g.open(to(fmt.Sprint(epoch), epoch)); err != nil {
			t.Fatalf("open: %v", err)
		}
	}
	cancel()
	wg.Wait()
	wantState(t, g, false, 0, 0)
}
