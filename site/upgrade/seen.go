package upgrade

import (
	"context"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// rewatch is the time until a watch that has ended begins again.
const rewatch = time.Second

// say logs each state that an upgrade comes to, until ctx ends.
func (d *driver) say(ctx context.Context) error {
	said := map[kit.Link]int{} // moments
	for ctx.Err() == nil {
		for ch, err := range d.client.Watch(ctx, kit.WatchQuery{Kind: api.Upgrades.Name}) {
			if err != nil {
				break
			}
			u, err := api.Upgrades.Decode(ch.Record)
			if ch.Record.Deleted || err != nil {
				continue
			}
			d.sayOf(u, said)
		}
		select {
		case <-ctx.Done():
		case <-time.After(rewatch):
		}
	}
	return nil
}

// sayOf logs what is new of u.
func (d *driver) sayOf(u api.Upgrade, said map[kit.Link]int) {
	for _, m := range u.History[min(said[u.Link], len(u.History)):] {
		if m.At.Before(d.started) {
			continue // another process has said it
		}
		facts := []any{"upgrade", u.Link, "state", m.State, "at", m.At, "epoch", u.Epoch}
		if m.Text != "" {
			facts = append(facts, "text", m.Text)
		}
		if n := len(u.Cycles); n > 0 {
			facts = append(facts, "cycles", u.Cycles[n-1].Number, "left", u.Cycles[n-1].Left, "predicted", u.Cycles[n-1].Predicted.Std())
		}
		d.log.Info("reached", facts...)
	}
	said[u.Link] = len(u.History)
}
