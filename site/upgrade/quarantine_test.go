package upgrade

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// poisoned returns a world in which two documents cannot be transformed.
func poisoned(t *testing.T) *world {
	w := newWorld(t)
	w.poison = []api.Quarantined{
		{Link: "accounts/7", Version: 3, Field: "name", Error: "too long"},
		{Link: "accounts/8", Version: 1, Error: "it is no object"},
	}
	return w
}

func TestPolicyLetsSoManyDocumentsStayBehind(t *testing.T) {
	for waive, want := range map[int]api.UpgradeState{0: api.UpgradeAborted, 1: api.UpgradeAborted, 2: api.UpgradeSoak, 3: api.UpgradeSoak} {
		synctest.Test(t, func(t *testing.T) {
			w, u := poisoned(t), wanted()
			u.Waive = waive
			r := start(t, w, nil)
			r.create(u)
			u = r.await(want)
			if want == api.UpgradeAborted {
				if w.count("hold")+w.count("waive") != 0 || !strings.Contains(u.Error, "accounts/7: name: too long") {
					t.Errorf("with %d waived: error %q, calls %q; want its name and no hold", waive, u.Error, w.made())
				}
				return
			}
			if len(u.Quarantine) != 2 || u.Quarantine[1].WaivedBy != byPolicy || w.count("waive") != 1 {
				t.Errorf("with %d waived: quarantine %+v, calls %q; want both waived once", waive, u.Quarantine, w.made())
			}
			told := 0
			for _, m := range u.History {
				if strings.Contains(m.Text, "2 documents to stay behind: accounts/7: name: too long (waived by "+byPolicy) {
					told++
				}
			}
			if told != 1 {
				t.Errorf("the history tells it %d times, want once: %+v", told, u.History)
			}
		})
	}
}

func TestPolicyCountsWhatItHasWaivedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, u := poisoned(t), wanted()
		u.Waive, u.Hold = 2, api.HoldManual
		r := start(t, w, nil)
		r.create(u)
		r.awaits("ready", func(u api.Upgrade) bool { return u.State == api.UpgradeReady })
		w.mu.Lock()
		w.poison = append(w.poison, api.Quarantined{Link: "accounts/9", Error: "one too many"})
		w.mu.Unlock()
		u = r.awaits("waiting", func(u api.Upgrade) bool { return len(u.Quarantine) == 3 })
		if u.Quarantine[2].WaivedBy != "" || u.State != api.UpgradeCopying {
			t.Errorf("%s with %+v, want it copying, and the third not waived", u.State, u.Quarantine)
		}
	})
}

func TestWhoHasItWaitMayMendRetryOrWaive(t *testing.T) {
	for name, mend := range map[string]func(*world, *rig) error{
		"mended on blue": func(w *world, _ *rig) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.poison = nil
			return nil
		},
		"retried": func(_ *world, r *rig) error { return r.send("retry", nil) },
		"waived": func(_ *world, r *rig) error {
			return r.send("waive", api.WaiveArgs{Links: []kit.Link{"accounts/7", "accounts/8"}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, u := poisoned(t), wanted()
				u.Hold = api.HoldManual
				r := start(t, w, nil)
				r.create(u)
				u = r.awaits("waiting", func(u api.Upgrade) bool { return len(u.Quarantine) == 2 })
				time.Sleep(time.Hour)
				later := r.awaits("still waiting", func(u api.Upgrade) bool { return u.State == api.UpgradeCopying })
				if n := len(later.History) - len(u.History); n != 0 || w.count("hold") != 0 || later.Quarantine[0].Field != "name" {
					t.Errorf("%d moments in an hour, %d holds, quarantine %+v; want it to wait quietly", n, w.count("hold"), later.Quarantine)
				}
				if err := r.send("waive", api.WaiveArgs{Links: []kit.Link{"accounts/1"}}); !errors.Is(err, kit.ErrNotFound) {
					t.Errorf("a document that is not in quarantine is waived: %v", err)
				}
				if err := r.send("waive", nil); !errors.Is(err, kit.ErrInvalid) {
					t.Errorf("nothing is waived: %v", err)
				}
				if err := r.send("go", nil); !errors.Is(err, kit.ErrConflict) || !strings.Contains(err.Error(), "accounts/7, accounts/8 and would end the upgrade: waive, retry or cancel") {
					t.Errorf("go with two that are not waived: %v", err)
				}
				if err := mend(w, r); err != nil {
					t.Fatal(err)
				}
				r.awaits("ready", func(u api.Upgrade) bool { return u.State == api.UpgradeReady })
				if err := r.send("go", nil); err != nil {
					t.Fatal(err)
				}
				done := r.await(api.UpgradeSoak)
				w.serving("green")
				if name == "waived" && (len(done.Quarantine) != 2 || !strings.HasPrefix(done.Quarantine[0].WaivedBy, "users/")) {
					t.Errorf("quarantine %+v, want both waived by a user", done.Quarantine)
				}
				if p, err := r.Admin().List(t.Context(), kit.Query{Kind: "audit", Filter: fmt.Sprintf(`target == %q && verb in ["retry", "waive"] && status == 200`, done.Link)}); err != nil || len(p.Items) > 1 || (len(p.Items) == 1) != (name != "mended on blue") {
					t.Errorf("the audit has %d records of what was done to the quarantine, %v", len(p.Items), err)
				}
				if err := r.send("retry", nil); !errors.Is(err, kit.ErrConflict) {
					t.Errorf("a retry after the switch: %v", err)
				}
			})
		})
	}
}

func TestRehearsalNamesWhatWouldStayBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, u := poisoned(t), wanted()
		u.Waive, u.Rehearse = 2, true
		r := start(t, w, nil)
		r.create(u)
		u = r.await(api.UpgradeRehearsed)
		if len(u.Rehearsal.Problems) != 0 || len(u.Rehearsal.Behind) != 2 || u.Rehearsal.Behind[0] != "accounts/7: name: too long" {
			t.Errorf("the report is %+v, want no problem and both named", u.Rehearsal)
		}
	})
}

func TestWhatHasNoFormOnBlueStopsTheWayBackUntilItIsWaived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.poisonBack = []api.Quarantined{{Link: "accounts/7", Version: 4, Field: "name", Error: "has no form in schema 1"}}
		r := start(t, w, nil)
		r.create(wanted())
		r.awaits("told", func(u api.Upgrade) bool { return u.Back != nil && len(u.Back.Quarantine) == 1 })
		if err := r.send("rollback", nil); err != nil {
			t.Fatal(err)
		}
		u := r.awaits("refused", func(u api.Upgrade) bool { return u.State == api.UpgradeSoak && u.Error != "" })
		if !strings.Contains(u.Error, "accounts/7: name") {
			t.Errorf("error %q, want the document", u.Error)
		}
		w.serving("green")
		if err := r.send("waive", api.WaiveArgs{Links: []kit.Link{"accounts/8"}}); !errors.Is(err, kit.ErrNotFound) {
			t.Errorf("another document was waived: %v", err)
		}
		if err := r.send("waive", api.WaiveArgs{Links: []kit.Link{"accounts/7"}}); err != nil {
			t.Fatal(err)
		}
		r.awaits("waived", func(u api.Upgrade) bool { return len(u.Back.Quarantine) == 1 && u.Back.Quarantine[0].WaivedBy != "" })
		if err := r.send("rollback", nil); err != nil {
			t.Fatal(err)
		}
		r.await(api.UpgradeRolledBack)
		w.serving("blue")
	})
}
