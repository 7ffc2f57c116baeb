package front

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// writer sends so many writes a second to p until the test's bubble is told to
// end, and counts those let through.
func writer(t *testing.T, p *pace, rate int, done <-chan struct{}) *atomic.Int64 {
	var passed atomic.Int64
	go func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				go func() {
					if err := p.wait(t.Context()); err != nil {
						t.Errorf("a write failed: %v", err)
					}
					passed.Add(1)
				}()
			case <-done:
				return
			}
		}
	}()
	return &passed
}

func slowTo(t *testing.T, p *pace, share float64) {
	t.Helper()
	if _, err := p.slow(share); err != nil {
		t.Fatalf("slow(%v): %v", share, err)
	}
}

func TestWritersGetTheirShareOfTheRateThatTheyHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(pace)
		done := make(chan struct{})
		// A hundred clients that each write again as soon as they are answered,
		// which takes 100 ms.
		var passed atomic.Int64
		var clients sync.WaitGroup
		for range 100 {
			clients.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					if err := p.wait(t.Context()); err != nil {
						t.Errorf("a write failed: %v", err)
					}
					passed.Add(1)
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		rate := func() int64 {
			before := passed.Load()
			time.Sleep(4 * time.Second)
			return (passed.Load() - before) / 4
		}
		near := func(what string, got, want int64) {
			t.Helper()
			if got < want*9/10 || got > want*11/10 {
				t.Errorf("%s: %d writes a second, want about %d", what, got, want)
			}
		}
		near("at first", rate(), 1000)
		slowTo(t, p, 0.8)
		near("slowed to 0.8", rate(), 800)
		slowTo(t, p, 0.5)
		near("slowed to 0.5 of what it was at first", rate(), 500)
		var s State
		p.state(&s)
		if s.SlowedTo != 0.5 || s.Delayed == 0 || s.DelayedTotal == 0 || s.LongestDelay == 0 || s.WriteRate < 400 {
			t.Errorf("the state does not show that writes are slowed: %+v", s)
		}
		slowTo(t, p, 1)
		near("no longer slowed", rate(), 1000)
		p.state(&s)
		if s.SlowedTo != 0 || s.Delayed != 0 {
			t.Errorf("the state shows that writes are slowed: %+v", s)
		}
		close(done)
		clients.Wait()
	})
}

func TestWritesAreDelayedWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(pace)
		done := make(chan struct{})
		passed := writer(t, p, 100, done) // whoever is delayed does not keep the next from coming
		time.Sleep(5 * time.Second)
		slowTo(t, p, 0.1)
		before := passed.Load()
		time.Sleep(10 * time.Second)
		if n := passed.Load() - before; n < 850 {
			t.Errorf("%d of 1000 writes were let through, want all but those of the last second", n)
		}
		var s State
		p.state(&s)
		if s.LongestDelay != longestDelay || s.Delayed > 101 {
			t.Errorf("delayed by up to %v, %d now; want %v and at most the 100 of one second", s.LongestDelay, s.Delayed, longestDelay)
		}
		close(done)
		time.Sleep(2 * time.Second)
	})
}

func TestWritersThatAreFewEnoughAreNotDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(pace)
		slowTo(t, p, 0.5) // of nothing: the least rate holds
		for range 100 {
			for range int(leastRate * leeway.Seconds() / 2) {
				began := time.Now()
				if err := p.wait(t.Context()); err != nil || time.Since(began) > 0 {
					t.Fatalf("a write was delayed by %v, %v", time.Since(began), err)
				}
			}
			time.Sleep(time.Second)
		}
	})
}

func TestADelayedWriteEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(pace)
		slowTo(t, p, 0.1)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		var err error
		for err == nil {
			err = p.wait(ctx)
		}
		if !errors.Is(err, context.DeadlineExceeded) || p.delayed != 0 {
			t.Errorf("got %v with %d delayed, want its context's error and none", err, p.delayed)
		}
	})
}

func TestSharesAreChecked(t *testing.T) {
	h := newHouse(t, Options{})
	for _, share := range []float64{0, -1, 1.5} {
		if err := h.Slow(share); err == nil || !strings.Contains(err.Error(), "share of") {
			t.Errorf("slow to %v: %v, want it refused", share, err)
		}
	}
}

func TestOnlyWritesAreSlowed(t *testing.T) {
	blue := newSide(t, "blue", nil)
	h := opened(t, Options{}, blue.route(1))
	if err := h.Slow(0.01); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		h.must(t, 200, "GET", "/", "")
	}
	if s := h.State(); s.DelayedTotal != 0 || s.SlowedTo != 0.01 {
		t.Errorf("after reads the state is %+v, want nothing delayed", s)
	}
	answers := make(chan answer, 4)
	for range cap(answers) {
		go func() {
			a, err := h.do("POST", "/", "x")
			if err != nil {
				t.Errorf("a slowed write: %v", err)
			}
			answers <- a
		}()
	}
	eventually(t, "writes are delayed", func() bool { return h.State().DelayedTotal > 0 })
	if err := h.Slow(1); err != nil {
		t.Fatal(err)
	}
	for range cap(answers) {
		if a := <-answers; a.status != 200 {
			t.Errorf("a slowed write got %d", a.status)
		}
	}
	if s := h.State(); s.Delayed != 0 || s.Failed != 0 || blue.count() == 0 {
		t.Errorf("after the slowing the state is %+v", s)
	}
}
