package job

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// life goes through the life of a schedule.
type life struct {
	t   *testing.T
	s   api.Schedule
	now time.Time
	ops []kit.Op
}

func newLife(t *testing.T, missed api.MissedPolicy, overlap api.OverlapPolicy) *life {
	l := &life{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	l.s = api.Schedule{Meta: kit.Meta{Link: "schedules/ledger~nightly"}, Project: "ledger", Job: "nightly"}
	l.s.Spec = api.ScheduleSpec{Timed: []string{"0 3 * * *"}, Missed: missed, Overlap: overlap}
	l.event("created", nil)
	return l
}

// event applies an event and returns why it was refused.
func (l *life) event(name string, args any) string {
	l.t.Helper()
	data, err := json.Marshal(args)
	if err != nil {
		l.t.Fatal(err)
	}
	s, ops := nextSchedule(l.s, kit.Event{Name: name, By: "users/ada", Data: data}, l.now)
	if why := refusal(ops); why != "" {
		return why
	}
	l.s, l.ops = s, ops
	return ""
}

// tickAt lets the timer fire at a time: "03-02 03:00".
func (l *life) tickAt(at string) {
	l.t.Helper()
	now, err := time.Parse("2006-01-02 15:04", "2026-"+at)
	if err != nil {
		l.t.Fatal(err)
	}
	l.now = now
	l.event("tick", nil)
}

// ends lets the build for a time end.
func (l *life) ends(at string, state api.BuildState) {
	l.t.Helper()
	i := slices.IndexFunc(l.s.History, func(f api.Fire) bool { return f.Build != "" && f.Due.Format("01-02 15:04") == at })
	if i < 0 {
		l.t.Fatalf("there is no build for %s in %+v", at, l.s.History)
	}
	l.event("ended", api.Build{Meta: kit.Meta{Link: l.s.History[i].Build}, State: state})
}

// expect compares the history, and what was wished for by the last event other
// than the timer.
func (l *life) expect(wishes string, history ...string) {
	l.t.Helper()
	var got []string
	for _, f := range l.s.History {
		text := f.Due.Format("01-02 15:04 ") + f.State
		if f.Times > 0 {
			text += fmt.Sprintf(" %d", f.Times)
		}
		got = append(got, text)
	}
	if !slices.Equal(got, history) {
		l.t.Errorf("at %s the history is %q, want %q", l.now, got, history)
	}
	var wished []string
	for _, op := range l.ops {
		if op.Event != "tick" && op.Do != kit.OpCancel {
			wished = append(wished, strings.TrimPrefix(op.ID, "order ledger~nightly."))
		}
	}
	if got := strings.Join(wished, ", "); got != wishes {
		l.t.Errorf("at %s it wishes for %q, want %q", l.now, got, wishes)
	}
}

func TestATimeFiresOnce(t *testing.T) {
	l := newLife(t, "", "")
	l.tickAt("03-02 02:59")
	l.expect("")
	l.tickAt("03-02 03:00")
	l.expect("20260302T030000Z", "03-02 03:00 running")
	l.event("tick", nil) // by a leader that does not know yet
	l.expect("", "03-02 03:00 running")
	if want := l.now.AddDate(0, 0, 1); !l.s.Next.Equal(want) || len(l.ops) != 1 || !l.ops[0].At.Equal(want) {
		t.Errorf("the next time is %s, with %+v; want %s", l.s.Next, l.ops, want)
	}
	l.ends("03-02 03:00", api.BuildFailed)
	l.ends("03-02 03:00", api.BuildPassed) // it has ended already
	l.expect("", "03-02 03:00 failed")
}

func TestTimesThatWereMissed(t *testing.T) {
	const first, second, last = "20260302T030000Z", "20260303T030000Z", "20260304T030000Z"
	for _, test := range []struct {
		missed  api.MissedPolicy
		at      string
		wishes  string
		history []string
	}{
		{api.MissedSkip, "03-04 03:01", last, []string{"03-03 03:00 missed 2", "03-04 03:00 running"}},
		{api.MissedSkip, "03-04 03:02", "", []string{"03-04 03:00 missed 3"}},
		{"", "03-04 09:00", last, []string{"03-03 03:00 missed 2", "03-04 03:00 running"}},
		{api.MissedOne, "03-02 03:00", first, []string{"03-02 03:00 running"}},
		{api.MissedAll, "03-04 09:00", first + ", " + second + ", " + last, []string{"03-02 03:00 running", "03-03 03:00 running", "03-04 03:00 running"}},
	} {
		t.Run(string(test.missed)+" at "+test.at, func(t *testing.T) {
			l := newLife(t, test.missed, api.OverlapAllow)
			l.tickAt(test.at)
			l.expect(test.wishes, test.history...)
			if want := "03-05 03:00"; test.at != "03-02 03:00" && l.s.Next.Format("01-02 15:04") != want {
				t.Errorf("the next time is %s, want %s", l.s.Next, want)
			}
		})
	}
}

func TestALongAbsenceIsBounded(t *testing.T) {
	l := newLife(t, api.MissedAll, api.OverlapAllow)
	l.event("define", api.ScheduleSpec{Timed: []string{"* * * * *"}, Missed: api.MissedAll, Overlap: api.OverlapAllow})
	l.tickAt("09-01 00:00")
	if len(l.s.Running) != maxMissed || len(l.s.History) != maxHistory || !l.s.Next.Equal(l.now.Add(time.Minute)) {
		t.Errorf("after half a year %d builds are ordered, %d times remembered, next %s; want %d, %d and the next minute",
			len(l.s.Running), len(l.s.History), l.s.Next, maxMissed, maxHistory)
	}
}

func TestTheBuildBeforeStillRuns(t *testing.T) {
	const first, second = "20260302T030000Z", "20260303T030000Z"
	for _, test := range []struct {
		name    string
		missed  api.MissedPolicy
		overlap api.OverlapPolicy
		wishes  string
		history []string
	}{
		{"it is left out", "", "", "", []string{"03-02 03:00 running", "03-03 03:00 skipped"}},
		{"both run", "", api.OverlapAllow, second, []string{"03-02 03:00 running", "03-03 03:00 running"}},
		{"it takes the place", "", api.OverlapReplace, "send builds/ledger~nightly." + first + ":cancel, " + second, []string{"03-02 03:00 running", "03-03 03:00 running"}},
		{"it waits", api.MissedAll, api.OverlapForbid, "", []string{"03-02 03:00 running"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLife(t, test.missed, test.overlap)
			l.tickAt("03-02 03:00")
			l.tickAt("03-03 03:00")
			l.expect(test.wishes, test.history...)
			l.ends("03-02 03:00", api.BuildCancelled)
			if test.missed == api.MissedAll {
				l.expect(second, "03-02 03:00 cancelled", "03-03 03:00 running")
			}
		})
	}
}

func TestPauseAndRunByHand(t *testing.T) {
	l := newLife(t, api.MissedAll, "")
	l.event("pause", nil)
	if len(l.ops) != 1 || l.ops[0].Do != kit.OpCancel || l.s.By != "users/ada" || !l.s.Next.IsZero() {
		t.Errorf("the pause leaves %+v with %+v, want no timer", l.s, l.ops)
	}
	l.tickAt("03-02 03:00")
	l.event("define", api.ScheduleSpec{Timed: []string{"30 4 * * *"}})
	l.expect("")
	if why := l.event("run", nil); why != "" || l.s.History[0].By != "users/ada" {
		t.Errorf("it is not run while it is paused: %s, %+v", why, l.s.History)
	}
	if why := l.event("run", nil); !strings.Contains(why, "builds/ledger~nightly.20260302T030000Z still runs") {
		t.Errorf("it is run twice at once: %q", why)
	}
	l.ends("03-02 03:00", api.BuildPassed)
	if why := l.event("run", nil); !strings.Contains(why, "in this second already") {
		t.Errorf("it is run twice in a second: %q", why)
	}
	l.now = l.now.AddDate(0, 0, 5)
	l.event("resume", nil)
	if l.s.State != api.ScheduleActive || l.s.Next.Format("01-02 15:04") != "03-07 04:30" || len(l.s.History) != 1 {
		t.Errorf("after the pause it is %+v, want it to go on from now", l.s)
	}
}

func TestABrokenScheduleSaysWhy(t *testing.T) {
	l := newLife(t, "", "")
	l.event("define", api.ScheduleSpec{Timed: []string{"0 3 31 6 *"}})
	if l.s.State != api.ScheduleBroken || !strings.Contains(l.s.Error, "it never fires") {
		t.Errorf("the schedule is %s: %s, want it broken", l.s.State, l.s.Error)
	}
	l.tickAt("03-02 03:00")
	l.expect("")
	l.event("define", api.ScheduleSpec{Timed: []string{"0 3 * * *"}})
	if l.s.State != api.ScheduleActive || l.s.Error != "" {
		t.Errorf("the mended schedule is %s: %s, want it active", l.s.State, l.s.Error)
	}
}

func TestAScheduleBuildsItsJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		h.define("c1", "true", "nightly")
		h.move(t.Context(), "c1")
		h.generation(t.Context(), func(g api.Generation) bool { return g.State == api.GenerationDeployed })
		synctest.Wait()
		spec := api.ScheduleSpec{Timed: []string{"TZ=Europe/Berlin\n30 2 * * *"}}
		if _, err := api.Schedules.Create(t.Context(), h.admin, "ledger~nightly", api.Schedule{Project: "ledger", Job: "nightly", Spec: spec}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour) // it is midnight, UTC, in a bubble
		b := h.await("ledger~nightly.20000101T013000Z", queued)
		if b.Commit != "c1" || b.Author != "" || classOf(b) != api.ClassSchedule {
			t.Errorf("the build is %+v, want a scheduled one of the main branch's tip", b)
		}
		b = h.send(b, "lease", api.LeaseArgs{Runner: "r1"})
		h.send(b, "finish", api.FinishArgs{Attempt: 1, State: api.BuildFailed, Error: "step 1 exited with 1"})
		s, err := api.Schedules.Await(t.Context(), h.admin, "ledger~nightly", func(s api.Schedule) bool { return len(s.Running) == 0 })
		if err != nil || s.History[0].State != "failed" || s.History[0].Error != "step 1 exited with 1" {
			t.Errorf("the history is %+v, %v; want the build's end", s.History, err)
		}

		if _, err := api.Schedules.Send(t.Context(), h.cluster.Client("users/admin"), "ledger~nightly", "run", nil); err != nil {
			t.Fatal(err)
		}
		b = h.await("ledger~nightly.20000102T000000Z", queued)
		if b.Author != "users/admin" || classOf(b) != api.ClassHand {
			t.Errorf("the build by hand is %+v, want admin's", b)
		}
		h.send(b, "cancel", nil)

		h.define("c2", "true", "another")
		h.move(t.Context(), "c2")
		_, err = api.Schedules.Await(t.Context(), h.admin, "ledger~nightly", func(api.Schedule) bool { return false })
		if kit.FaultOf(err) != kit.ErrNotFound {
			t.Errorf("the schedule of a job that is gone: %v, want it gone", err)
		}
	})
}

func TestNobodyElseOrdersForASchedule(t *testing.T) {
	b := api.Build{Meta: kit.Meta{Link: "builds/x", Source: "schedules/ledger~nightly"}, Project: "ledger", Job: "nightly", Commit: "c1"}
	if _, ops := next(b, kit.Event{Name: "created", By: "users/ada"}, start); !strings.Contains(refusal(ops), "run the schedule instead") {
		t.Errorf("a person orders it: %q, want a refusal", refusal(ops))
	}
}
