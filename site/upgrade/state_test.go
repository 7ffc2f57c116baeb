package upgrade

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

var clock = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// after returns a time after all that u has seen.
func after(u api.Upgrade) time.Time {
	return clock.Add(time.Duration(len(u.History)+len(u.Cycles)) * time.Minute)
}

// event returns the event name with data.
func event(t *testing.T, name string, data any) kit.Event {
	t.Helper()
	b, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return kit.Event{Name: name, By: "users/ada", Data: b}
}

// refused returns why ops refuse an event.
func refused(ops []kit.Op) error {
	for _, op := range ops {
		if op.Do == kit.OpRefuse {
			return kit.Errorf(op.Fault, "", "%s", op.Data)
		}
	}
	return nil
}

// feed takes u through an event, or fails the test if it is refused.
func feed(t *testing.T, u api.Upgrade, name string, data any) (api.Upgrade, []kit.Op) {
	t.Helper()
	u, ops := next(u, event(t, name, data), after(u))
	if err := refused(ops); err != nil {
		t.Fatalf("%s of an upgrade that is %s: %v", name, u.State, err)
	}
	return u, ops
}

// quick is a cycle after which a hold would be short.
func quick() copied {
	return copied{Cycle: api.Cycle{Documents: 1000, Seconds: 0.01}}
}

// inState returns an upgrade as it is in each state of a life.
func inState(t *testing.T) map[api.UpgradeState]api.Upgrade {
	t.Helper()
	all := map[api.UpgradeState]api.Upgrade{}
	u, _ := feed(t, wanted(), "created", nil)
	move := func(name string, data any) {
		all[u.State] = u
		u, _ = feed(t, u, name, data)
	}
	reach := func(s step) {
		s.Epoch = u.Epoch
		move(reachedEvent, s)
	}
	c := quick()
	move("provision.done", provisionResult{Green: u.Green})
	move("cycle.done", c)
	move("cycle.done", c)
	reach(step{State: api.UpgradeHolding, Cycle: &c})
	reach(step{State: api.UpgradeFenced, Final: "1.2"})
	reach(step{State: api.UpgradeFinal, Cycle: &c})
	reach(step{State: api.UpgradeVerified, Verified: &api.Verification{}})
	reach(step{State: api.UpgradeCommitted, Base: "1.3"})
	reach(step{State: api.UpgradeReleased})
	soak := u
	move("retire", nil)
	all[u.State] = u
	u = soak
	move("rollback", nil)
	reach(step{State: api.UpgradeBack, Final: "1.9"})
	reach(step{State: api.UpgradeReopening, Cycle: &c, Verified: &api.Verification{}})
	move(reopenedEvent, reopenedArgs{Epoch: u.Epoch})
	all[u.State] = u
	u = all[api.UpgradeVerified]
	reach(step{State: api.UpgradeReopening})
	all[u.State] = u // that of an attempt, not of a rollback
	u = all[api.UpgradeCopying]
	move("abort", nil)
	move("abort.done", nil)
	all[u.State] = u
	return all
}

// The short names of the table: what becomes of an upgrade after an event.
const (
	same = ""  // nothing
	no   = "!" // it is refused
)

