package presence

import (
	"encoding/json"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

func TestARunnerReports(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	report := func(r api.Runner, name, by string, used int, now time.Time) (api.Runner, []kit.Op) {
		args, err := json.Marshal(api.RunnerReport{Engines: []api.RunnerEngine{{Name: "a", Used: used}}})
		if err != nil {
			t.Fatal(err)
		}
		return Next(r, kit.Event{Name: name, By: by, Data: args}, now)
	}
	r, _ := report(api.Runner{}, "created", "accounts/one", 0, now)
	if r.By != "accounts/one" || !r.Reported.Equal(now) || !r.Expires.After(now.Add(api.RunnerForgotten)) {
		t.Errorf("after the first report: got %+v", r)
	}
	if _, ops := report(r, "report", "accounts/two", 1, now.Add(api.RunnerSilent)); len(ops) != 1 || ops[0].Fault != kit.ErrConflict {
		t.Errorf("another account's runner of that name: got %+v, want a refusal", ops)
	}
	later := now.Add(api.RunnerSilent + 1)
	if r, ops := report(r, "report", "accounts/two", 1, later); len(ops) != 0 || r.By != "accounts/two" || r.Engines[0].Used != 1 || !r.Reported.Equal(later) {
		t.Errorf("when the first is silent: got %+v, %+v", r, ops)
	}
}
