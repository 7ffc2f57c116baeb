package linear

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
)

// TestFullDiskStopsItsNodeAlone fills the disk of a follower and writes until
// its log finds no room: the node ends and says why, the others go on, and
// with space again it comes back with everything.
func TestFullDiskStopsItsNodeAlone(t *testing.T) {
	c := newCluster(t, atOnce, 3, 1, 30*time.Second)
	full := c.members[1]
	full.fill()
	ended := func() bool {
		full.mu.Lock()
		defer full.mu.Unlock()
		return !full.runs()
	}
	client := c.client(0, false)
	body := fmt.Appendf(nil, `{"text":%q}`, strings.Repeat("x", 700_000))
	written := 0
	for ; !ended(); written++ { // the log takes its space in large pieces
		if written == 400 {
			t.Fatalf("the node whose disk is full still runs after %d writes of %d bytes", written, len(body))
		}
		c.until("the others take a write", func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			_, err := client.Create(ctx, "entries", fmt.Sprintf("large-%d", written), body)
			if kit.FaultOf(err) == kit.ErrConflict {
				return nil // it was made by an attempt whose answer was lost
			}
			if err != nil {
				return err
			}
			return client.Delete(ctx, kit.NewLink("entries", fmt.Sprintf("large-%d", written)), 0)
		})
	}
	if said := full.said(5); !bytes.Contains(said, []byte("is full")) {
		t.Errorf("the node does not say that the disk is full:\n%s", said)
	}
	c.until("the others take a write without it", func(ctx context.Context) error {
		_, err := client.Create(ctx, "entries", "last", []byte(`{"text":"last"}`))
		return err
	})
	full.free()
	c.until("the node has come back with everything", func(ctx context.Context) error {
		entries, err := c.all(ctx, 1, "entries")
		if _, ok := entries["entries/last"]; err == nil && !ok {
			err = errors.New("the last entry is missing")
		}
		return err
	})
	t.Logf("it ended after %d writes", written)
}
