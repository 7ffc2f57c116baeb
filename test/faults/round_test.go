package faults_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/test/harness"
)

// site is the environment in which all rounds are played, one after the other.
// Between two of them blue is in charge.
type site struct {
	whole   *testing.T
	path    *harness.Path
	load    *harness.Load
	further *harness.Role // the other front door
	door    string        // its URL
	wires   []*wire       // to blue's nodes, once the network was at fault
	blue    harness.Group
}

const rate = 60 // requests a second

// newSite starts an environment with three nodes of the first version, two
// front doors, and a load.
func newSite(t *testing.T) *site {
	t.Helper()
	p := harness.New(t, binaries)
	p.Deliver(1)
	p.Fill()
	p.Release(2)
	s := &site{whole: t, path: p}
	s.further, s.door = p.Door("further")
	groups, err := p.Groups(t.Context())
	if err != nil || len(groups) != 1 {
		t.Fatalf("there are the groups %v (%v), want blue's", groups, err)
	}
	s.blue = groups[0]
	s.load = p.NewLoad(rate)
	s.load.Rest()
	return s
}

// scene is what a fault has to deal with.
type scene struct {
	*site
	t    *testing.T
	path *harness.Path
	// sides are the nodes that ran when green began to copy.
	blueNodes, greenNodes []harness.Instance
}

// play plays a round: an upgrade with the fault at the state, the check, and,
// if green was in charge, the way back and another check.
func (s *site) play(t *testing.T, r row, at api.UpgradeState) {
	c := &scene{site: s, t: t, path: s.path.In(t)}
	s.load.In(t)
	c.settle()
	if r.wired {
		defer c.wired()()
	}
	policy := r.policy
	if policy.Budget == 0 {
		policy.Budget = 2
	}
	c.path.Policy(policy)
	heal := func() {}
	if at == api.UpgradePlanned {
		heal = r.strike(c)
	}
	s.load.Through(s.path.Front, s.door)
	if r.rate > 0 {
		s.load.Rate(r.rate)
		defer s.load.Rate(rate)
	}
	s.load.Start()
	before, _ := c.path.Latest(t.Context()) // none at first
	watched, stop := c.await(r, at)
	defer stop()
	c.path.Offer(2)
	u := c.end(before)
	if u.State == api.UpgradeSoak {
		c.check(r, "green came into charge")
		s.load.Start()
		c.path.Rollback(u.Link.ID())
	}
	stop()
	if at != api.UpgradePlanned {
		if heal = <-watched; heal == nil {
			t.Errorf("the upgrade never was %s: %s", at, history(u))
			heal = func() {}
		}
	}
	if !slices.Contains(r.ends, u.State) {
		t.Errorf("the upgrade has come to %s, want %v: %s\n%s", u.State, r.ends, u.Error, history(u))
	}
	for _, part := range r.reason {
		if !strings.Contains(u.Error, part) {
			t.Errorf("the reason is %q, want %q in it", u.Error, part)
		}
	}
	heal()
	c.check(r, "blue came into charge again")
	t.Logf("%s, pause %v, %s", u.State, u.Pause.Std().Round(time.Millisecond), history(u))
}

// check ends the load, compares what it was told with what the side in charge
// holds, and reports requests that failed and must not.
func (c *scene) check(r row, when string) {
	c.t.Helper()
	wrong := 0
	for _, f := range c.load.Finish() {
		if r.fails != nil && r.fails(c, f) {
			continue
		}
		if wrong++; wrong <= 5 {
			c.t.Errorf("while %s, a request failed (write: %v, door %s) after %v: %v", when, f.Write, f.Door, f.Ended.Sub(f.Began).Round(time.Millisecond), f.Err)
		}
	}
	if wrong > 5 {
		c.t.Errorf("and %d more failed", wrong-5)
	}
}

// end waits until the upgrade that is not before is over.
func (c *scene) end(before api.Upgrade) (u api.Upgrade) {
	c.t.Helper()
	c.path.Insist("the upgrade is over", func(ctx context.Context) (err error) {
		if u, err = c.path.Latest(ctx); err != nil {
			return err
		}
		if u.Link == before.Link || !u.State.Over() {
			return fmt.Errorf("%s is %s: %s", u.Link, u.State, history(u))
		}
		return nil
	})
	return u
}

// settle waits until all of blue's nodes answer, the second front door too, and
// what went before has been settled.
func (c *scene) settle() {
	c.t.Helper()
	c.path.Insist("everything is whole", func(ctx context.Context) error {
		c.blueNodes = c.path.Instances(ctx, c.blue)
		if len(c.blueNodes) != len(c.blue.Ports) || !slices.ContainsFunc(c.blueNodes, func(i harness.Instance) bool { return i.Leads }) {
			return fmt.Errorf("of blue there are %v", c.blueNodes)
		}
		if u, err := c.path.Latest(ctx); err == nil && !(u.State.Over() && u.Settled()) {
			return fmt.Errorf("%s is %s", u.Link, u.State)
		}
		return c.load.AwaitAnswer(ctx)
	})
}

// await strikes when the upgrade comes to the state. What heals the fault, or
// nil, can be had once.
func (c *scene) await(r row, at api.UpgradeState) (healing <-chan func(), stop func()) {
	out := make(chan func(), 1)
	j := harness.OpenJournal(c.path.Dir("unknown/node"))
	if _, err := j.Read(); err != nil { // what was before is of no interest
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(c.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer j.Close()
		heal, err := c.follow(ctx, j, r, at)
		if err != nil && ctx.Err() == nil {
			c.t.Error(err)
		}
		out <- heal
	}()
	return out, func() { cancel(); <-done }
}

// follow reads the journal until it strikes.
func (c *scene) follow(ctx context.Context, j *harness.Journal, r row, at api.UpgradeState) (func(), error) {
	for at != api.UpgradePlanned {
		records, err := j.Next(ctx)
		if err != nil {
			return nil, err
		}
		for _, record := range records {
			var u api.Upgrade
			if record.Kind != api.Upgrades.Name || json.Unmarshal(record.Body, &u) != nil || u.Blue.Group == "" {
				continue
			}
			if u.State == api.UpgradeCopying && c.greenNodes == nil {
				if c.greenNodes, err = c.nodes(ctx, u.Green.Group); err != nil {
					return nil, err
				}
			}
			if u.State != at {
				continue
			}
			began := time.Now()
			heal := r.strike(c)
			c.t.Logf("struck at %s within %v", at, time.Since(began).Round(100*time.Microsecond))
			if r.lasts > 0 {
				select {
				case <-time.After(r.lasts):
				case <-ctx.Done():
				}
				heal()
				heal = func() {}
			}
			return heal, nil
		}
	}
	return nil, nil
}

// nodes returns those of a group that run.
func (c *scene) nodes(ctx context.Context, group string) ([]harness.Instance, error) {
	groups, err := c.path.Groups(ctx)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if g.Name() == group {
			return c.path.Instances(ctx, g), nil
		}
	}
	return nil, errors.New("there is no group " + group)
}

func history(u api.Upgrade) string {
	var all []string
	for _, m := range u.History {
		text := string(m.State)
		if m.Text != "" {
			text += " (" + m.Text + ")"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}
