package stats

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestRatesAreOfTheLastMinutes(t *testing.T) {
	r := New()
	now := time.Unix(1_000_000, 0)
	for range 60 { // ten a second for a minute
		for range 10 {
			r.Observe("notes", "read", 200, time.Millisecond, now)
		}
		now = now.Add(time.Second)
	}
	rates := func() (float64, float64) {
		v := r.Kind("notes", now)
		return v[0].Rate1m, v[0].Rate5m
	}
	if one, five := rates(); one != 10 || five != 2 {
		t.Errorf("after a minute of 10/s: %v and %v, want 10 and 2", one, five)
	}
	now = now.Add(2 * time.Minute)
	if one, five := rates(); one != 0 || five != 2 {
		t.Errorf("two minutes later: %v and %v, want 0 and 2", one, five)
	}
	now = now.Add(time.Hour)
	if one, five := rates(); one != 0 || five != 0 {
		t.Errorf("an hour later: %v and %v, want 0 and 0", one, five)
	}
}

func TestTimesHaveAHistogram(t *testing.T) {
	r := New()
	now := time.Unix(1_000_000, 0)
	for i := range 100 {
		took := 80 * time.Microsecond
		if i >= 95 {
			took = 30 * time.Millisecond
		}
		r.Observe("notes", "create", 201, took, now)
	}
	r.Observe("notes", "create", 409, time.Minute, now)
	r.Observe("notes", "watch", 200, -1, now)
	verbs := r.Kind("notes", now)
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

func TestPrometheusGetsValidHistograms(t *testing.T) {
	r := New()
	r.Observe("notes", "read", 200, time.Millisecond, time.Now())
	r.Observe("notes", "watch", 200, -1, time.Now())
	registry := prometheus.NewPedanticRegistry()
	r.Observe("tokens", "read", 200, time.Millisecond, time.Now())
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
