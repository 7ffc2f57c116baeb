package steady

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

func TestAPauseIsWhatTheRequestsTookThatWereHeld(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	const ms = time.Millisecond
	l := &Load{made: []made{
		{at(0), 0, 300 * ms},        // long over
		{at(600), 0, 300 * ms},      // over before
		{at(990), 0, 40 * ms},       // in the middle of it when the hold began
		{at(1010), 5 * ms, 80 * ms}, // held
		{at(1050), 0, 45 * ms},      // held
		{at(1101), 0, 99 * ms},      // sent after the release
		{at(1400), 0, 50 * ms},
	}}
	for _, c := range []struct {
		what     string
		from, to int
		want     Seen
	}{
		{"the hold", 1000, 1100, Seen{80 * ms, 85 * ms, 0, 0, 400 * ms}}, // answers: 900 1030 1090 1095 1200 1450
		{"a moment of it", 1020, 1021, Seen{80 * ms, 85 * ms, 10 * ms, 69 * ms, 380 * ms}},
		{"all", 0, 2000, Seen{300 * ms, 300 * ms, 0, 0, 1050 * ms}},
		{"a time when nothing was sent", 3000, 3100, Seen{Gap: 1100 * ms}},
	} {
		if got := l.During(at(c.from), at(c.to)); got != c.want {
			t.Errorf("%s: got %v, want %v", c.what, got, c.want)
		}
	}
}

func TestTheRateIsKeptThroughAPauseOfTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		paused := time.Now().Add(2 * time.Second)
		l := Start(t.Context(), Plan{PerSecond: 100, Connections: 4}, func(context.Context, *rand.Rand) error {
			time.Sleep(time.Millisecond)
			if now := time.Now(); now.After(paused) && now.Before(paused.Add(time.Second)) {
				time.Sleep(time.Until(paused.Add(time.Second)))
			}
			return nil
		})
		time.Sleep(10*time.Second - time.Millisecond)
		l.Stop()
		answered, failed, _ := l.Outcome()
		if answered != 1000 || failed != 0 {
			t.Errorf("100 a second for 10 s: %d were answered and %d failed", answered, failed)
		}
		s := l.During(paused, paused.Add(time.Second))
		if s.Longest < 900*time.Millisecond || s.Longest > time.Second || s.Due < s.Longest || s.Gap < 900*time.Millisecond {
			t.Errorf("a pause of a second: %+v", s)
		}
		if took, late := l.Times(); len(took) != 1000 || took[0] != time.Millisecond || late[len(late)-1] < 500*time.Millisecond {
			t.Errorf("%d requests took from %v; the latest was sent %v late", len(took), took[0], late[len(late)-1])
		}
	})
}

func TestFailuresAreCountedAndTheFirstIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		l := Start(t.Context(), Plan{PerSecond: 10, Connections: 1}, func(context.Context, *rand.Rand) error {
			if n++; n%2 == 0 {
				return errors.New("not now")
			}
			return nil
		})
		time.Sleep(time.Second - time.Millisecond)
		l.Stop()
		if answered, failed, failure := l.Outcome(); answered != 5 || failed != 5 || failure != "not now" {
			t.Errorf("every other of 10 fails: %d were answered, %d failed, by %q", answered, failed, failure)
		}
	})
}
