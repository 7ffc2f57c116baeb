package upgrade

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// leastLimit is the least time that traffic may be held, whatever the budget: see
// doc/decisions/0045.
const leastLimit = time.Second

// errOverrun is why a cutover or a rollback goes back.
var errOverrun = errors.New("traffic was held as long as it may be")

// crossing is one run of the action cutover.
type crossing struct {
	*driver
	link  kit.Link
	op    string    // the id of the action
	began time.Time // Hold was called, in this run
	bound bool      // a state from holding on was found or written
}

// cutover takes the upgrade from the state that it finds to one in which
// nothing is held. It may be repeated after a crash at any point: what was
// begun is then in the state.
func (d *driver) cutover(ctx context.Context, r kit.Record, op kit.Op) (any, error) {
	x := &crossing{driver: d, link: r.Link, op: op.ID}
	for fresh := true; ; fresh = false {
		u, err := d.read(ctx, r.Link)
		if err != nil {
			return nil, err
		}
		more, err := x.advance(ctx, u, fresh)
		switch {
		case errors.Is(err, errMoved):
			continue // another event came first, or the step was answered by another state
		case err != nil && !x.bound:
			return nil, d.lasting(u, err)
		case err != nil:
			return nil, temporary(err)
		case !more:
			return nil, nil
		}
	}
}

// advance does what the state of u is there for. In a fresh run, a hold that
// is found was begun by one that crashed.
func (x *crossing) advance(ctx context.Context, u api.Upgrade, fresh bool) (more bool, err error) {
	if u.State == api.UpgradeReady {
		if u.Waiting() || x.op != cutover(u)[0].ID {
			return false, nil // for a later attempt there is an action of its own
		}
		return true, x.attempt(ctx, u)
	}
	x.bound = true
	switch u.State {
	case api.UpgradeHolding, api.UpgradeFenced, api.UpgradeFinal, api.UpgradeVerified:
		why := errors.New("the attempt was interrupted")
		if fresh {
			why = errors.New("the agent stopped while it held traffic")
		}
		return true, x.retreat(ctx, u, why)
	case api.UpgradeReopening:
		return false, x.reopen(ctx, u)
	case api.UpgradeCommitted:
		err := x.forward(ctx, u)
		return err != nil, err // a rollback that comes next has its own action
	case api.UpgradeBack:
		return true, x.back(ctx, u)
	}
	return false, nil
}

// reach writes that u has come to the state of s, before its work begins. It
// returns errMoved if u is in another one.
func (x *crossing) reach(ctx context.Context, u *api.Upgrade, s step) error {
	s.Epoch = u.Epoch
	after, err := api.Upgrades.Send(ctx, x.client, x.link.ID(), reachedEvent, s)
	if errors.Is(err, kit.ErrConflict) {
		x.log.Info("cutover overtaken", "upgrade", x.link, "state", s.State, "reason", err)
		return errMoved
	}
	if err != nil {
		return fmt.Errorf("writing the state %s: %w", s.State, err)
	}
	*u = after
	if after.State != s.State && s.State != api.UpgradeReleased {
		return errMoved
	}
	return nil
}

// attempt tries the cutover once. What fails within the hold goes back to
// blue.
func (x *crossing) attempt(ctx context.Context, u api.Upgrade) error {
	x.bound = false
	if err := x.inCharge(ctx, u); err != nil {
		return err
	}
	s := step{State: api.UpgradeHolding}
	if !u.Stateless {
		x.calm(ctx, u)
		c, err := x.copy(ctx, u, 0, false)
		if err != nil {
			return err
		}
		s.Cycle = &c
	}
	x.bound = true
	if err := x.reach(ctx, &u, s); err != nil {
		return err
	}
	err := x.cross(ctx, &u)
	if err == nil || errors.Is(err, errMoved) {
		return err
	}
	return x.retreat(ctx, u, err)
}

// limit returns a context for the time that traffic may be held.
func limit(ctx context.Context, u api.Upgrade) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, max(leastLimit, u.Budget.Std()), errOverrun)
}

