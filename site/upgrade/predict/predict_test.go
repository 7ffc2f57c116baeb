package predict

import (
	"testing"
	"time"

	"landfall.dev/api"
)

func TestTheHoldBeforeTellsTheNext(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		name        string
		held, drain time.Duration
	}{
		{"a hold like any", 80 * time.Millisecond, 80 * time.Millisecond},
		{"a node died while traffic was held", 5 * time.Second, 100 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := api.Upgrade{UpgradePolicy: api.UpgradePolicy{Budget: api.Seconds(400 * time.Millisecond)}, History: []api.Moment{
				{State: api.UpgradeHolding, At: at}, {State: api.UpgradeFenced, At: at.Add(c.held)},
			}}
			u.Cycles = []api.Cycle{{Documents: 1000, Rate: 10_000}}
			want := c.drain + fenceGuess + 100*time.Millisecond + verifyGuess + commitGuess
			if got := Pause(u, 1000); got != want {
				t.Errorf("predicted %v, want %v", got, want)
			}
		})
	}
}
