package load

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRunCountsWhatIsAnsweredInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := Run(t.Context(), Plan{Clients: 2, Warm: time.Second, For: 10 * time.Second}, func(_ context.Context, client int, _ *rand.Rand) error {
			time.Sleep(time.Duration(client+1) * 100 * time.Millisecond)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.Requests != 150 || r.PerSecond != 15 || r.P50 != 100 || r.P99 != 200 || r.Max != 200 || r.Failed != 0 {
			t.Errorf("one request each 100 ms and each 200 ms for 10 s: got %+v", r)
		}
	})
}

func TestRunTellsTheFirstFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := Run(t.Context(), Plan{Clients: 1, For: time.Second}, func(context.Context, int, *rand.Rand) error {
			time.Sleep(time.Millisecond)
			return errors.New("the disk is full")
		})
		if err == nil || !strings.Contains(err.Error(), "the disk is full") {
			t.Errorf("all requests failed: got the error %v, want why", err)
		}
	})
}

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		of   []time.Duration
		p    int
		want time.Duration
	}{{hundred, 50, 50}, {hundred, 99, 99}, {hundred, 100, 100}, {hundred[:1], 99, 1}, {hundred[:2], 99, 2}} {
		if got := Percentile(c.of, c.p); got != c.want {
			t.Errorf("percentile %d of %d values: got %d, want %d", c.p, len(c.of), got, c.want)
		}
	}
}