// cross takes u from holding to committed. The order matters: blue is fenced
// before its last position is read, and everything up to there is on green
// and verified before the commit.
func (x *crossing) cross(ctx context.Context, u *api.Upgrade) error {
	held, cancel := limit(ctx, *u)
	defer cancel()
	x.began = time.Now()
	if err := x.hold(held); err != nil {
		return late(held, "holding", err)
	}
	if u.Stateless {
		return x.reach(ctx, u, step{State: api.UpgradeCommitted})
	}
	if err := x.copier.Fence(held, u.Blue, u.Epoch, true); err != nil {
		return late(held, "fencing blue", err)
	}
	final, err := x.copier.Position(held, u.Blue)
	if err != nil {
		return late(held, "reading blue's position", err)
	}
	// Each state is written while what comes next is done: the next one can only
	// be written after it.
	was := *u
	var c copied
	err = both(held,
		func(ctx context.Context) error { return x.reach(ctx, u, step{State: api.UpgradeFenced, Final: final}) },
		func(ctx context.Context) (err error) { c, err = x.copy(ctx, was, 0, true); return err })
	if err != nil {
		return late(held, "the final cycle", err)
	}
	var v api.Verification
	err = both(held,
		func(ctx context.Context) error { return x.reach(ctx, u, step{State: api.UpgradeFinal, Cycle: &c}) },
		func(ctx context.Context) (err error) {
			v, err = x.verify(ctx,
				func() (api.Verification, error) { return x.copier.Verify(ctx, was.Blue, was.Green) },
				func() (Copied, error) { return x.copier.Repair(ctx, was.Blue, was.Green) })
			return err
		})
	if err != nil {
		return late(held, "verifying", err)
	}
	var base string
	err = both(held,
		func(ctx context.Context) error {
			return x.reach(ctx, u, step{State: api.UpgradeVerified, Verified: &v})
		},
		func(ctx context.Context) (err error) { base, err = x.copier.Position(ctx, was.Green); return err })
	if err != nil {
		return late(held, "reading green's position", err)
	}
	return x.reach(ctx, u, step{State: api.UpgradeCommitted, Base: base})
}

// both does two things at once, and returns the error of the one that failed
// first, which ends the other.
func both(ctx context.Context, one, other func(context.Context) error) error {
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return one(ctx) })
	all.Go(func() error { return other(ctx) })
	return all.Wait()
}

// verify compares the sides. In what they differ is copied again once.
func (x *crossing) verify(ctx context.Context, compare func() (api.Verification, error), repair func() (Copied, error)) (api.Verification, error) {
	v, err := compare()
	if err != nil || v.Different == 0 {
		return v, err
	}
	c, err := repair()
	if err != nil {
		x.log.Warn("what differs was not copied again", "upgrade", x.link, "buckets", v.Different, "error", err)
		return v, ctx.Err()
	}
	x.log.Warn("what differed was copied again", "upgrade", x.link, "buckets", v.Different, "documents", c.Documents)
	return compare()
}

// late says what was being done when err came, and that time is up if it is.
func late(ctx context.Context, doing string, err error) error {
	if context.Cause(ctx) == errOverrun && !errors.Is(err, errMoved) {
		return fmt.Errorf("%s: %w", doing, errOverrun)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// retreat puts blue in charge again. If the write that commits u is still on
// its way, one of the two is refused.
func (x *crossing) retreat(ctx context.Context, u api.Upgrade, why error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx) // the next run does it
	}
	x.log.Warn("went back to blue", "upgrade", x.link, "attempt", u.Attempts, "reason", why)
	return x.reach(ctx, &u, step{State: api.UpgradeReopening, Text: why.Error()})
}

// reopen lets traffic go to blue.
func (x *crossing) reopen(ctx context.Context, u api.Upgrade) error {
	if err := x.favour(ctx, u); err != nil {
		return err
	}
	_, err := api.Upgrades.Send(ctx, x.client, x.link.ID(), reopenedEvent, reopenedArgs{Epoch: u.Epoch, Text: x.heldFor(), Pause: x.pause()})
	if errors.Is(err, kit.ErrConflict) {
		return errMoved
	}
	return err
}

// forward lets traffic go to green.
func (x *crossing) forward(ctx context.Context, u api.Upgrade) error {
	if !first(u) && !u.Stateless {
		if err := x.copier.Fence(ctx, u.Green, u.Epoch, false); err != nil {
			return fmt.Errorf("lifting green's fence: %w", err)
		}
	}
	if err := x.open(ctx, u.Green, u.Epoch); err != nil {
		return fmt.Errorf("opening to green: %w", err)
	}
	s := step{State: api.UpgradeReleased, Text: x.heldFor(), Pause: x.pause()}
	if err := x.quicken(ctx, u); err != nil {
		return err
	}
	if err := x.reach(ctx, &u, s); err != nil {
		return err
	}
	x.log.Info("opened to green", "upgrade", u.Link, "group", u.Green.Group, "epoch", u.Epoch, "pause", u.Pause.Std())
	return nil
}

// pause returns how long traffic was held in this run, 0 if that is not known.
func (x *crossing) pause() api.Duration {
	if x.began.IsZero() {
		return 0
	}
	return api.Seconds(time.Since(x.began))
}

// heldFor says how long traffic was held in this run.
func (x *crossing) heldFor() string {
	if x.began.IsZero() {
		return ""
	}
	return "held for " + time.Since(x.began).Round(100*time.Microsecond).String()
}
