package agent

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

// notes returns a client of the platform behind the front door.
func (s *site) notes(group string) kit.Client {
	s.t.Helper()
	return s.client("http://"+s.front, group)
}

// direct returns a client of the group's first instance, which does not go
// through the front door.
func (s *site) direct(group string) kit.Client {
	s.t.Helper()
	g, err := s.agent.groups.find(s.t.Context(), group)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.client(g.urls()[0], group)
}

// client returns one of the group's administrator at the URL.
func (s *site) client(url, group string) kit.Client {
	s.t.Helper()
	g, err := s.agent.groups.find(s.t.Context(), group)
	if err != nil {
		s.t.Fatal(err)
	}
	token, err := s.agent.groups.adminToken(g)
	if err != nil || token == "" {
		s.t.Fatalf("the administrator's token is %q, %v", token, err)
	}
	c, err := rest.NewClient(url, token, rest.ClientOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// rehearse orders a rehearsal.
func (h *testHub) rehearse(id, image string) {
	h.t.Helper()
	d := api.Deployment{Environment: environmentName, Project: "program", Image: image, Rehearse: true, State: api.DeploymentQueued}
	if _, err := api.Deployments.Create(h.t.Context(), h.Admin(), id, d); err != nil {
		h.t.Fatal(err)
	}
}

func TestARehearsalLeavesAllAsItIs(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen})
	s := newSite(t, h)
	s.start()
	h.rehearse("early", h.push(imageOf(t, "platform", "one")))
	if early := h.await("early", ended); !strings.Contains(early.Error, "nothing runs here yet") {
		t.Errorf("before the first deployment: %s, %q", early.State, early.Error)
	}
	h.deploy("first", h.push(imageOf(t, "platform", "one")))
	h.passes("first")
	end := write(t, s.notes("program-1"))
	h.rehearse("rehearsal", h.push(imageOf(t, "platform", "two")))
	done := h.passes("rehearsal")
	end()
	if !strings.Contains(done.Output, "the upgrade would succeed") || !strings.Contains(done.Output, "predicted pause") {
		t.Errorf("the report is %q", done.Output)
	}
	u, err := api.Upgrades.Read(t.Context(), s.agent.Client("services/agent"), done.Upgrade.ID()[len(environmentName)+1:])
	if err != nil || u.State != api.UpgradeRehearsed || u.Rehearsal.Blue.Disk == 0 || u.Pause != 0 {
		t.Errorf("the upgrade is %+v, %v; want it rehearsed, with figures and without a pause", u, err)
	}
	s.nothingLeft("program-1")
	h.rehearse("same", h.push(imageOf(t, "platform", "one")))
	if same := h.await("same", ended); !strings.Contains(same.Error, "runs already") {
		t.Errorf("a rehearsal of what runs: %s, %q", same.State, same.Error)
	}
}

func TestARehearsalSaysFirstWhatCannotBeTakenBack(t *testing.T) {
	u := api.Upgrade{OneWay: []string{"accounts: Func has no inverse"}, Rehearsal: &api.Rehearsal{}}
	lines := strings.Split(findings(u), "\n")
	if lines[0] != "no way back without loss: accounts: Func has no inverse" || lines[len(lines)-1] != "the upgrade would succeed" {
		t.Errorf("the report is %q", lines)
	}
}

// goesBack goes back from the upgrade of the deployment, once something that was
// written on green has been taken back, and returns an error unless that goes
// well.
func (s *site) goesBack(deployed api.Status) error {
	ctx, agent := s.t.Context(), s.agent.Client("services/agent")
	id := deployed.Upgrade.ID()[len(environmentName)+1:]
	behind := func(u api.Upgrade) bool { return u.Back != nil && u.Back.Documents > 0 }
	if _, err := api.Upgrades.Await(ctx, agent, id, behind); err != nil {
		return fmt.Errorf("waiting for the first writes to be taken back: %w", err)
	}
	if _, err := api.Upgrades.Send(ctx, agent, id, "rollback", nil); err != nil {
		return err
	}
	u, err := api.Upgrades.Await(ctx, agent, id, func(u api.Upgrade) bool { return u.State.Over() && u.Settled() })
	if err != nil || u.State != api.UpgradeRolledBack || u.Back.Verified == nil || u.Back.Pause <= 0 {
		return fmt.Errorf("the upgrade is %s, %s, back %+v, %v; want it rolled back", u.State, u.Error, u.Back, err)
	}
	s.t.Logf("%d taken back in %d cycles, pause %v of %v", u.Back.Documents, u.Back.Cycles, u.Back.Pause.Std(), u.Budget.Std())
	return nil
}

func TestGoingBackLosesNoWrite(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen})
	s := newSite(t, h)
	s.start()
	h.deploy("first", h.push(imageOf(t, "platform", "one")))
	h.passes("first")
	c := s.notes("program-1")
	end := write(t, c)
	h.deploy("second", h.push(imageOf(t, "platform", "two")))
	second := h.passes("second")
	err := s.goesBack(second)
	written := end()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d notes", len(written))
	for _, id := range written {
		if _, err := c.Read(t.Context(), kit.NewLink("notes", id), kit.ReadOptions{}); err != nil {
			t.Errorf("a note that was acknowledged: %v", err)
		}
	}
}

func TestUpgradesQueueUp(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen, Upgrades: api.UpgradePolicy{Hold: api.HoldManual}})
	s := newSite(t, h)
	s.start()
	h.deploy("first", h.push(programImage(t, "one")))
	h.passes("first")
	h.deploy("second", h.push(programImage(t, "two")))
	second := h.await("second", func(s api.Status) bool { return s.Step == "ready, waits for go" })
	h.deploy("third", h.push(programImage(t, "three")))
	agent := s.agent.Client("services/agent")
	id := second.Upgrade.ID()[len(environmentName)+1:]
	w := &worker{client: agent, groups: s.agent.groups}
	if _, err := w.retire(t.Context(), 1, false); !errors.Is(err, kit.ErrUnavailable) || !strings.Contains(err.Error(), "upgrades/"+id) {
		t.Errorf("a second upgrade at once: %v, want it to wait for %s", err, id)
	}
	if _, err := api.Upgrades.Send(t.Context(), agent, id, "go", nil); err != nil {
		t.Fatal(err)
	}
	h.passes("second")
	third := h.await("third", func(s api.Status) bool { return s.Step == "ready, waits for go" })
	if _, err := api.Upgrades.Send(t.Context(), agent, third.Upgrade.ID()[len(environmentName)+1:], "go", nil); err != nil {
		t.Fatal(err)
	}
	h.passes("third")
	s.shows("three")
	before, err := api.Upgrades.Read(t.Context(), agent, id)
	after, err2 := api.Upgrades.Read(t.Context(), agent, third.Upgrade.ID()[len(environmentName)+1:])
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	released := time.Time{}
	for _, m := range before.History {
		if m.State == api.UpgradeSoak {
			released = m.At
		}
	}
	if after.Created.Before(released) {
		t.Errorf("the third began at %v, before the second had ended at %v", after.Created, released)
	}
}
