package doors

import (
	"testing"
	"time"

	"landfall.dev/site/front"
)

func TestWhatAllDoorsDidIsAddedUp(t *testing.T) {
	inStreet(t, func(s *street) {
		reports := func(requests, failed uint64, latencies map[int]uint64) {
			t.Helper()
			r := front.Report{Order: "another", State: front.State{Requests: requests, Failed: failed, InFlight: 2, WriteRate: 50}}
			for bucket, n := range latencies {
				r.Latencies[bucket] = n
			}
			if _, err := s.doors.answer(t.Context(), "east", r); err != nil {
				t.Fatal(err)
			}
		}
		reports(1000, 7, map[int]uint64{3: 1000}) // before this agent was started
		s.doors.note()
		time.Sleep(lately)
		reports(1100, 12, map[int]uint64{3: 1090, 100: 10})
		before, since := s.doors.Lately()
		if before.Requests != 100 || before.P99 < time.Millisecond || before.Span != lately || before.Inside != 2 || before.Writes != 50 {
			t.Errorf("before %+v", before)
		}
		reports(30, 1, map[int]uint64{100: 30}) // it was started anew
		reports(40, 1, map[int]uint64{3: 10, 100: 30})
		time.Sleep(time.Second)
		if w := since(); w.Requests != 10 || w.P99 > time.Millisecond || w.Span != time.Second {
			t.Errorf("since then %+v", w)
		}
		if total := s.doors.Total(); total.Requests != 110 || total.Failed != 5 {
			t.Errorf("in all %d requests, %d failed; want 110 and 5", total.Requests, total.Failed)
		}
		for range 20 {
			s.doors.note()
			time.Sleep(noteEvery)
		}
		if before, _ := s.doors.Lately(); before.Requests != 0 || before.Span > lately+noteEvery {
			t.Errorf("later %+v", before)
		}
		time.Sleep(forgetAfter)
		if before, _ := s.doors.Lately(); before.Inside != 0 || before.Writes != 0 {
			t.Errorf("with a door that is silent %+v", before)
		}
	})
}

func TestDoorsThatAreWatchedReportOften(t *testing.T) {
	inStreet(t, func(s *street) {
		s.house("east")
		silent := func() time.Duration {
			s.doors.mu.Lock()
			defer s.doors.mu.Unlock()
			return time.Since(s.doors.known["east"].seen)
		}
		time.Sleep(calmBeat - time.Second)
		if d := silent(); d < 2*time.Second {
			t.Errorf("not watched it has reported %v ago", d)
		}
		_, since := s.doors.Lately()
		for range 20 {
			time.Sleep(time.Second)
			if d := silent(); d > leaseBeat {
				t.Errorf("watched it was silent for %v", d)
			}
			since()
		}
		time.Sleep(watchFor + calmBeat - time.Second)
		if d := silent(); d < 2*time.Second {
			t.Errorf("not watched any more it has reported %v ago", d)
		}
		if err := s.hold(); err != nil {
			t.Errorf("hold: %v", err)
		}
	})
}
