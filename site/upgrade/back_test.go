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

// soaking returns a world whose upgrade is in soak, with blue close behind if
// there is a way back, and forgets the calls. Alter may change it before.
func soaking(t *testing.T, alter func(*world, *api.Upgrade)) (*world, *rig) {
	t.Helper()
	w, u := newWorld(t), wanted()
	if alter != nil {
		alter(w, &u)
	}
	r := start(t, w, nil)
	r.create(u)
	r.awaits("in soak with blue close behind", func(u api.Upgrade) bool {
		return u.State == api.UpgradeSoak && (u.Back == nil || u.Back.Cycles > 0)
	})
	w.mu.Lock()
	w.calls = nil
	w.mu.Unlock()
	return w, r
}

func TestRollbackLosesNothingThatWasWrittenOnGreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := soaking(t, nil)
		w.written["green"] += 42
		w.after = func(_ context.Context, call string) error {
			if call == "hold" {
				w.written["green"]++
			}
			return nil
		}
		if err := r.send("rollback", nil); err != nil {
			t.Fatal(err)
		}
		u := r.await(api.UpgradeRolledBack)
		w.serving("blue")
		want := "return green, hold, fence green 12, position green, final return green, verify back green, lift blue 12, open blue 12"
		if got := strings.Join(w.made(), ", "); got != want {
			t.Errorf("calls %s\nwant  %s", got, want)
		}
		if w.returned != 743 || u.Back.Final != "3.743" || u.Back.Documents != 43 || u.Back.Verified == nil {
			t.Errorf("blue has green's writes up to %d, back %+v; want all 43 up to 743, verified", w.returned, u.Back)
		}
		if p := u.Back.Pause.Std(); p <= 0 || p > 100*time.Millisecond || u.Back.Predicted <= 0 {
			t.Errorf("pause %v, predicted %v; want what the calls within the hold took", p, u.Back.Predicted.Std())
		}
		if !w.groups["green"] || !w.fences["green"].on || u.Error != "" {
			t.Errorf("green runs %t with fence %+v, error %q; want green kept and fenced", w.groups["green"], w.fences["green"], u.Error)
		}
	})
}

func TestBlueIsKeptCloseBehindInSoak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := soaking(t, nil)
		time.Sleep(time.Hour)
		quiet := w.count("return")
		if most := int(time.Hour/returnSeldom) + 10; quiet > most {
			t.Errorf("%d cycles back in an hour without writes, want at most %d", quiet, most)
		}
		for range 100 {
			w.mu.Lock()
			w.written["green"]++
			w.mu.Unlock()
			time.Sleep(time.Second)
		}
		u := r.awaits("all is back", func(u api.Upgrade) bool { return u.Back.Documents == 100 })
		if u.Back.Lag != 0 || u.State != api.UpgradeSoak {
			t.Errorf("back %+v in %s, want no lag", u.Back, u.State)
		}
		if n := w.count("return") - quiet; n < 30 {
			t.Errorf("%d cycles back in 100 s with writes, want more than 30", n)
		}
	})
}

func TestRollbackThatCannotLoseNothingStaysWithGreen(t *testing.T) {
	for _, test := range []struct {
		name string
		fate func(*world)
		held bool
		want string
	}{
		{"the sides differ", func(w *world) { w.differentBack = 3 }, true, "differ in 3 of 4096"},
		{"documents are left", func(w *world) {
			w.returns = func(final bool) Copied { return Copied{Left: map[bool]int64{true: 2}[final], Took: time.Millisecond} }
		}, true, "2 documents were left"},
		{"a document cannot be changed back", func(w *world) {
			w.returns = func(final bool) Copied { return Copied{Failed: []string{"accounts/7"}} }
		}, false, "accounts/7"},
		{"writes are faster than the way back", func(w *world) {
			w.returns = func(final bool) Copied { return Copied{Documents: 10_000, Left: 10_000, Took: time.Second} }
		}, false, "cannot be taken back fast enough"},
		{"blue hangs", func(w *world) {
			w.before = func(ctx context.Context, call string) error {
				if strings.HasPrefix(call, "final return") {
					<-ctx.Done()
					return context.Cause(ctx)
				}
				return nil
			}
		}, true, errOverrun.Error()},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, r := soaking(t, nil)
				test.fate(w)
				if err := r.send("rollback", nil); err != nil {
					t.Fatal(err)
				}
				u := r.await(api.UpgradeSoak)
				if !strings.Contains(u.Error, test.want) || !strings.HasPrefix(u.Error, notBack) {
					t.Errorf("error %q, want %q in it", u.Error, test.want)
				}
				if held := w.count("hold") > 0; held != test.held {
					t.Errorf("held %t, want %t", held, test.held)
				}
				w.serving("green")
				if !w.fences["blue"].on {
					t.Error("blue takes writes")
				}
			})
		})
	}
}