func TestEachStateAndEvent(t *testing.T) {
	columns := []api.UpgradeState{
		"provision", "copying", "ready", "holding", "fenced", "final", "verified", "reopening",
		"committed", "soak", "rolling-back", "rolled-back", "retired", "aborting", "aborted",
	}
	all := inState(t)
	bad := map[string]string{"error": "the disk is full"}
	c := quick()
	left := quick()
	left.Left = 1
	reach := func(s step) func(api.Upgrade) (string, any) {
		return func(u api.Upgrade) (string, any) {
			s.Epoch = u.Epoch
			return reachedEvent, s
		}
	}
	send := func(name string, data any) func(api.Upgrade) (string, any) {
		return func(api.Upgrade) (string, any) { return name, data }
	}
	for _, row := range []struct {
		name  string
		event func(api.Upgrade) (string, any)
		want  [15]string // by column
	}{
		{"green is started", send("provision.done", provisionResult{}), [15]string{"copying"}},
		{"green cannot be started", send("provision.failed", bad), [15]string{"aborting"}},
		{"a cycle is done", send("cycle.done", c), [15]string{1: "ready"}},
		{"a cycle has failed", send("cycle.failed", bad), [15]string{1: "aborting"}},
		{"the cutover cannot begin", send("cutover.failed", bad), [15]string{2: "aborting"}},
		{"traffic is to be held", reach(step{State: api.UpgradeHolding, Cycle: &c}),
			[15]string{no, no, "holding", no, no, no, no, no, no, no, no, no, no, no, no}},
		{"blue is fenced", reach(step{State: api.UpgradeFenced}),
			[15]string{no, no, no, "fenced", no, no, no, no, no, no, no, no, no, no, no}},
		{"the last cycle is done", reach(step{State: api.UpgradeFinal, Cycle: &c}),
			[15]string{no, no, no, no, "final", no, no, no, no, no, no, no, no, no, no}},
		{"documents are left after the last cycle", reach(step{State: api.UpgradeFinal, Cycle: &left}),
			[15]string{no, no, no, no, "reopening", no, no, no, no, no, no, no, no, no, no}},
		{"the sides agree", reach(step{State: api.UpgradeVerified, Verified: &api.Verification{}}),
			[15]string{no, no, no, no, no, "verified", no, no, no, no, no, no, no, no, no}},
		{"the sides differ", reach(step{State: api.UpgradeVerified, Verified: &api.Verification{Different: 1}}),
			[15]string{no, no, no, no, no, "reopening", no, no, no, no, no, no, no, no, no}},
		{"green is to be in charge", reach(step{State: api.UpgradeCommitted}),
			[15]string{no, no, no, no, no, no, "committed", no, no, no, "committed", no, no, no, no}},
		{"blue is to be in charge", reach(step{State: api.UpgradeReopening, Cycle: &c, Verified: &api.Verification{}}),
			[15]string{no, no, no, "reopening", "reopening", "reopening", "reopening", no, no, no, "reopening", no, no, no, no}},
		{"traffic goes to green", reach(step{State: api.UpgradeReleased}),
			[15]string{no, no, no, no, no, no, no, no, "soak", no, no, no, no, no, no}},
		{"traffic goes to blue", func(u api.Upgrade) (string, any) { return reopenedEvent, reopenedArgs{Epoch: u.Epoch} },
			[15]string{no, no, no, no, no, no, no, "copying", no, no, no, no, no, no, no}},
		{"abort", send("abort", nil), [15]string{
			"aborting", "aborting", "aborting", "aborting", "aborting", "aborting", "aborting", "aborting",
			no, no, no, no, no, same, same,
		}},
		{"green is gone", send("abort.done", nil), [15]string{13: "aborted"}},
		{"green cannot be deleted", send("abort.failed", bad), [15]string{13: "aborted"}},
		{"rollback", send("rollback", nil),
			[15]string{no, no, no, no, no, no, no, no, "rolling-back", "rolling-back", no, no, no, no, no}},
		{"a rollback may begin", func(u api.Upgrade) (string, any) { return "check.done", checkResult{Epoch: u.Epoch} }, [15]string{}},
		{"a rollback must not begin", func(u api.Upgrade) (string, any) {
			return "check.done", checkResult{Epoch: u.Epoch, Why: "writes would be lost"}
		}, [15]string{10: "soak"}},
		{"retire", send("retire", nil),
			[15]string{no, no, no, no, no, no, no, no, no, "retired", no, "retired", same, no, no}},
		{"a patch", send("updated", nil), [15]string{}},
	} {
		for i, s := range columns {
			u, ok := all[s]
			if !ok {
				t.Fatalf("there is no upgrade that is %s", s)
			}
			name, data := row.event(u)
			then, ops := next(u, event(t, name, data), after(u))
			got := string(then.State)
			switch {
			case refused(ops) != nil:
				got = no
			case then.State == s:
				got = same
			case then.History[len(then.History)-1].State != then.State:
				t.Errorf("%s while %s: %s is not in the history", row.name, s, then.State)
			}
			if got != row.want[i] {
				t.Errorf("%s while %s: became %q, want %q", row.name, s, got, row.want[i])
			}
		}
	}
}

