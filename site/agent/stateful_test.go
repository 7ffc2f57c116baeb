package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

func TestAPlatformsDocumentsComeAlong(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen, Nodes: 2})
	s := newSite(t, h)
	s.start()
	h.deploy("first", h.push(imageOf(t, "platform", "one")))
	h.passes("first")
	g, err := s.agent.groups.find(t.Context(), "program-1")
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.agent.groups.adminToken(g)
	if err != nil || token == "" {
		t.Fatalf("the administrator's token is %q, %v", token, err)
	}
	c, err := rest.NewClient("http://"+s.front, token, rest.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}

	end := write(t, c)
	h.deploy("second", h.push(imageOf(t, "platform", "two")))
	second := h.passes("second")
	written := end()
	u, err := api.Upgrades.Read(t.Context(), h.Admin(), second.Upgrade.ID())
	if err != nil || u.Verified == nil || u.Verified.Different != 0 || u.Green.Group != "program-2" {
		t.Errorf("the upgrade is %+v, %v; want it verified", u, err)
	}
	t.Logf("%d notes, cycles %d, pause %v", len(written), len(u.Cycles), u.Pause.Std())
	for _, id := range written {
		if _, err := c.Read(t.Context(), kit.NewLink("notes", id), kit.ReadOptions{}); err != nil {
			t.Errorf("a note that was acknowledged: %v", err)
		}
	}
	inherited, err := s.agent.groups.find(t.Context(), "program-2")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.agent.groups.adminToken(inherited); err != nil || got != token {
		t.Errorf("green's administrator's token differs, %v", err)
	}
}

// write makes notes until the returned function is called, which returns the
// ids of those that were acknowledged. A write that fails fails t.
func write(t *testing.T, c kit.Client) (end func() []string) {
	ctx, cancel := context.WithCancel(t.Context())
	var g sync.WaitGroup
	var mu sync.Mutex
	var written []string
	for w := range 4 {
		g.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("w%d-%d", w, n)
				_, err := c.Create(context.WithoutCancel(ctx), "notes", id, []byte(`{"text":"x"}`))
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("a write failed: %v", err)
					return
				}
				mu.Lock()
				written = append(written, id)
				mu.Unlock()
			}
		})
	}
	return func() []string {
		cancel()
		g.Wait()
		return written
	}
}
