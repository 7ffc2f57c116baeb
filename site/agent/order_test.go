package agent

import (
	"encoding/json"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

func TestAnOrderGoesItsWay(t *testing.T) {
	thrown := order{Strategy: api.Throwaway, Tests: []string{"check"}}
	kept := order{Strategy: api.BlueGreen, Tests: []string{"check"}}
	event := func(name string, data any) kit.Event {
		b, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		return kit.Event{Name: name, Data: b}
	}
	none := struct{}{}
	failure := map[string]string{"error": "no"}
	for name, test := range map[string]struct {
		order  order
		events []kit.Event
		state  orderState
		op     string // that is wished for last
		why    string
	}{
		"a throw-away one passes": {thrown, []kit.Event{
			event("created", none), event("pull.done", none), event("start.done", progress{Address: "http://a"}),
			event("test.done", progress{Output: "ok"}), event("clean.done", none),
		}, orderDone, "", ""},
		"a throw-away one is cleaned after failed tests": {thrown, []kit.Event{
			event("created", none), event("pull.done", none), event("start.done", none), event("test.done", progress{Error: "no"}),
		}, orderCleaning, "clean 1", "no"},
		"a throw-away one is cleaned after a failed start": {thrown, []kit.Event{
			event("created", none), event("pull.done", none), event("start.failed", failure),
		}, orderCleaning, "clean 1", "no"},
		"a failure survives the cleaning": {thrown, []kit.Event{
			event("created", none), event("pull.failed", failure), event("clean.done", none),
		}, orderFailed, "", "no"},
		"a kept one is upgraded to": {kept, []kit.Event{
			event("created", none), event("pull.done", none),
		}, orderDeploying, "upgrade 1", ""},
		"a kept one is tested": {kept, []kit.Event{
			event("created", none), event("pull.done", none), event("upgrade.done", none),
		}, orderTesting, "test 1", ""},
		"a kept one fails": {kept, []kit.Event{
			event("created", none), event("pull.done", none), event("upgrade.failed", failure),
		}, orderFailed, "", "no"},
		"one without tests ends with the upgrade": {order{Strategy: api.BlueGreen}, []kit.Event{
			event("created", none), event("pull.done", none), event("upgrade.done", none),
		}, orderDone, "", ""},
		"a rehearsal runs no tests": {order{Strategy: api.BlueGreen, Rehearse: true, Tests: []string{"check"}}, []kit.Event{
			event("created", none), event("pull.done", none), event("upgrade.done", progress{Output: "it would succeed"}),
		}, orderDone, "", ""},
		"a rehearsal that finds problems fails": {order{Strategy: api.BlueGreen, Rehearse: true}, []kit.Event{
			event("created", none), event("pull.done", none), event("upgrade.done", progress{Error: "it does not converge"}),
		}, orderFailed, "", "it does not converge"},
		"there is nothing to rehearse where groups are thrown away": {order{Strategy: api.Throwaway, Rehearse: true}, []kit.Event{
			event("created", none),
		}, orderFailed, "", "a throw-away environment upgrades nothing, so there is nothing to rehearse"},
		"one that is refused does nothing": {order{Strategy: api.BlueGreen, Refused: "unsigned"}, []kit.Event{
			event("created", none),
		}, orderFailed, "", "unsigned"},
		"one that was refused is tried when it is believed": {order{Strategy: api.BlueGreen, Refused: "unsigned"}, []kit.Event{
			event("created", none), event("again", order{Image: "x"}),
		}, orderPulling, "pull 2", ""},
		"one that is not over is not taken again": {kept, []kit.Event{
			event("created", none), event("again", order{Image: "x"}),
		}, orderPulling, "pull 1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o, last := test.order, ""
			for _, e := range test.events {
				n, ops := next(o, e, time.Time{})
				if len(ops) > 0 && ops[0].Do == kit.OpRefuse {
					continue
				}
				if o, last = n, ""; len(ops) > 0 {
					last = ops[0].ID
				}
			}
			if o.State != test.state || last != test.op || o.Error != test.why {
				t.Errorf("it is %s, wishes for %q, error %q; want %s, %q, %q", o.State, last, o.Error, test.state, test.op, test.why)
			}
		})
	}
}
