package upgrades

import (
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
)

func TestPrinterPrintsWhatIsNewOnce(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var out strings.Builder
	w := Printer{Out: &out, Bar: func(int64, int64) {}}
	u := api.Upgrade{State: api.UpgradeCopying, OneWay: []string{"accounts: Func has no inverse"}}
	u.History = []api.Moment{{State: api.UpgradeCopying, At: at}}
	u.Cycles = []api.Cycle{{Number: 1, Documents: 999, Left: 500, Rate: 1e6, Predicted: 0.7, Bound: 20_000}}
	u.Sparing = api.Sparing{Base: 0.0041, Limit: 0.0051, Requests: 2000, P99: 0.00484, Rate: 30_000}
	w.Print(u)
	w.Print(u)
	u.Slowed, u.Slowest = 0.2, 0.2
	u.Cycles = append(u.Cycles, api.Cycle{Number: 2, Documents: 500, Final: true})
	u.History = append(u.History, api.Moment{State: api.UpgradeSoak, At: at, Text: "held for 3ms"})
	u.Back = &api.Back{Cycles: 3, Documents: 12, Lag: 1, At: at}
	w.Print(u)
	w.Print(u)
	for _, want := range []string{
		"    1         999          0    0.000    1000000      500  700ms      ############  bound to 20000 docs/s",
		"p99 of 2000 requests/s before copying: 4.1ms (limit 5.1ms), while copying: 4.84ms, so the copy is bound to 30000 docs/s",
		"no way back without loss: accounts: Func has no inverse",
		"writers are slowed by 20 %, at most they were by 20 %",
		"final, traffic held",
		"soak held for 3ms",
		"back to blue: 12 documents in 3 cycles, 1 left at 03:04:05",
	} {
		if n := strings.Count(out.String(), want); n != 1 {
			t.Errorf("%q was printed %d times, want once:\n%s", want, n, out.String())
		}
	}
}

func TestDescribedUpgradesTellOfTheWayBack(t *testing.T) {
	u := api.Upgrade{State: api.UpgradeRolledBack, Slowest: 0.3, Health: []api.Reading{{Name: "errors", Value: 0.2}}}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	u.History = []api.Moment{{State: api.UpgradeReleased, At: at}, {State: api.UpgradeRolledBack, At: at.Add(5 * time.Minute)}}
	u.Quarantine = []api.Quarantined{{Link: "accounts/7", Version: 3, Field: "name", Error: "too long", WaivedBy: "users/ada"}}
	u.Back = &api.Back{Pause: 0.025, Predicted: 0.07}
	text := strings.Join(Describe(u), "\n")
	for _, want := range []string{"traffic goes to blue again since 2026-01-02T03:09:05.006Z", "accounts/7: name: too long, version 3, stays behind: waived by users/ada", "pause of going back: 25ms (predicted 70ms", "check errors: 0.2", "at most they were by 30 %"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
	r := api.Upgrade{State: api.UpgradeRehearsed, Rehearse: true, Rehearsal: &api.Rehearsal{Problems: []string{"it does not converge"}}}
	if text := strings.Join(Describe(r), "\n"); !strings.Contains(text, "problem: it does not converge") {
		t.Errorf("the report is missing:\n%s", text)
	}
}