func TestWritersAreSlowedForAWayBackThatDoesNotConverge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := soaking(t, nil)
		w.returns = func(bool) Copied {
			if w.slowed > 0.35 {
				return Copied{Documents: 1000, Took: time.Millisecond}
			}
			return Copied{Documents: 10_000, Left: 10_000, Took: time.Second}
		}
		if err := r.send("rollback", nil); err != nil {
			t.Fatal(err)
		}
		u := r.await(api.UpgradeRolledBack)
		w.serving("blue")
		if u.Slowest != 0.4 || u.Slowed != 0 || w.slowed != 0 {
			t.Errorf("writers were slowed by %v and are by %v (%v), want 0.4 and nothing", u.Slowest, u.Slowed, w.slowed)
		}
	})
}

func TestOneWayUpgradesGoBackOnlyIfNothingOrAllIsLost(t *testing.T) {
	for name, alter := range map[string]func(*world, *api.Upgrade){
		"a transformation has no inverse": func(w *world, _ *api.Upgrade) { w.oneWay = []string{"accounts: Func has no inverse"} },
		"none was asked for":              func(_ *world, u *api.Upgrade) { u.WayBack = api.WayBackNone },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, r := soaking(t, alter)
				w.written["green"] += 42
				if err := r.send("rollback", nil); err != nil {
					t.Fatal(err)
				}
				u := r.await(api.UpgradeSoak)
				for _, part := range []string{"lose the changes to 42 of", u.OneWay[0], `{"loseWrites": true}`} {
					if !strings.Contains(u.Error, part) {
						t.Errorf("error %q, want %q in it", u.Error, part)
					}
				}
				if w.count("hold")+w.count("return") != 0 {
					t.Errorf("calls %q, want no hold and no way back", w.made())
				}
				w.serving("green")
				if err := r.send("rollback", api.RollbackArgs{LoseWrites: true}); err != nil {
					t.Fatal(err)
				}
				r.await(api.UpgradeRolledBack)
				w.serving("blue")
			})
		})
	}
}

func TestOneWayUpgradesWithoutWritesGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := soaking(t, func(w *world, _ *api.Upgrade) { w.oneWay = []string{"accounts: Func has no inverse"} })
		if err := r.send("rollback", nil); err != nil {
			t.Fatal(err)
		}
		r.await(api.UpgradeRolledBack)
		w.serving("blue")
		want := "changed green, hold, fence green 12, changed green, lift blue 12, open blue 12"
		if got := strings.Join(w.made(), ", "); got != want {
			t.Errorf("calls %s\nwant  %s", got, want)
		}
	})
}

func TestUpgradeThatNeedsAWayBackIsGivenUpBeforeItCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, u := newWorld(t), wanted()
		w.oneWay, u.WayBack = []string{"accounts: Func has no inverse"}, api.WayBackRequired
		r := start(t, w, nil)
		r.create(u)
		u = r.await(api.UpgradeAborted)
		if !strings.Contains(u.Error, "Func has no inverse") || w.count("cycle") != 0 {
			t.Errorf("error %q after %q, want the reason and no cycle", u.Error, w.made())
		}
		w.serving("blue")
	})
}

// deadGreen makes green refuse all calls until alive is closed.
func deadGreen(w *world, alive <-chan struct{}) {
	w.torn = true
	w.before = func(_ context.Context, call string) error {
		select {
		case <-alive:
			return nil
		default:
		}
		if strings.Contains(call, " green") && !strings.HasPrefix(call, "open") {
			return errors.New("connection refused")
		}
		return nil
	}
}

func TestRollbackFromAGreenThatDoesNotAnswerFencesItLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := soaking(t, nil)
		alive := make(chan struct{})
		deadGreen(w, alive)
		if err := r.send("rollback", nil); err != nil {
			t.Fatal(err)
		}
		if u := r.await(api.UpgradeSoak); !strings.Contains(u.Error, "loseWrites") {
			t.Errorf("error %q, want the way out", u.Error)
		}
		if err := r.send("rollback", api.RollbackArgs{LoseWrites: true}); err != nil {
			t.Fatal(err)
		}
		u, err := api.Upgrades.Await(t.Context(), r.Admin(), "1", func(u api.Upgrade) bool {
			return u.State == api.UpgradeRolledBack && len(u.Pending) == 1 && u.Pending[0].Do == "fence"
		})
		if err != nil {
			t.Fatalf("awaiting the rollback with green's fence pending: %v", err)
		}
		w.serving("blue")
		close(alive)
		r.await(api.UpgradeRolledBack)
		if f := w.fences["green"]; !f.on || f.epoch != u.Epoch {
			t.Errorf("green's fence %+v, want it on", f)
		}
	})
}

