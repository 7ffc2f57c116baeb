package web_test

import (
	"testing"
	"time"

	"landfall.dev/api"
)

func TestThePageOfAnUpgradeTellsOfTheSwitchAndTheWayBack(t *testing.T) {
	h := start(t)
	b := h.as("users/admin")
	u := ledgerUpgrade(3)
	u.State, u.Pause, u.Slowest = api.UpgradeSoak, 0.058, 0.3
	u.Cycles[2].Final = true
	u.History = append(u.History, api.Moment{State: api.UpgradeCommitted, At: began.Add(time.Minute)}, api.Moment{State: api.UpgradeSoak, At: began.Add(time.Minute)})
	u.Back = &api.Back{Documents: 5012, Cycles: 7, Lag: 3, At: began.Add(2 * time.Minute)}
	u.Health = []api.Reading{{Name: "errors", Value: 0.25, Over: began}}
	u.Sparing = api.Sparing{Base: 0.0042, Requests: 900, P99: 0.005, Rate: 30_000}
	u.Cycles[0].Bound = 20_000
	put(h, api.Upgrades, "switched", u)
	back := u
	back.State = api.UpgradeRolledBack
	back.History = append(back.History, api.Moment{State: api.UpgradeRolledBack, At: began.Add(time.Hour)})
	put(h, api.Upgrades, "went-back", back)
	one := ledgerUpgrade(2)
	one.Quarantine = []api.Quarantined{{Link: "accounts/7", Version: 3, Field: "name", Error: "too long", WaivedBy: "users/ada"}}
	one.OneWay, one.Paused = []string{"accounts: Func has no inverse"}, true
	put(h, api.Upgrades, "one-way", one)
	r := ledgerUpgrade(2)
	r.State, r.Rehearse, r.Rehearsal = api.UpgradeRehearsed, true, &api.Rehearsal{Documents: 42}
	put(h, api.Upgrades, "rehearsal", r)
	for path, want := range map[string][]string{
		"/upgrades/went-back": {"traffic went to green at", "and to blue again at"},
		"/upgrades/switched":  {"traffic goes to green since", "switched", "held for 58 ms", "5,012 documents in 7 cycles", "slowed by 0 %, at most by 30 %", "4.2 ms before copying, 5.0 ms while copying", "bound to 20,000", "Check errors", "over its limit"},
		"/upgrades/one-way":   {"no way back without loss: accounts: Func has no inverse", "Paused: no hold begins", "accounts/7: name: too long", "version 3, stays behind: waived by users/ada"},
		"/upgrades/rehearsal": {"rehearsed", "42 documents in", "the upgrade would succeed"},
	} {
		b.open(path).shows(t, want...)
	}
}
