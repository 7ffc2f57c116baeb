package upgrade

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/api"
)

// closes waits until the group refuses reads, or takes them.
func (w *world) closes(group string, want bool) {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed[group] != want {
		w.t.Errorf("%s refuses reads %t, want %t", group, w.closed[group], want)
	}
}

func TestTheSideThatTrafficHasLeftRefusesReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := soaking(t, func(w *world, _ *api.Upgrade) {
			w.after = func(_ context.Context, call string) error {
				if strings.HasPrefix(call, "open") && w.closed["blue"] {
					w.t.Error("blue refused reads before traffic had left it")
				}
				return nil
			}
		})
		w.closes("blue", true)
		w.closes("green", false)
		if err := r.send("rollback", nil); err != nil {
			t.Fatal(err)
		}
		r.await(api.UpgradeRolledBack)
		w.serving("blue")
		w.closes("blue", false)
		w.closes("green", true)
	})
}

func TestASideThatDoesNotAnswerIsClosedOnceItDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		back := &unclosable{world: w}
		r := startWith(t, w, back)
		r.create(wanted())
		u := r.await(api.UpgradeSoak)
		if u.Pause.Std() > time.Second {
			t.Errorf("the pause was %v: it waited for blue to be closed", u.Pause.Std())
		}
		w.closes("blue", false)
		r.stop()
		back.answer()
		r.run()
		time.Sleep(time.Hour)
		w.closes("blue", true)
	})
}

// unclosable is a world whose sides cannot be closed before it answers.
type unclosable struct {
	*world
	lock    sync.Mutex
	answers bool
}

func (c *unclosable) answer() {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.answers = true
}

func (c *unclosable) Close(ctx context.Context, side api.Side) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	if !c.answers {
		return errors.New("blue does not answer")
	}
	return c.world.Close(ctx, side)
}

func TestWhatDiffersIsCopiedAgainOnceWithinTheHold(t *testing.T) {
	for _, test := range []struct {
		name    string
		repairs bool
		back    bool
		calls   string
		ends    api.UpgradeState
		serves  string
	}{
		{"it differs once", true, false, "verify, repair, verify, position green", api.UpgradeSoak, "green"},
		{"it differs twice", false, false, "verify, repair, verify, position green, lift blue 12", api.UpgradeAborted, "blue"},
		{"it differs once on the way back", true, true, "verify back green, repair back, verify back green, lift blue 12", api.UpgradeRolledBack, "blue"},
		{"it differs twice on the way back", false, true, "verify back green, repair back, verify back green, lift green 13", api.UpgradeSoak, "green"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.repairs = test.repairs
				r := start(t, w, nil)
				if test.back {
					w.differentBack = 3
				} else {
					w.different = 3
				}
				r.create(wanted())
				if test.back {
					r.await(api.UpgradeSoak)
					if err := r.send("rollback", nil); err != nil {
						t.Fatal(err)
					}
				}
				r.await(test.ends)
				w.serving(test.serves)
				if calls := strings.Join(w.made(), ", "); !strings.Contains(calls, test.calls) {
					t.Errorf("calls %s\nwant %s in them", calls, test.calls)
				}
			})
		})
	}
}
