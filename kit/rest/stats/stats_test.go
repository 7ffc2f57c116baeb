package stats

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// asked names requests as they are asked for.
func asked(kind, verb string) (string, string) { return kind, verb }

func TestRatesAreOfTheLastMinutes(t *testing.T) {
	r := New(asked)
	now := time.Hour
	for range 60 { // ten a second for a minute
		for range 10 {
			r.observe(key{"notes", "read"}, 200, time.Millisecond, now)
		}
		now += time.Second
	}
	rates := func() (float64, float64) {
		v := r.kind("notes", now)
		return v[0].Rate1m, v[0].Rate5m
	}
	if one, five := rates(); one != 10 || five != 2 {
		t.Errorf("after a minute of 10/s: %v and %v, want 10 and 2", one, five)
	}
	now += 2 * time.Minute
	if one, five := rates(); one != 0 || five != 2 {
		t.Errorf("two minutes later: %v and %v, want 0 and 2", one, five)
	}
	now += time.Hour
	if one, five := rates(); one != 0 || five != 0 {
		t.Errorf("an hour later: %v and %v, want 0 and 0", one, five)
	}
}

func TestTimesHaveAHistogram(t *testing.T) {
	r := New(asked)
	now := time.Hour
	for i := range 100 {
		took := 80 * time.Microsecond
		if i >= 95 {
			took = 30 * time.Millisecond
		}
		r.observe(key{"notes", "create"}, 201, took, now)
	}
	r.observe(key{"notes", "create"}, 409, time.Minute, now)
	r.observe(key{"notes", "watch"}, 200, -1, now)
	verbs := r.kind("notes", now)
	if len(verbs) != 2 || verbs[0].Verb != "create" || verbs[0].Count != 101 || verbs[0].Codes["409"] != 1 {
		t.Fatalf("got %+v, want 101 creates, one refused, and a watch", verbs)
	}
	s := verbs[0].Seconds
	if s.P50 != 100e-6 || s.P90 != 100e-6 || s.P99 < 0.03 || s.P99 > 0.06 || s.Max != 60 {
		t.Errorf("got %+v, want a median of 100 µs, 30 to 60 ms at 99 %% and a maximum of 60 s", s)
	}
	if last := s.Buckets[len(s.Buckets)-1]; last.Count != 101 || last.Within != 60 {
		t.Errorf("the last bucket is %+v, want all within 60 s", last)
	}
	if verbs[1].Seconds != nil {
		t.Errorf("a watch has times: %+v", verbs[1].Seconds)
	}
}

func TestTimesAreInTheBucketThatEndsAtOrAboveThem(t *testing.T) {
	for i := range bounded {
		for took, want := range map[time.Duration]int{bound(i) - 1: i, bound(i): i, bound(i) + 1: i + 1} {
			if got := bucket(took); got != want {
				t.Errorf("%v is in bucket %d, want %d", took, got, want)
			}
		}
	}
	if got := bucket(0); got != 0 {
		t.Errorf("no time at all is in bucket %d, want the first", got)
	}
	if got := bucket(24 * time.Hour); got != bounded {
		t.Errorf("a day is in bucket %d, want %d, which has no end", got, bounded)
	}
}

func TestRequestsAreTimedByTheirClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(asked)
		began := r.Now()
		time.Sleep(3 * time.Second)
		r.Ended("notes", "read", 200, began)
		r.Ended("notes", "watch", 200, began)
		time.Sleep(slot)
		verbs := r.Kind("notes")
		if s := verbs[0].Seconds; s == nil || s.Max != 3 || verbs[0].Rate1m != 1./60 {
			t.Errorf("got %+v that took %+v, want one a minute that took 3 s", verbs[0], s)
		}
		if verbs[1].Count != 1 || verbs[1].Seconds != nil {
			t.Errorf("got %+v, want a watch without a time", verbs[1])
		}
	})
}

func TestThoseThatAreOftenAreAllCountedAndSomeAreTimed(t *testing.T) {
	const n = 100 * oneIn
	r := New(asked)
	for range n {
		r.Ended("notes", "read", 200, r.Begin(true))
		r.Ended("notes", "list", 200, r.Begin(false))
	}
	verbs := r.Kind("notes")
	list, read := verbs[0], verbs[1]
	if list.Count != n || list.Seconds.timed() != n {
		t.Errorf("of %d lists %d were counted and %d timed, want all", n, list.Count, list.Seconds.timed())
	}
	if timed := read.Seconds.timed(); read.Count != n || timed == 0 || timed > n/2 {
		t.Errorf("of %d reads %d were counted and %d timed, want all, and about %d", n, read.Count, timed, n/oneIn)
	}
}