func TestCreatedUpgradesAreChecked(t *testing.T) {
	for _, test := range []struct {
		name  string
		alter func(*api.Upgrade)
		want  string
	}{
		{"no environment", func(u *api.Upgrade) { u.Environment = "" }, "environment"},
		{"no green", func(u *api.Upgrade) { u.Green = api.Side{} }, "needs green"},
		{"one group", func(u *api.Upgrade) { u.Green.Group = "blue" }, "same group, blue"},
		{"a negative budget", func(u *api.Upgrade) { u.Budget = -1 }, "250ms"},
		{"no epoch", func(u *api.Upgrade) { u.Epoch = 0 }, "epoch from 1 on"},
		{"the version that runs", func(u *api.Upgrade) { u.Green.Image = u.Blue.Image }, "ledger@sha256:1 runs already"},
		{"a rehearsal against nothing", func(u *api.Upgrade) { u.Blue, u.Rehearse = api.Side{}, true }, "nothing to rehearse against"},
		{"an unknown way back", func(u *api.Upgrade) { u.WayBack = "maybe" }, "use asked, required or none"},
		{"an unknown hold", func(u *api.Upgrade) { u.Hold = "maybe" }, "use manual"},
		{"writers that would stop", func(u *api.Upgrade) { u.Slow = 1 }, "less than 1"},
		{"a negative observation", func(u *api.Upgrade) { u.Soak = -1 }, "soak -1"},
		{"a check without a name", func(u *api.Upgrade) { u.Checks = []api.Check{{Query: "errors"}} }, "checks[0].name"},
		{"two checks of one name", func(u *api.Upgrade) {
			u.Checks = []api.Check{{Name: "a", Query: "errors"}, {Name: "a", Query: "p99"}}
		}, "checks[1].name"},
		{"an unknown value", func(u *api.Upgrade) { u.Checks = []api.Check{{Name: "a", Query: "up"}} }, "use errors, p99 or tests"},
		{"a server without a query", func(u *api.Upgrade) { u.Checks = []api.Check{{Name: "a", URL: "http://prometheus:9090"}} }, "needs a query in PromQL"},
	} {
		u := wanted()
		test.alter(&u)
		_, ops := next(u, event(t, "created", nil), clock)
		if err := refused(ops); !errors.Is(err, kit.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q in it", test.name, err, test.want)
		}
	}
	u := wanted()
	u.State, u.Attempts = api.UpgradeCommitted, 9
	u, _ = feed(t, u, "created", nil)
	if u.State != api.UpgradeProvision || u.Attempts != 0 || u.Budget != 0.25 {
		t.Errorf("created %s with %d attempts and a budget of %v, want a fresh one with 0.25", u.State, u.Attempts, u.Budget)
	}
}

func TestStepsOfAnotherEpochAreRefused(t *testing.T) {
	u := inState(t)[api.UpgradeVerified]
	_, ops := next(u, event(t, reachedEvent, step{State: api.UpgradeCommitted, Epoch: u.Epoch - 1}), clock)
	if err := refused(ops); !errors.Is(err, kit.ErrConflict) {
		t.Errorf("a commit of the epoch before: %v, want a conflict", err)
	}
	_, ops = next(inState(t)[api.UpgradeReopening], event(t, reopenedEvent, reopenedArgs{Epoch: 1}), clock)
	if err := refused(ops); !errors.Is(err, kit.ErrConflict) {
		t.Errorf("traffic of another epoch: %v, want a conflict", err)
	}
}

