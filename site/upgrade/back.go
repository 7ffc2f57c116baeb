package upgrade

import (
	"context"
	"fmt"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// check tells whether a rollback must not begin. Until the reverse copy
// exists, what was written on green since the commit does not come along, so
// that it must be nothing, or given up. Nothing is held or fenced for it.
func (d *driver) check(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	u, err := d.read(ctx, r.Link)
	if err != nil || u.State != api.UpgradeBack {
		return nil, err
	}
	why := d.inCharge(ctx, u)
	if why == nil && !u.LoseWrites {
		why = d.unchanged(ctx, u)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	result := checkResult{Epoch: u.Epoch}
	if why != nil {
		result.Why = why.Error()
	}
	return result, nil
}

// back takes a rollback up to the decision: to blue, or to stay with green.
func (x *crossing) back(ctx context.Context, u api.Upgrade) error {
	unfenced, why := x.leave(ctx, u)
	if ctx.Err() != nil {
		return context.Cause(ctx) // the next run does it again
	}
	if why != nil {
		x.log.Warn("stayed with green", "upgrade", x.link, "reason", why)
		return x.reach(ctx, &u, step{State: api.UpgradeCommitted, Text: notBack + why.Error()})
	}
	text := "nothing was written on green since the commit"
	if u.LoseWrites {
		text = "what was written on green since the commit is given up"
	}
	return x.reach(ctx, &u, step{State: api.UpgradeReopening, Unfenced: unfenced, Text: text})
}

// leave holds traffic and makes green refuse writes. It tells whether green
// could not be reached for that, or why traffic must stay with green.
func (x *crossing) leave(ctx context.Context, u api.Upgrade) (unfenced bool, why error) {
	held, cancel := limit(ctx, u)
	defer cancel()
	x.began = time.Now()
	if err := x.hold(held); err != nil {
		return false, late(held, "holding", err)
	}
	if u.Stateless { // green may keep documents nevertheless
		bare, err := x.copier.Stateless(held, u.Green)
		return err != nil || !bare, nil
	}
	if err := x.copier.Fence(held, u.Green, u.Epoch, true); err != nil {
		if !u.LoseWrites {
			return false, late(held, "fencing green", err)
		}
		x.log.Warn("green was not fenced yet", "upgrade", x.link, "group", u.Green.Group, "reason", err)
		return true, nil
	}
	if u.LoseWrites {
		return false, nil
	}
	return false, x.unchanged(held, u)
}

// unchanged returns nil if nothing was written on green since the commit, or
// says what going back would lose.
func (d *driver) unchanged(ctx context.Context, u api.Upgrade) error {
	if u.Stateless {
		bare, err := d.copier.Stateless(ctx, u.Green)
		if err != nil || bare {
			return err
		}
	}
	n, err := d.copier.Changed(ctx, u.Green, u.Base)
	if err != nil {
		return fmt.Errorf(`green does not say what was written since the commit: %w; to give that up, send rollback with {"loseWrites": true}`, err)
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf(`going back would lose the changes to %d of green's documents since the commit: to accept that, send rollback with {"loseWrites": true}`, n)
}
