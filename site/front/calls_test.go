package front

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
)

// A client that coalesces sends many calls in one request: the door makes them
// wait as one, and none of them is lost or made twice, with a fence or without.
func TestCallsThatShareRequestsPassASwitch(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	blue := Route{Epoch: 1, Side: "blue", Backends: []string{strings.TrimPrefix(c.URL(), "http://")}}
	green := blue
	green.Side = "green" // the same data, as after a migration
	h := opened(t, Options{}, blue)
	client, err := rest.NewClient(h.url, c.Token("users/admin"), rest.ClientOptions{Coalesce: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var done atomic.Int64
	var finish atomic.Bool
	var users sync.WaitGroup
	const all = 32
	stars := make([]int, all)
	for n := range all {
		link := kittest.Notes.Link(fmt.Sprint("n", n))
		if _, err := client.Create(ctx, "notes", link.ID(), []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
		users.Go(func() {
			for !finish.Load() {
				if _, err := client.Do(ctx, link, "star", nil); err != nil {
					t.Errorf("user %d: %v", n, err)
					return
				}
				stars[n]++
				if r, err := kittest.Notes.Read(ctx, client, link.ID()); err != nil || r.Stars != stars[n] {
					t.Errorf("user %d read %d stars, %v, want %d", n, r.Stars, err, stars[n])
					return
				}
				done.Add(1)
			}
		})
	}
	sides := []Route{green, blue}
	for epoch := int64(2); epoch < 6; epoch++ {
		before := done.Load()
		eventually(t, "traffic flows", func() bool { return done.Load() > before+all })
		fence := func(on bool) {
			t.Helper()
			if _, err := c.Write(ctx, store.Proposal{Fence: &store.Fence{Epoch: epoch, On: on}}); err != nil {
				t.Fatal(err)
			}
		}
		if epoch%2 == 0 {
			fence(true) // before the door knows
		}
		if err := h.Hold(ctx); err != nil {
			t.Fatalf("hold: %v", err)
		}
		if epoch%2 == 0 {
			fence(false)
		}
		next := sides[epoch%2]
		next.Epoch = epoch
		h.open(t, next)
	}
	finish.Store(true)
	users.Wait()
	if s := h.State(); s.Failed != 0 {
		t.Errorf("the door has failed %d requests", s.Failed)
	}
}
