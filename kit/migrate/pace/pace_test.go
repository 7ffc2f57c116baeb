package pace

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// take takes n documents and returns how long that took.
func take(t *testing.T, p *Pace, n int) time.Duration {
	t.Helper()
	began := time.Now()
	for n > 0 {
		batch := p.Most(min(n, 10_000))
		if err := p.Wait(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		n -= batch
	}
	return time.Since(began)
}

func TestTheRateHoldsAndChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(0)
		for _, step := range []struct {
			rate float64
			n    int
			want time.Duration
		}{
			{0, 1_000_000, 0},
			{1000, 5000, 5 * time.Second},
			{50_000, 100_000, 2 * time.Second},
			{0, 100_000, 0},
			{10, 20, 2 * time.Second},
			{0.5, 2, 4 * time.Second},
		} {
			p.Set(step.rate)
			if took := take(t, p, step.n); took < step.want-2*burst || took > step.want+2*burst {
				t.Errorf("%d at %v a second took %v, want %v", step.n, step.rate, took, step.want)
			}
		}
		if p.Taken() != 1_205_022 {
			t.Errorf("taken %d", p.Taken())
		}
	})
}

func TestAFallOfTheRateIsNotForWhatCameBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, began := New(0), time.Now()
		n := p.Most(10_000)
		p.Set(10)
		if err := p.Wait(t.Context(), n); err != nil || time.Since(began) > burst {
			t.Errorf("%d that were let through before were waited for %v, %v", n, time.Since(began), err)
		}
	})
}

func TestAChangeEndsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, began := New(0.001), time.Now()
		time.AfterFunc(time.Second, func() { p.Set(0) })
		if err := p.Wait(t.Context(), 1); err != nil || time.Since(began) != time.Second {
			t.Errorf("waited for %v, %v", time.Since(began), err)
		}
	})
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		p := New(0.001)
		time.AfterFunc(time.Second, func() { cancel(why) })
		if err := p.Wait(ctx, 1); err != why {
			t.Errorf("it ended with %v", err)
		}
	})
}

func TestBytesOfBlobsCostWhatDocumentsDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, began := New(100), time.Now()
		n, err := io.Copy(io.Discard, p.Reader(t.Context(), bytes.NewReader(make([]byte, 200*page))))
		took := time.Since(began)
		if err != nil || n != 200*page || took < 2*time.Second-2*burst || took > 2*time.Second+2*burst || p.Taken() != 0 {
			t.Errorf("%d bytes in %v, %d documents, %v", n, took, p.Taken(), err)
		}
	})
}
