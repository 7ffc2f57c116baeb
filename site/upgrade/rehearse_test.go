package upgrade

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/api"
)

func TestRehearsalReportsAndLeavesBlueAlone(t *testing.T) {
	for _, test := range []struct {
		name    string
		alter   func(*world)
		problem string
	}{
		{"all is well", func(*world) {}, ""},
		{"blue is written", func(w *world) { w.different, w.changed = 3, 3 }, ""},
		{"the sides differ", func(w *world) { w.different = 3 }, "differ in 3 of 4096 buckets, though 0"},
		{"documents cannot be transformed", func(w *world) {
			w.cycles = func(bool) Copied { return Copied{Documents: 10, Failed: []string{"accounts/7: name: too long"}} }
		}, "accounts/7: name: too long"},
		{"it does not converge", func(w *world) {
			w.cycles = func(bool) Copied { return Copied{Documents: 50_000, Left: 40_000, Took: time.Second} }
		}, "does not converge"},
		{"there are no documents", func(w *world) { w.stateless["blue"], w.stateless["green"] = true, true }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, u := newWorld(t), wanted()
				w.rooms = map[string]api.Room{"blue": {Memory: 1, Disk: 2}, "green": {Memory: 3, Disk: 4}}
				test.alter(w)
				u.Rehearse, u.Hold = true, api.HoldManual
				r := start(t, w, nil)
				r.create(u)
				u = r.await(api.UpgradeRehearsed)
				w.serving("blue")
				for _, call := range []string{"hold", "open", "fence", "lift", "slow"} {
					if w.count(call) > 0 {
						t.Errorf("%s was called: %q", call, w.made())
					}
				}
				if w.groups["green"] {
					t.Error("green still runs")
				}
				got := strings.Join(u.Rehearsal.Problems, "; ")
				if test.problem == "" && got != "" || !strings.Contains(got, test.problem) {
					t.Errorf("problems %q, want %q", got, test.problem)
				}
				if u.Rehearsal.Blue.Disk != 2 || u.Rehearsal.Green.Memory != 3 {
					t.Errorf("report %+v, want what both sides take", u.Rehearsal)
				}
				if !w.stateless["blue"] && (u.Rehearsal.Predicted == 0 || u.Rehearsal.Verified == nil || u.Rehearsal.Documents == 0) {
					t.Errorf("report %+v, want a prediction and a verification", u.Rehearsal)
				}
			})
		})
	}
}

func TestRehearsalDoesNotStandInTheWayOfARollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := soaking(t, nil)
		later := wanted()
		later.Rehearse, later.Hold = true, api.HoldManual
		later.Epoch += Epochs
		later.Blue, later.Green = later.Green, api.Side{Group: "third", Image: "ledger@sha256:3"}
		if _, err := api.Upgrades.Create(t.Context(), r.Admin(), "2", later); err != nil {
			t.Fatal(err)
		}
		if _, err := api.Upgrades.Await(t.Context(), r.Admin(), "2", func(u api.Upgrade) bool { return u.State == api.UpgradeRehearsed }); err != nil {
			t.Fatal(err)
		}
		if err := r.send("rollback", nil); err != nil {
			t.Fatal(err)
		}
		r.await(api.UpgradeRolledBack)
		w.serving("blue")
	})
}

func TestUpgradeIsRefusedWithFiguresIfThereIsNoRoom(t *testing.T) {
	const mega = 1 << 20
	for _, test := range []struct {
		name       string
		blue, free api.Room
		want       []string
	}{
		{"no memory", api.Room{Memory: 3 << 30}, api.Room{Memory: 512 * mega}, []string{"3.0 GiB of memory", "512.0 MiB are free"}},
		{"no disk", api.Room{Memory: 1, Disk: 700 * mega}, api.Room{Memory: 2, Disk: 30 * mega}, []string{"700.0 MiB of disk", "30.0 MiB"}},
		{"it fits", api.Room{Memory: 1, Disk: 1}, api.Room{Memory: 2, Disk: 2}, nil},
		{"nothing is known", api.Room{Memory: 1 << 40}, api.Room{}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.rooms = map[string]api.Room{"blue": test.blue, "free": test.free}
				r := start(t, w, nil)
				r.create(wanted())
				if test.want == nil {
					r.await(api.UpgradeSoak)
					return
				}
				u := r.await(api.UpgradeAborted)
				for _, part := range test.want {
					if !strings.Contains(u.Error, part) {
						t.Errorf("error %q, want %q in it", u.Error, part)
					}
				}
				if slices.ContainsFunc(w.made(), func(c string) bool { return strings.HasPrefix(c, "start") }) {
					t.Error("green was started")
				}
				w.serving("blue")
			})
		})
	}
}