// timed returns how many have a time.
func (s *Seconds) timed() uint64 {
	if s == nil {
		return 0
	}
	return s.Buckets[len(s.Buckets)-1].Count
}

// TestNoneIsLostAmongMany counts by many goroutines while others ask.
func TestNoneIsLostAmongMany(t *testing.T) {
	const goroutines, each = 8, 1000
	r := New(asked)
	var g sync.WaitGroup
	for range goroutines {
		g.Go(func() {
			for i := range each {
				r.observe(key{"notes", "read"}, 200+i%2, time.Duration(i)*time.Microsecond, time.Duration(i)*time.Second)
				if i%100 == 0 {
					r.kind("notes", time.Duration(i)*time.Second)
				}
			}
		})
	}
	g.Wait()
	v := r.kind("notes", each*time.Second)[0]
	if v.Count != goroutines*each || v.Codes["200"] != v.Count/2 || v.Codes["201"] != v.Count/2 {
		t.Errorf("got %d, by status %v, want %d, half of each", v.Count, v.Codes, goroutines*each)
	}
	if s := v.Seconds; s.Buckets[len(s.Buckets)-1].Count != v.Count || s.Max != (each-1)*1e-6 {
		t.Errorf("got %+v, want the times of all, up to 999 µs", s)
	}
}

func TestShardsAreSummed(t *testing.T) {
	a, b := &series{}, &series{}
	for second := range 60 {
		a.observe(200, time.Millisecond, time.Duration(second)*time.Second)
	}
	for second := range 400 { // more than there are slots for
		b.observe(200, 2*time.Millisecond, time.Duration(second)*time.Second)
	}
	sums := map[string]*series{"the later one last": {}, "the later one first": {}}
	sums["the later one last"].add(a, 400*time.Second)
	sums["the later one last"].add(b, 400*time.Second)
	sums["the later one first"].add(b, 400*time.Second)
	sums["the later one first"].add(a, 400*time.Second)
	for name, s := range sums {
		if got := s.rate(time.Minute); got != 1 {
			t.Errorf("%s: %v a second in the last minute, want 1", name, got)
		}
		if s.timed != 460 || s.longest != 2*time.Millisecond || s.total != 860*time.Millisecond {
			t.Errorf("%s: %d took %v, at most %v, want 460, 860 ms, 2 ms", name, s.timed, s.total, s.longest)
		}
	}
}

func TestWhatIsMadeUpIsCountedTogether(t *testing.T) {
	r := New(func(kind, verb string) (string, string) {
		if kind != "notes" {
			return "unknown", "unknown"
		}
		return kind, verb
	})
	for _, kind := range []string{"notes", "nots", "knots", "notes"} {
		r.observe(key{kind, "read"}, 200, 0, 0)
	}
	for kind, want := range map[string]uint64{"notes": 2, "unknown": 2} {
		if v := r.kind(kind, 0); len(v) != 1 || v[0].Count != want {
			t.Errorf("%s: got %+v, want %d requests of one verb", kind, v, want)
		}
	}
	if v := r.kind("nots", 0); len(v) != 0 {
		t.Errorf("what is made up is a series: %+v", v)
	}
}

func TestPrometheusGetsValidHistograms(t *testing.T) {
	r := New(asked)
	r.observe(key{"notes", "read"}, 200, time.Millisecond, 0)
	r.observe(key{"notes", "watch"}, 200, -1, 0)
	registry := prometheus.NewPedanticRegistry()
	r.observe(key{"tokens", "read"}, 200, time.Millisecond, 0)
	registry.MustRegister(r.Of(func(kind string) bool { return kind == "notes" }))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range families {
		all.WriteString(f.String())
	}
	for _, want := range []string{"landfall_requests_total", "landfall_request_seconds", "cumulative_count:1"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("%q is not in %s", want, &all)
		}
	}
	if strings.Contains(all.String(), "tokens") {
		t.Errorf("a kind that is not shown is in %s", &all)
	}
}