func TestGreenThatDiesBeforeTrafficGoesThereCanBeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		alive := make(chan struct{})
		r := start(t, w, func(c kit.Client) kit.Client {
			return &slowClient{Client: c, after: nth(5, func(context.Context) error { // committed
				deadGreen(w, alive)
				return nil
			})}
		})
		r.create(wanted())
		if _, err := api.Upgrades.Await(t.Context(), r.Admin(), "1", func(u api.Upgrade) bool { return u.State == api.UpgradeCommitted }); err != nil {
			t.Fatal(err)
		}
		if err := r.send("rollback", api.RollbackArgs{LoseWrites: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := api.Upgrades.Await(t.Context(), r.Admin(), "1", func(u api.Upgrade) bool { return u.State == api.UpgradeRolledBack }); err != nil {
			t.Fatal(err)
		}
		w.serving("blue")
		if err := r.send("retire", nil); err != nil {
			t.Fatal(err)
		}
		close(alive)
		r.await(api.UpgradeRetired)
		if w.groups["green"] {
			t.Error("green still runs")
		}
	})
}

func TestRollbackIsRefusedOnceALaterUpgradeExists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := soaking(t, nil)
		later := wanted()
		later.Epoch += Epochs
		later.Blue, later.Green = later.Green, api.Side{Group: "third", Image: "ledger@sha256:3"}
		if _, err := api.Upgrades.Create(t.Context(), r.Admin(), "2", later); err != nil {
			t.Fatal(err)
		}
		if _, err := api.Upgrades.Await(t.Context(), r.Admin(), "2", func(u api.Upgrade) bool { return u.State == api.UpgradeSoak }); err != nil {
			t.Fatal(err)
		}
		if err := r.send("rollback", api.RollbackArgs{LoseWrites: true}); err != nil {
			t.Fatal(err)
		}
		if u := r.await(api.UpgradeSoak); !strings.Contains(u.Error, "upgrades/2") {
			t.Errorf("error %q, want the later upgrade named", u.Error)
		}
		w.serving("third")
	})
}

func TestRollbackOfPlatformsWithoutDocumentsOnlyMovesTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.stateless["blue"], w.stateless["green"] = true, true
		r := start(t, w, nil)
		r.create(wanted())
		r.await(api.UpgradeSoak)
		if err := r.send("rollback", nil); err != nil {
			t.Fatal(err)
		}
		r.await(api.UpgradeRolledBack)
		w.serving("blue")
		if n := w.count("fence") + w.count("lift") + w.count("position"); n != 0 {
			t.Errorf("%d calls about documents, want none: %q", n, w.made())
		}
	})
}

func TestRollbackSurvivesACrashAtEachCall(t *testing.T) {
	const calls = 8 // of a rollback without trouble
	for n := 1; n <= calls; n++ {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("call %d, done %t", n, done), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w, r := soaking(t, nil)
					inside := make(chan struct{})
					hook := nth(n, hang(inside))
					if done {
						w.after = hook
					} else {
						w.before = hook
					}
					if err := r.send("rollback", nil); err != nil {
						t.Fatal(err)
					}
					<-inside
					r.stop()
					r.run()
					r.await(api.UpgradeRolledBack)
					w.serving("blue")
				})
			})
		}
	}
}

func TestRollbackSurvivesACrashAroundEachStateThatIsWritten(t *testing.T) {
	for n, event := range []string{"green is fenced", "blue is in charge", "traffic goes to blue"} {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, written %t", event, done), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w, inside := newWorld(t), make(chan struct{})
					var hook func(context.Context, string) error // nil before the rollback
					around := func(ctx context.Context, method string) error {
						if hook == nil {
							return nil
						}
						return hook(ctx, method)
					}
					r := start(t, w, func(c kit.Client) kit.Client {
						if done {
							return &slowClient{Client: c, after: around}
						}
						return &slowClient{Client: c, before: around}
					})
					r.create(wanted())
					r.awaits("in soak", func(u api.Upgrade) bool { return u.Back != nil && u.Back.Cycles > 0 })
					w.written["green"] += 42
					hook = nth(n+1, hang(inside))
					if err := r.send("rollback", nil); err != nil {
						t.Fatal(err)
					}
					<-inside
					r.stop()
					r.run()
					u := r.await(api.UpgradeRolledBack)
					w.serving("blue")
					if w.returned != 742 || u.Back.Verified == nil || u.Back.Pause <= 0 {
						t.Errorf("blue has green's writes up to %d, back %+v; want all", w.returned, u.Back)
					}
				})
			})
		}
	}
}

func TestRetireDeletesTheSideThatTrafficHasLeft(t *testing.T) {
	for _, back := range []bool{false, true} {
		t.Run(fmt.Sprintf("after a rollback %t", back), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, r := soaking(t, nil)
				stays, goes := "green", "blue"
				if back {
					stays, goes = goes, stays
					if err := r.send("rollback", nil); err != nil {
						t.Fatal(err)
					}
					r.await(api.UpgradeRolledBack)
				}
				if err := r.send("retire", nil); err != nil {
					t.Fatal(err)
				}
				r.await(api.UpgradeRetired)
				w.serving(stays)
				if w.groups[goes] {
					t.Errorf("%s still runs", goes)
				}
				if err := r.send("rollback", nil); !errors.Is(err, kit.ErrConflict) {
					t.Errorf("rollback after retiring: %v, want a conflict", err)
				}
			})
		})
	}
}
