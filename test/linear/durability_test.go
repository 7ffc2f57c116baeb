package linear

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/platform"
)

// TestDurabilityIsWhatTheRequestAsksFor writes with each durability while
// followers are slow or stopped.
func TestDurabilityIsWhatTheRequestAsksFor(t *testing.T) {
	c := newCluster(t, atOnce, 3, -1, time.Minute)
	leader := c.leader(t.Context())
	slow := c.members[(leader+1)%3]
	slow.slow(100 * time.Millisecond)
	client := c.client(leader, false)
	for n := range 10 {
		link := kit.NewLink("entries", fmt.Sprint("all-", n))
		if _, err := client.Create(t.Context(), "entries", link.ID(), []byte(`{"text":"all"}`), kit.Acknowledged(kit.All)); err != nil {
			t.Fatalf("a write to all members with a slow one: %v", err)
		}
		for i, m := range c.members {
			if _, err := c.client(i, true).Read(t.Context(), link, kit.ReadOptions{Consistency: kit.Eventual}); err != nil {
				t.Errorf("%s does not have %s, which all were to have: %v", m.name, link, err)
			}
		}
	}
	slow.slow(0)

	for i, m := range c.members {
		if i != leader {
			m.pause()
		}
	}
	short := func(durability kit.Durability, id string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := c.client(leader, true).Create(ctx, "entries", id, []byte(`{"text":"alone"}`), kit.Acknowledged(durability))
		return err
	}
	if err := short(kit.Async, "async"); err != nil {
		t.Errorf("the leader alone did not take a write that it may acknowledge alone: %v", err)
	}
	if err := short(kit.Quorum, "quorum"); err == nil {
		t.Error("the leader alone acknowledged a write to a majority")
	}
	if err := short(kit.All, "everyone"); err == nil {
		t.Error("the leader alone acknowledged a write to all members")
	}
	for _, m := range c.members {
		m.resume()
	}
	c.until("a write to all is acknowledged again", func(ctx context.Context) error {
		_, err := client.Create(ctx, "entries", "again", []byte(`{"text":"again"}`), kit.Acknowledged(kit.All))
		if kit.FaultOf(err) == kit.ErrConflict {
			return nil
		}
		return err
	})
}

// TestDeadVoterIsReplaced kills one of five voters of six nodes: after the
// grace it is removed, and the sixth has its vote.
func TestDeadVoterIsReplaced(t *testing.T) {
	c := newCluster(t, atOnce, 6, -1, 2*time.Second)
	client := c.client(0, false)
	if _, err := client.Create(t.Context(), "registers", "kept", []byte(`{"value":1}`)); err != nil {
		t.Fatal(err)
	}
	before, err := c.membership(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var dead *member
	for _, m := range before.Members {
		if i := slices.IndexFunc(c.members, func(of *member) bool { return of.url == m.URL }); m.Voter && !m.Leader && i >= 0 {
			dead = c.members[i]
		}
	}
	dead.kill()
	c.until("five voters are alive, and the dead one is not among them", func(ctx context.Context) error {
		seen, err := c.membership(ctx)
		if err != nil {
			return err
		}
		voters := 0
		for _, m := range seen.Members {
			if m.URL == dead.url {
				return fmt.Errorf("%s is a member still: %+v", dead.name, m)
			}
			if m.Voter && m.Alive {
				voters++
			}
		}
		if voters != 5 {
			return fmt.Errorf("%d are", voters)
		}
		return nil
	})
	if _, err := client.Update(t.Context(), "registers/kept", []byte(`{"value":2}`), 1); err != nil {
		t.Errorf("the cluster of five takes no write: %v", err)
	}
}

// membership returns what the first member that answers says of all.
func (c *cluster) membership(ctx context.Context) (platform.Membership, error) {
	var seen platform.Membership
	var err error
	for _, m := range c.members {
		once, cancel := context.WithTimeout(ctx, attempt)
		err = c.ask(once, m, platform.MembersPath, c.admin, &seen)
		cancel()
		if err == nil {
			return seen, nil
		}
	}
	return seen, err
}
