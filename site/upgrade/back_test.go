package upgrade

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// soaking returns a world whose upgrade is in soak, and forgets the calls.
func soaking(t *testing.T) (*world, *rig) {
	t.Helper()
	w := newWorld(t)
	r := start(t, w, nil)
	r.create(wanted())
	r.await(api.UpgradeSoak)
	w.mu.Lock()
	w.calls = nil
	w.mu.Unlock()
	return w, r
}

func TestRollbackWithoutWritesLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := soaking(t)
		if err := r.send("rollback", nil); err != nil {
			t.Fatal(err)
		}
		u := r.await(api.UpgradeRolledBack)
		w.serving("blue")
		want := "changed green, hold, fence green 12, changed green, lift blue 12, open blue 12"
		if got := strings.Join(w.made(), ", "); got != want {
			t.Errorf("calls %s\nwant  %s", got, want)
		}
		if !w.groups["green"] || u.Error != "" {
			t.Errorf("green runs %t, error %q, want green kept", w.groups["green"], u.Error)
		}
	})
}

func TestRollbackThatWouldLoseWritesIsRefusedUnlessTheyAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := soaking(t)
		w.written["green"] += 42
		if err := r.send("rollback", nil); err != nil {
			t.Fatal(err)
		}
		u := r.await(api.UpgradeSoak)
		if !strings.Contains(u.Error, "lose the changes to 42 of") || !strings.Contains(u.Error, `{"loseWrites": true}`) {
			t.Errorf("error %q, want the number and the way out", u.Error)
		}
		if w.count("hold") != 0 {
			t.Error("traffic was held for a rollback that cannot be")
		}
		w.serving("green")
		pause := u.Pause

		if err := r.send("rollback", api.RollbackArgs{LoseWrites: true}); err != nil {
			t.Fatal(err)
		}
		u = r.await(api.UpgradeRolledBack)
		w.serving("blue")
		if !w.fences["green"].on || u.Error != "" || u.Pause != pause {
			t.Errorf("green's fence %+v, error %q, pause %v", w.fences["green"], u.Error, u.Pause)
		}
	})
}

func TestWritesThatCameBeforeTheFenceStopARollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := soaking(t)
		w.after = func(_ context.Context, call string) error {
			if call == "hold" {
				w.written["green"]++
			}
			return nil
		}
		if err := r.send("rollback", nil); err != nil {
			t.Fatal(err)
		}
		u := r.await(api.UpgradeSoak)
		if !strings.Contains(u.Error, "lose the changes to 1 of") {
			t.Errorf("error %q", u.Error)
		}
		w.serving("green")
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
		w, r := soaking(t)
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
			return &slowClient{Client: c, after: func(_ context.Context, _ string) error {
				if w.count("position green") > 0 && w.before == nil {
					deadGreen(w, alive) // committed
				}
				return nil
			}}
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
		w, r := soaking(t)
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
	const calls = 6 // of a rollback without trouble
	for n := 1; n <= calls; n++ {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("call %d, done %t", n, done), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w, r := soaking(t)
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

func TestRetireDeletesTheSideThatTrafficHasLeft(t *testing.T) {
	for _, back := range []bool{false, true} {
		t.Run(fmt.Sprintf("after a rollback %t", back), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, r := soaking(t)
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
