package agent

import (
	"errors"
	"log/slog"
	"testing"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/site/agent/doors"
	"landfall.dev/site/front"
)

// newGate returns a gate whose front door was told nothing yet, and that door.
func newGate(t *testing.T) (*gate, *front.Door) {
	t.Helper()
	c := kittest.Start(t, kit.Service{Name: "agent", Owns: []kit.Owned{
		doors.Owned(), kit.Own[route](routes, nil), kit.Own[api.Upgrade](api.Upgrades, nil),
	}})
	client, log := c.Client("services/agent"), kittest.Log(t, slog.LevelInfo)
	door := front.New(front.Options{Logger: log})
	return &gate{client: client, doors: doors.New(door, client, log)}, door
}

func TestWhereTrafficGoesIsWrittenAndNeverAnOlderDecision(t *testing.T) {
	g, door := newGate(t)
	for _, test := range []struct {
		name, group string
		epoch       int64
		want        error
		to          string // where traffic goes then
		since       int64
	}{
		{"the first decision", "blue", 5, nil, "blue", 5},
		{"the same once more", "blue", 5, nil, "blue", 5},
		{"an older one", "green", 4, kit.ErrConflict, "blue", 5},
		{"another side of the same epoch", "green", 5, kit.ErrConflict, "blue", 5},
		{"a newer one", "green", 6, nil, "green", 6},
	} {
		err := g.Open(t.Context(), api.Side{Group: test.group, URLs: []string{"http://127.0.0.1:9"}}, test.epoch)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		r, err := readRoute(t.Context(), g.client)
		if s := door.State(); err != nil || r.Group != test.to || r.Epoch != test.since || s.Side != test.to || s.Epoch != test.since {
			t.Errorf("after %s: written is %s of epoch %d, %v, the door leads to %s of epoch %d; want %s of epoch %d",
				test.name, r.Group, r.Epoch, err, s.Side, s.Epoch, test.to, test.since)
		}
	}
}

func TestADecisionThatTheDoorWasNotToldHolds(t *testing.T) {
	g, _ := newGate(t)
	if err := g.Open(t.Context(), api.Side{Group: "blue", URLs: []string{"http://127.0.0.1:9"}}, 5); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		state api.UpgradeState
		epoch int64
		want  string
	}{
		{"before", api.UpgradeSoak, 4, "blue"},
		{"only holds", api.UpgradeVerified, 6, "blue"},
		{"has committed", api.UpgradeCommitted, 7, "green"},
		{"has gone back", api.UpgradeReopening, 8, "blue"},
	} {
		u := api.Upgrade{State: test.state, Epoch: test.epoch, Blue: api.Side{Group: "blue"}, Green: api.Side{Group: "green"}}
		if _, err := api.Upgrades.Create(t.Context(), g.client, string(test.state), u); err != nil {
			t.Fatal(err)
		}
		r, err := current(t.Context(), g.client)
		if err != nil || r.Group != test.want {
			t.Errorf("with an upgrade that %s: traffic goes to %s, %v; want %s", test.name, r.Group, err, test.want)
		}
	}
}
