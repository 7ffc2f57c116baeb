package linear

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"landfall.dev/kit"
)

// TestLeaderThatWasPausedAnswersNothingOld stops a leader until another one
// has written a document, and only then asks the former about it: what it
// answers when it goes on must know of the document.
func TestLeaderThatWasPausedAnswersNothingOld(t *testing.T) {
	const rounds, asks = 8, 200
	c := newCluster(t, atOnce, 3, -1, 30*time.Second)
	for round := range rounds {
		i := c.leader(t.Context())
		old, rest := c.client(i, true), c.client(i+1, false)
		link := kit.NewLink("registers", fmt.Sprint("paused-", round))
		ask := func(ctx context.Context, n int) error {
			if n%2 == 0 {
				_, err := old.Update(ctx, link, []byte(`{}`), 0)
				return err
			}
			_, err := old.Read(ctx, link, kit.ReadOptions{Consistency: kit.Linearizable})
			return err
		}
		all := func(ctx context.Context, each func(n int, err error)) {
			var g sync.WaitGroup
			for n := range asks {
				g.Go(func() { each(n, ask(ctx, n)) })
			}
			g.Wait()
		}
		all(t.Context(), func(int, error) {}) // there are connections now
		c.members[i].pause()
		c.until("another leader has made the document", func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, attempt)
			defer cancel()
			_, err := rest.Create(ctx, "registers", link.ID(), []byte(`{"value":1}`))
			if kit.FaultOf(err) == kit.ErrConflict {
				return nil // the first attempt had made it
			}
			return err
		})
		resume := time.AfterFunc(300*time.Millisecond, c.members[i].resume) // after the questions are on their way
		all(t.Context(), func(n int, err error) {
			if kit.FaultOf(err) == kit.ErrNotFound {
				t.Errorf("round %d: question %d to the former leader was answered: %v", round, n, err)
			}
		})
		resume.Stop()
		c.members[i].resume()
	}
}
