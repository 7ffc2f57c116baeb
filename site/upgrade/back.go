package upgrade

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// returns takes back to blue what was written on green since the last time.
func (d *driver) returns(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	var result returnResult
	here := func(u api.Upgrade) bool { return u.State == api.UpgradeSoak || u.State == api.UpgradeBack }
	err := d.during(ctx, r.Link, here, func(ctx context.Context, u api.Upgrade) error {
		if u.State == api.UpgradeBack {
			if why := d.inCharge(ctx, u); why != nil {
				result.Why = why.Error()
				return ctx.Err()
			}
		}
		d.slow(ctx, u)
		c, err := d.copier.Return(ctx, u.Green, u.Blue, u.Base, false)
		if err != nil {
			return fmt.Errorf("taking back to blue what was written on green: %w", err)
		}
		result.copied = copiedOf(c)
		if len(c.Failed) > 0 || len(u.Back.Quarantine) > 0 {
			all, err := d.quarantined(ctx, u)
			result.Quarantine = all[:min(len(all), api.MaxQuarantine)]
			return err
		}
		return nil
	})
	return d.unlessMoved(result, err)
}

// check tells whether a rollback without a stream back must not begin: what
// was written on green since the commit does not come along, so that it must be
// nothing, or given up. Nothing is held or fenced for it.
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
	s, why := x.leave(ctx, &u)
	if ctx.Err() != nil {
		return context.Cause(ctx) // the next run does it again
	}
	if errors.Is(why, errMoved) {
		return why
	}
	if why != nil {
		x.log.Warn("stayed with green", "upgrade", x.link, "reason", why)
		return x.reach(ctx, &u, step{State: api.UpgradeCommitted, Text: notBack + why.Error()})
	}
	s.State = api.UpgradeReopening
	return x.reach(ctx, &u, s)
}

// leave holds traffic and makes green refuse writes. It returns the decision
// for blue with its grounds, or why traffic must stay with green.
func (x *crossing) leave(ctx context.Context, u *api.Upgrade) (s step, why error) {
	held, cancel := limit(ctx, *u)
	defer cancel()
	x.began = time.Now()
	if err := x.hold(held); err != nil {
		return s, late(held, "holding", err)
	}
	s.Text = "nothing was written on green since the commit"
	if u.LoseWrites {
		s.Text = "what was written on green and is not on blue is given up"
	}
	if u.Stateless { // green may keep documents nevertheless
		bare, err := x.copier.Stateless(held, u.Green)
		s.Unfenced = err != nil || !bare
		return s, nil
	}
	if err := x.copier.Fence(held, u.Green, u.Epoch, true); err != nil {
		if !u.LoseWrites {
			return s, late(held, "fencing green", err)
		}
		x.log.Warn("green was not fenced yet", "upgrade", x.link, "group", u.Green.Group, "reason", err)
		s.Unfenced = true
		return s, nil
	}
	if u.Back == nil {
		if u.LoseWrites {
			return s, nil
		}
		return s, x.unchanged(held, *u)
	}
	all, err := x.regain(held, u)
	if err == nil || !u.LoseWrites {
		return all, err
	}
	x.log.Warn("not all that was written on green is on blue", "upgrade", x.link, "reason", err)
	return s, nil
}

// regain takes the rest of what was written on green, which is fenced, back to
// blue and verifies that it is there.
func (x *crossing) regain(held context.Context, u *api.Upgrade) (step, error) {
	final, err := x.copier.Position(held, u.Green)
	if err != nil {
		return step{}, late(held, "reading green's position", err)
	}
	if err := x.reach(held, u, step{State: api.UpgradeBack, Final: final, Text: "green is fenced at " + final}); err != nil {
		return step{}, late(held, "fencing green", err)
	}
	c, err := x.copier.Return(held, u.Green, u.Blue, u.Base, true)
	if err != nil {
		return step{}, late(held, "the last cycle back", err)
	}
	v, err := x.verify(held,
		func() (api.Verification, error) { return x.copier.VerifyBack(held, u.Green, u.Blue) },
		func() (Copied, error) { return x.copier.RepairBack(held, u.Green, u.Blue, u.Base) })
	if err != nil {
		return step{}, late(held, "verifying", err)
	}
	cycle := copiedOf(c)
	return step{Cycle: &cycle, Verified: &v, Text: "blue has all that was written on green"}, nil
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
	reasons := ""
	if len(u.OneWay) > 0 {
		reasons = " (" + strings.Join(u.OneWay, "; ") + ")"
	}
	return fmt.Errorf(`going back would lose the changes to %d of green's documents since the commit%s: to accept that, send rollback with {"loseWrites": true}`, n, reasons)
}
