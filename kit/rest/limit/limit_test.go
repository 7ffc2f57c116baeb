package limit

import (
	"fmt"
	"testing"
	"time"
)

func TestABucketGivesItsBurstAndThenItsRate(t *testing.T) {
	var r Rates
	now := time.Unix(1_000_000, 0)
	take := func(name string) time.Duration { return r.Take(name, 10, 5, now) }
	for i := range 5 {
		if wait := take("ada"); wait != 0 {
			t.Fatalf("token %d of a burst of 5: wait %v, want none", i+1, wait)
		}
	}
	if wait := take("ada"); wait != 100*time.Millisecond {
		t.Errorf("after the burst: wait %v, want the 100 ms in which a token comes", wait)
	}
	if wait := take("bob"); wait != 0 {
		t.Errorf("another's bucket: wait %v, want none", wait)
	}
	given := 0
	for range 1000 { // ten seconds
		now = now.Add(10 * time.Millisecond)
		if take("ada") == 0 {
			given++
		}
	}
	if given != 100 {
		t.Errorf("in 10 s of asking all the time %d tokens, want 100", given)
	}
	now = now.Add(time.Hour)
	for i := range 5 {
		if take("ada") != 0 {
			t.Errorf("after an hour the burst ends at %d, want 5", i)
		}
	}
	if take("ada") == 0 {
		t.Error("after an hour the burst is more than 5")
	}
}

func TestABucketThatBecomesFasterGivesSoon(t *testing.T) {
	var r Rates
	now := time.Unix(1_000_000, 0)
	for range 3 {
		r.Take("ada", 0.001, 2, now)
	}
	if wait := r.Take("ada", 1000, 2, now); wait != time.Millisecond {
		t.Errorf("at 1000 a second after 1 in 1000 s: wait %v, want 1 ms", wait)
	}
	if wait := r.Take("ada", 1000, 2, now.Add(time.Millisecond)); wait != 0 {
		t.Errorf("1 ms later: wait %v, want none", wait)
	}
}

func TestBucketsOfThePastAreForgotten(t *testing.T) {
	var r Rates
	now := time.Unix(1_000_000, 0)
	for i := range 100_000 {
		now = now.Add(time.Millisecond)
		r.Take(fmt.Sprint(i), 10, 5, now)
	}
	if n := r.Len(); n > 2*minSweep {
		t.Errorf("%d buckets are kept after 100000 callers that came once, want at most %d", n, 2*minSweep)
	}
}

func TestOpenIsCountedForEachAndInAll(t *testing.T) {
	var o Open
	for _, step := range []struct {
		name      string
		done      bool
		ok, inAll bool
	}{
		{"ada", false, true, false},
		{"ada", false, true, false},
		{"ada", false, false, false}, // 2 of each
		{"bob", false, true, false},
		{"eve", false, false, true}, // 3 in all
		{"ada", true, false, false},
		{"eve", false, true, false},
	} {
		if step.done {
			o.Done(step.name)
			continue
		}
		if ok, inAll := o.Add(step.name, 2, 3); ok != step.ok || inAll != step.inAll {
			t.Errorf("%+v: got %t, %t", step, ok, inAll)
		}
	}
	if o.Len() != 3 {
		t.Errorf("%d are open, want 3", o.Len())
	}
}
