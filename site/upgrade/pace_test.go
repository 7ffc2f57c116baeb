package upgrade

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

func TestWritersAreSlowedStepByStepUntilTheCopyConverges(t *testing.T) {
	for _, test := range []struct {
		name    string
		slow    float64 // the policy's
		enough  float64 // from which share on the copy converges
		end     api.UpgradeState
		slowest float64
	}{
		{"half of the rate is enough", 0, 0.45, api.UpgradeSoak, 0.5},
		{"a fifth is enough", 0, 0.2, api.UpgradeSoak, 0.2},
		{"nothing is enough", 0, 0.99, api.UpgradeAborted, 0.5},
		{"more than the policy allows would be", 0.25, 0.4, api.UpgradeAborted, 0.25},
		{"more is allowed", 0.8, 0.7, api.UpgradeSoak, 0.7},
		{"writers must not be slowed", -1, 0.2, api.UpgradeAborted, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, u := newWorld(t), wanted()
				u.Slow = test.slow
				w.cycles = func(bool) Copied {
					if w.slowed >= test.enough-1e-9 {
						return Copied{Documents: 1000, Took: 10 * time.Millisecond}
					}
					return Copied{Documents: 50_000, Left: 40_000, Took: time.Second}
				}
				r := start(t, w, nil)
				r.create(u)
				u = r.await(test.end)
				if u.Slowest != test.slowest || u.Slowed != 0 || w.slowed != 0 {
					t.Errorf("writers were slowed by %v and are by %v (%v), want %v and nothing", u.Slowest, u.Slowed, w.slowed, test.slowest)
				}
				if test.end == api.UpgradeAborted && test.slowest > 0 && !strings.Contains(u.Error, fmt.Sprintf("slowed by %.0f %%", 100*test.slowest)) {
					t.Errorf("error %q, want the share in it", u.Error)
				}
				if w.count("hold") > 0 != (test.end == api.UpgradeSoak) {
					t.Errorf("held %d times", w.count("hold"))
				}
			})
		})
	}
}

func TestAGateThatCannotSlowWritersIsNoReasonToStopCopying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := 0
		w.cycles = func(bool) Copied {
			if n++; n > 3 {
				return Copied{Documents: 1000, Took: 10 * time.Millisecond}
			}
			return Copied{Documents: 50_000, Left: 40_000, Took: time.Second}
		}
		w.before = func(_ context.Context, call string) error {
			if strings.HasPrefix(call, "slow 0") {
				return errors.New("a front door does not answer")
			}
			return nil
		}
		r := start(t, w, nil)
		r.create(wanted())
		r.await(api.UpgradeSoak)
		w.serving("green")
	})
}

func TestManualHoldWaitsForGo(t *testing.T) {
	for _, stateless := range []bool{false, true} {
		t.Run(fmt.Sprintf("without documents %t", stateless), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, u := newWorld(t), wanted()
				w.stateless["blue"], w.stateless["green"] = stateless, stateless
				u.Hold = api.HoldManual
				r := start(t, w, nil)
				r.create(u)
				r.await(api.UpgradeReady)
				time.Sleep(time.Hour)
				u = r.await(api.UpgradeReady)
				if n := w.count("cycle"); w.count("hold") != 0 || !stateless && n < 300 {
					t.Errorf("held %d times after %d cycles, want no hold and blue followed", w.count("hold"), n)
				}
				if err := r.send("go", nil); err != nil {
					t.Fatal(err)
				}
				u = r.await(api.UpgradeSoak)
				w.serving("green")
				if !strings.Contains(fmt.Sprint(u.History), "go, said by users/admin") {
					t.Errorf("history %v, want who said go", u.History)
				}
			})
		})
	}
}

func TestLagThatGrowsWhileReadyWaitsIsCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, u := newWorld(t), wanted()
		u.Hold = api.HoldManual
		burst := false
		w.cycles = func(bool) Copied {
			if burst {
				burst = false
				return Copied{Documents: 1000, Left: 1_000_000, Took: 10 * time.Millisecond}
			}
			return Copied{Documents: 1000, Took: 10 * time.Millisecond}
		}
		r := start(t, w, nil)
		r.create(u)
		r.await(api.UpgradeReady)
		w.mu.Lock()
		burst = true
		w.mu.Unlock()
		r.awaits("copying again", func(u api.Upgrade) bool { return strings.HasSuffix(states(u), "ready copying") })
		if u = r.await(api.UpgradeReady); w.count("hold") != 0 {
			t.Errorf("held, states %s", states(u))
		}
	})
}

func TestPauseAtEachCallHoldsNothingUntilResumed(t *testing.T) {
	for n := 1; n <= callsOfOne-3; n++ { // the next is the commit
		t.Run(fmt.Sprintf("during call %d", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var r *rig
				w.before = nth(n, func(context.Context) error {
					if err := r.send("pause", nil); err != nil {
						t.Errorf("pause: %v", err)
					}
					return nil
				})
				r = start(t, w, nil)
				r.create(wanted())
				u := r.awaits("ready and paused", func(u api.Upgrade) bool { return u.Paused && u.State == api.UpgradeReady })
				holds, cycles := w.count("hold"), w.count("cycle")
				time.Sleep(10 * time.Minute)
				u = r.await(api.UpgradeReady)
				w.serving("blue")
				if w.count("hold") != holds || w.count("cycle") < cycles+50 {
					t.Errorf("%d holds, %d cycles in the pause; states %s", w.count("hold")-holds, w.count("cycle")-cycles, states(u))
				}
				if err := r.send("resume", nil); err != nil {
					t.Fatal(err)
				}
				u = r.await(api.UpgradeSoak)
				w.serving("green")
				if u.Paused {
					t.Error("it is still paused")
				}
			})
		})
	}
}

func TestPausedUpgradeCanBeAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, u := newWorld(t), wanted()
		u.Paused = true
		r := start(t, w, nil)
		r.create(u)
		r.await(api.UpgradeReady)
		if err := r.send("abort", nil); err != nil {
			t.Fatal(err)
		}
		r.await(api.UpgradeAborted)
		w.serving("blue")
	})
}

func TestPauseAndResumeAreRefusedAfterTheCommit(t *testing.T) {
	all := inState(t)
	for _, s := range []api.UpgradeState{"committed", "soak", "rolling-back", "rolled-back", "retired", "aborting", "aborted"} {
		for _, name := range []string{"pause", "resume", "go"} {
			_, ops := next(all[s], event(t, name, nil), clock)
			if err := refused(ops); !errors.Is(err, kit.ErrConflict) || !strings.Contains(err.Error(), string(s)) {
				t.Errorf("%s while %s: %v, want a conflict that names the state", name, s, err)
			}
		}
	}
}

func TestPauseInTheLastAttemptIsRefused(t *testing.T) {
	all := inState(t)
	fenced, holding := all[api.UpgradeFenced], all[api.UpgradeHolding]
	for fenced.Attempts < maxAttempts {
		fenced.Attempts++
		fenced = enter(enter(fenced, api.UpgradeHolding, clock, ""), api.UpgradeFenced, clock, "")
	}
	holding.Attempts = maxHolds
	for _, u := range []api.Upgrade{fenced, holding} {
		_, ops := next(u, event(t, "pause", nil), clock)
		if err := refused(ops); !errors.Is(err, kit.ErrConflict) || !strings.Contains(err.Error(), "abort") {
			t.Errorf("pause while %s: %v, want a conflict that names the way out", u.State, err)
		}
	}
}
