package upgrade

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/api"
)

// observed returns a world whose upgrade is observed by one check.
func observed(t *testing.T) (*world, *rig) {
	t.Helper()
	return soaking(t, func(w *world, u *api.Upgrade) {
		w.values = map[string]float64{"errors": 0.001}
		u.Soak = api.Seconds(10 * time.Minute)
		u.Checks = []api.Check{{Name: "errors", Query: api.CheckErrors, Max: 0.01, For: 30}}
	})
}

// set changes the value of the check.
func (w *world) set(value float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.values["errors"] = value
}

func TestCheckThatFailsForTooLongGoesBackByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := observed(t)
		w.set(0.2)
		time.Sleep(20 * time.Second)
		w.set(0)
		time.Sleep(time.Minute)
		if u := r.await(api.UpgradeSoak); len(u.Health) != 1 || !u.Health[0].Over.IsZero() {
			t.Errorf("health %+v, want it good again", u.Health)
		}
		w.set(0.2)
		u := r.await(api.UpgradeRolledBack)
		w.serving("blue")
		if text := u.History[len(u.History)-4].Text; !strings.Contains(text, "the check errors is 0.2, over 0.01 for 30s") {
			t.Errorf("history %+v, want why", u.History)
		}
	})
}

func TestChecksAreKeptUntilTheEndOfTheObservation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := observed(t)
		u := r.awaits("observed", func(u api.Upgrade) bool { return strings.HasSuffix(states(u), "soak soak") })
		if Observed(u, time.Now()) || u.Looks < 100 {
			t.Errorf("after %d looks it is still observed", u.Looks)
		}
		w.set(1)
		time.Sleep(time.Hour)
		if u = r.await(api.UpgradeSoak); u.State != api.UpgradeSoak {
			t.Errorf("it is %s by a check that nobody asked for any more", u.State)
		}
	})
}

func TestCheckWithoutAValueDecidesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := observed(t)
		w.mu.Lock()
		delete(w.values, "errors")
		w.mu.Unlock()
		time.Sleep(time.Minute)
		if u := r.await(api.UpgradeSoak); len(u.Health) != 1 || u.Health[0].Error != "there is no value" {
			t.Errorf("health %+v, want why there is no value", u.Health)
		}
	})
}

func TestCheckDoesNotLoseWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := soaking(t, func(w *world, u *api.Upgrade) {
			w.values, w.oneWay = map[string]float64{"errors": 1}, []string{"accounts: Func has no inverse"}
			u.Checks = []api.Check{{Name: "errors", Query: api.CheckErrors, Max: 0.01}}
			w.written["green"] = 700
		})
		w.mu.Lock()
		w.written["green"] += 5
		w.mu.Unlock()
		time.Sleep(time.Hour)
		u := r.await(api.UpgradeSoak)
		if !strings.Contains(u.Error, "lose the changes to 5") || w.count("hold") != 0 {
			t.Errorf("error %q, %d holds; want the reason and none", u.Error, w.count("hold"))
		}
		if n := count(u, api.UpgradeBack); n != maxAttempts {
			t.Errorf("%d rollbacks were tried, want %d", n, maxAttempts)
		}
	})
}
