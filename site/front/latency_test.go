package front

import (
	"testing"
	"time"
)

func TestLatenciesAreKnownToAnEighth(t *testing.T) {
	for _, d := range []time.Duration{0, time.Microsecond, 7 * time.Microsecond, 8 * time.Microsecond, 99 * time.Microsecond, time.Millisecond, 1234 * time.Millisecond, time.Minute, time.Hour, 1000 * time.Hour} {
		got := upTo(bucketOf(d))
		if d < time.Hour && (got <= d || float64(got) > 1.13*float64(d)+float64(time.Microsecond)) {
			t.Errorf("%v is taken for up to %v", d, got)
		}
	}
	for i := 1; i < len(Latencies{}); i++ {
		if upTo(i) <= upTo(i-1) || bucketOf(upTo(i-1)) != i {
			t.Errorf("bucket %d begins at %v, in bucket %d, and ends at %v", i, upTo(i-1), bucketOf(upTo(i-1)), upTo(i))
		}
	}
}

func TestShareOfRequestsIsAnsweredWithin(t *testing.T) {
	door := Door{}
	for range 990 {
		door.latencies.add(time.Millisecond)
	}
	before := door.Latencies()
	for range 980 {
		door.latencies.add(time.Millisecond)
	}
	for range 20 {
		door.latencies.add(time.Second)
	}
	now := door.Latencies()
	if p50, p99 := now.Within(0.5, before), now.Within(0.99, before); p50 > 1200*time.Microsecond || p99 < time.Second || p99 > 1200*time.Millisecond {
		t.Errorf("half within %v, 99 of 100 within %v; want 1 ms and 1 s", p50, p99)
	}
	if n := now.Count(before); n != 1000 || now.Within(0.99, now) != 0 {
		t.Errorf("%d requests, want 1000", n)
	}
}