func TestSettledUpgradesHaveDoneWhatWasAskedOfThem(t *testing.T) {
	pending := func(s api.UpgradeState, do string, paused bool) api.Upgrade {
		u := api.Upgrade{State: s, Paused: paused}
		if do != "" {
			u.Pending = []kit.Op{{Do: do}}
		}
		return u
	}
	for _, test := range []struct {
		name string
		u    api.Upgrade
		want bool
	}{
		{"nothing is pending", pending(api.UpgradeAborted, "", false), true},
		{"blue is kept close behind in soak", pending(api.UpgradeSoak, api.UpgradeReturns, false), true},
		{"checks are looked at in soak", pending(api.UpgradeSoak, api.UpgradeLooks, false), true},
		{"a rollback takes back what is left", pending(api.UpgradeBack, api.UpgradeReturns, false), false},
		{"it copies", pending(api.UpgradeCopying, api.UpgradeCopies, false), false},
		{"it copies slowly while it is paused", pending(api.UpgradeReady, api.UpgradeCopies, true), true},
		{"a side is being deleted", pending(api.UpgradeRetired, "retire", false), false},
	} {
		if got := test.u.Settled(); got != test.want {
			t.Errorf("%s: settled %t, want %t", test.name, got, test.want)
		}
	}
}

func TestEpochsOfAnUpgradeAreBounded(t *testing.T) {
	u := inState(t)[api.UpgradeSoak]
	// The worst cutover: all attempts more that this one could have had.
	u.Epoch += 2 * (maxAttempts - 1 + maxHolds - 1)
	for {
		back, ops := next(u, event(t, "rollback", nil), clock)
		if refused(ops) != nil {
			break
		}
		back, _ = feed(t, back, reachedEvent, step{State: api.UpgradeCommitted, Epoch: back.Epoch})
		u, _ = feed(t, back, reachedEvent, step{State: api.UpgradeReleased, Epoch: back.Epoch})
	}
	if used := u.Epoch - wanted().Epoch; used >= Epochs {
		t.Errorf("%d epochs used, want fewer than %d", used, Epochs)
	}
}

func TestWhenCopyingIsReady(t *testing.T) {
	cycle := func(documents int64, seconds float64, left int64) api.Cycle {
		return api.Cycle{Documents: documents, Seconds: seconds, Left: left}
	}
	for _, test := range []struct {
		name   string
		cycles []api.Cycle
		want   bool
	}{
		{"one cycle is not enough", []api.Cycle{cycle(1_000_000, 2, 0)}, false},
		{"two, and nothing is left", []api.Cycle{cycle(1_000_000, 2, 100), cycle(100, 0.01, 0)}, true},
		{"a steady lag that fits", []api.Cycle{cycle(1_000_000, 2, 500), cycle(500, 0.01, 500)}, true},
		{"the lag grows", []api.Cycle{cycle(1_000_000, 2, 100), cycle(100, 0.01, 200)}, false},
		{"the lag does not fit", []api.Cycle{cycle(1_000_000, 10, 90_000), cycle(90_000, 1, 80_000)}, false},
		{"small cycles do not tell the rate", []api.Cycle{cycle(1_000_000, 2, 50), cycle(3, 0.1, 50)}, true},
		{"nor does an empty one", []api.Cycle{cycle(0, 0.1, 0), cycle(0, 0.1, 0)}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			u, _ := feed(t, wanted(), "created", nil)
			u, _ = feed(t, u, "provision.done", provisionResult{Green: u.Green})
			for _, c := range test.cycles {
				u = record(u, copied{Cycle: c}, after(u))
			}
			if got := ready(u); got != test.want {
				t.Errorf("ready %t, want %t; predicted %v", got, test.want, u.Cycles[len(u.Cycles)-1].Predicted.Std())
			}
		})
	}
}

func TestOnlyTheFirstAndLastCyclesAreKept(t *testing.T) {
	var u api.Upgrade
	for range 200 {
		u = record(u, quick(), clock)
	}
	var kept []string
	for _, c := range u.Cycles {
		kept = append(kept, fmt.Sprint(c.Number))
	}
	got := strings.Join(kept, " ")
	if len(u.Cycles) != keptFirst+keptLast || !strings.HasPrefix(got, "1 2 3 4 5 156 ") || !strings.HasSuffix(got, " 200") {
		t.Errorf("kept %s", got)
	}
}
