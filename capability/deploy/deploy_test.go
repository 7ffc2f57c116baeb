package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
)

var image = "ledger@" + string(kit.DigestOf([]byte("x")))

func TestTheLifeOfADeployment(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	say := func(s api.Status) kit.Event {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return kit.Event{Name: "status", Data: b}
	}
	status := func(s api.DeploymentState) kit.Event {
		return say(api.Status{Environment: "staging", State: s, Address: "http://x", Error: "why"})
	}
	created := kit.Event{Name: "created"}
	for _, test := range []struct {
		name     string
		events   []kit.Event
		want     api.DeploymentState
		started  bool
		finished bool
	}{
		{"ordered", []kit.Event{created}, api.DeploymentQueued, false, false},
		{"taken", []kit.Event{created, status(api.DeploymentRunning)}, api.DeploymentRunning, true, false},
		{"passed", []kit.Event{created, status(api.DeploymentRunning), status(api.DeploymentPassed)}, api.DeploymentPassed, true, true},
		{"failed at once", []kit.Event{created, status(api.DeploymentFailed)}, api.DeploymentFailed, true, true},
		{"told something after the end", []kit.Event{created, status(api.DeploymentPassed), status(api.DeploymentRunning)}, api.DeploymentPassed, true, true},
		{"told by another environment", []kit.Event{created, say(api.Status{Environment: "other", State: api.DeploymentPassed})}, api.DeploymentQueued, false, false},
		{"told nothing", []kit.Event{created, say(api.Status{Environment: "staging"})}, api.DeploymentQueued, false, false},
	} {
		d := api.Deployment{Environment: "staging", Image: image, State: api.DeploymentPassed, Address: "http://evil"}
		for _, e := range test.events {
			var ops []kit.Op
			if d, ops = next(d, e, now); len(ops) > 0 {
				t.Fatalf("%s: %+v, want no wishes", test.name, ops)
			}
		}
		if d.State != test.want || d.Started.IsZero() == test.started || d.Finished.IsZero() == test.finished || d.Address == "http://evil" {
			t.Errorf("%s: the deployment is %+v, want %s, started %t, finished %t", test.name, d, test.want, test.started, test.finished)
		}
	}
}

func TestWhatMakesNoSenseIsRefused(t *testing.T) {
	c := kittest.Start(t, Service())
	try := func(kind, id, body string) error {
		_, err := c.Admin().Create(t.Context(), kind, id, []byte(body))
		return err
	}
	for _, test := range []struct {
		name, kind, id, body, want string
	}{
		{"a deployment of a tag", "deployments", "a", `{"environment":"staging","image":"ledger:latest"}`, "an image by digest"},
		{"a deployment to nowhere", "deployments", "a", `{"image":"` + image + `"}`, "needs an environment"},
		{"an unknown strategy", "environments", "a", `{"strategy":"red"}`, `strategy "red" is not known`},
		{"too many nodes", "environments", "a", `{"strategy":"bluegreen","nodes":10}`, "use 1 to 9"},
		{"upgrades that nobody can do", "environments", "a", `{"strategy":"bluegreen","upgrades":{"hold":"maybe"}}`, `upgrades: hold "maybe" is not known`},
		{"a pattern of a route that is none", "environments", "a", `{"strategy":"bluegreen","routes":[{"pattern":"GET /a","class":"short"},{"pattern":"GET /{x","class":"stream"}]}`, `routes[1].pattern "GET /{x"`},
		{"a class that is none", "environments", "a", `{"strategy":"bluegreen","routes":[{"pattern":"/a/","class":"slow"}]}`, "a class is short, stream or upload"},
		{"routes in each other's way", "environments", "a", `{"strategy":"bluegreen","routes":[{"pattern":"/a/{x}","class":"short"},{"pattern":"/{x}/a","class":"stream"}]}`, "conflicts with"},
		{"waiving a number that makes no sense", "environments", "a", `{"strategy":"bluegreen","upgrades":{"waive":-1}}`, "waive -1"},
		{"a channel that is none", "environments", "a", `{"strategy":"bluegreen","channel":"changes/1"}`, "is no channel"},
		{"a name that ends another's ids", "environments", "a~b", `{"strategy":"bluegreen"}`, "is no name of an environment"},
		{"a status of another environment", "statuses", "a~1", `{"environment":"b","state":"passed"}`, "is not of environment"},
		{"a status of no environment", "statuses", "a~1", `{"state":"passed"}`, "is not of environment"},
		{"an upgrade of another environment", "upgrades", "a~1", `{"environment":"b"}`, "is not of environment"},
	} {
		if err := try(test.kind, test.id, test.body); !errors.Is(err, kit.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestAnAgentsWordReachesItsDeployment(t *testing.T) {
	c := kittest.Start(t, Service())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, id := range []string{"one", "two"} {
		if _, err := api.Deployments.Create(ctx, c.Admin(), id, api.Deployment{Environment: "staging", Image: image}); err != nil {
			t.Fatal(err)
		}
	}
	s := api.Status{Environment: "staging", Deployment: "deployments/one", State: api.DeploymentPassed, Address: "http://x", Output: "ok"}
	if _, err := api.Statuses.Create(ctx, c.Admin(), "staging~one", s); err != nil {
		t.Fatal(err)
	}
	d, err := api.Deployments.Await(ctx, c.Admin(), "one", func(d api.Deployment) bool { return d.State.Done() })
	if err != nil || d.State != api.DeploymentPassed || d.Address != "http://x" || d.Output != "ok" {
		t.Errorf("the deployment is %+v, %v, want what its agent said", d, err)
	}
	other, err := api.Deployments.Read(ctx, c.Admin(), "two")
	if err != nil || other.State != api.DeploymentQueued {
		t.Errorf("the other deployment is %s, %v, want it left alone", other.State, err)
	}
}
