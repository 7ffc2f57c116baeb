package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/site/upgrade/spare"
)

// patience is how long an action before the cutover is tried again without
// any progress.
const patience = 2 * time.Minute

// driver carries out what upgrades wish for.
type driver struct {
	client  kit.Client
	copier  Copier
	groups  Groups
	health  Health
	log     *slog.Logger
	started time.Time

	door sync.Mutex // held over each call of gate
	gate Gate
}

func (d *driver) hold(ctx context.Context) error {
	d.door.Lock()
	defer d.door.Unlock()
	return d.gate.Hold(ctx)
}

func (d *driver) open(ctx context.Context, side api.Side, epoch int64) error {
	d.door.Lock()
	defer d.door.Unlock()
	return d.gate.Open(ctx, side, epoch)
}

func (d *driver) read(ctx context.Context, l kit.Link) (api.Upgrade, error) {
	return api.Upgrades.Read(ctx, d.client, l.ID())
}

// temporary returns err as one that is tried again whatever it is: the
// decision has been made and has to be carried out.
func temporary(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%v", err) // without its fault
}

// lasting returns err, and makes it final if u has not moved for long while
// this process was there.
func (d *driver) lasting(u api.Upgrade, err error) error {
	if err == nil || time.Since(u.Updated) < patience || time.Since(d.started) < patience {
		return err
	}
	return &kit.Error{Fault: kit.ErrConflict, Detail: fmt.Sprintf("no progress for %v: %v", patience, err)}
}

// errMoved is why an action ends early.
var errMoved = errors.New("the upgrade is in another state by now")

// during runs work if the upgrade is in such a state, and ends work's context
// when it leaves it. It returns errMoved if it was not, or left.
func (d *driver) during(ctx context.Context, l kit.Link, here func(api.Upgrade) bool, work func(context.Context, api.Upgrade) error) error {
	u, err := d.read(ctx, l)
	if err != nil {
		return err
	}
	if !here(u) {
		return errMoved
	}
	s := u.State
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		_, err := api.Upgrades.Await(ctx, d.client, l.ID(), func(u api.Upgrade) bool { return u.State != s })
		if err == nil || errors.Is(err, kit.ErrNotFound) {
			cancel(errMoved)
		}
	})
	err = work(ctx, u)
	moved := errors.Is(context.Cause(ctx), errMoved)
	cancel(nil)
	watch.Wait()
	if moved {
		return errMoved
	}
	return d.lasting(u, err)
}

// inStates is for during.
func inStates(states ...api.UpgradeState) func(api.Upgrade) bool {
	return func(u api.Upgrade) bool { return slices.Contains(states, u.State) }
}

// provision starts green beside blue, or alone.
func (d *driver) provision(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	var result provisionResult
	err := d.during(ctx, r.Link, inStates(api.UpgradeProvision), func(ctx context.Context, u api.Upgrade) (err error) {
		result.Sparing = d.sparing(u)
		if err := d.inCharge(ctx, u); err != nil {
			return err
		}
		if !first(u) {
			if result.Stateless, err = d.copier.Stateless(ctx, u.Blue); err != nil {
				return fmt.Errorf("asking blue whether it keeps documents: %w", err)
			}
			if err := d.fits(ctx, u); err != nil {
				return err
			}
		}
		standby := !first(u) && !result.Stateless
		if result.Green, err = d.groups.Start(ctx, u.Green, standby); err != nil || !standby {
			return err
		}
		bare, err := d.copier.Stateless(ctx, result.Green)
		if err == nil && bare {
			err = kit.Errorf(kit.ErrConflict, "", "blue keeps documents and green keeps none: they would be lost")
		}
		if err != nil || u.WayBack == api.WayBackNone {
			return err
		}
		if result.OneWay, err = d.copier.Irreversible(ctx, u.Blue, result.Green); err != nil {
			return fmt.Errorf("asking green whether its documents can be taken back: %w", err)
		}
		return nil
	})
	return d.unlessMoved(result, err)
}

// fits returns ErrConflict with the figures if the machine has no room for
// green, which needs about as much as blue takes. What is not known fits.
func (d *driver) fits(ctx context.Context, u api.Upgrade) error {
	blue, err := d.copier.Room(ctx, u.Blue)
	if err != nil {
		return fmt.Errorf("asking blue what it takes: %w", err)
	}
	free, err := d.groups.Free(ctx)
	if err != nil {
		return fmt.Errorf("measuring what is free: %w", err)
	}
	for _, r := range []struct {
		what         string
		needed, free int64
	}{{"memory", blue.Memory, free.Memory}, {"disk", blue.Disk, free.Disk}} {
		if r.free > 0 && r.needed > r.free {
			return kit.Errorf(kit.ErrConflict, "", "there is no room to run both sides: green needs about %s of %s, as blue takes, and %s are free: make room, or move other work to another machine",
				bytes(r.needed), r.what, bytes(r.free))
		}
	}
	return nil
}

// bytes writes an amount for people.
func bytes(n int64) string {
	const mega = 1 << 20
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/mega)
}

// inCharge returns ErrConflict if another upgrade of the environment has a
// higher epoch: it has decided since where traffic goes, or will.
func (d *driver) inCharge(ctx context.Context, u api.Upgrade) error {
	for other, err := range api.Upgrades.All(ctx, d.client, fmt.Sprintf("environment == %q", u.Environment), "") {
		if err != nil {
			return err
		}
		if other.Epoch >= u.Epoch && other.Link != u.Link && !other.Rehearse {
			return kit.Errorf(kit.ErrConflict, "", "%s, at epoch %d, came after this upgrade, at epoch %d", other.Link, other.Epoch, u.Epoch)
		}
	}
	return nil
}

// unlessMoved returns an action's outcome; what has moved on is not told.
func (d *driver) unlessMoved(result any, err error) (any, error) {
	if errors.Is(err, errMoved) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return result, nil
}

// cycle copies what has changed since the last cycle.
func (d *driver) cycle(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	var result copied
	err := d.during(ctx, r.Link, inStates(api.UpgradeCopying, api.UpgradeReady), func(ctx context.Context, u api.Upgrade) (err error) {
		d.slow(ctx, u)
		beside, stop := context.WithCancel(ctx)
		var ended sync.WaitGroup
		p := newPacer(u)
		ended.Go(func() { d.tell(beside, u, p) })
		ended.Go(func() { d.pace(beside, u, p) })
		result, err = d.copy(ctx, u, bound(u), false)
		stop()
		ended.Wait()
		result.Sparing, result.Bound = sparingOf(p.Control()), p.Lowest()
		return err
	})
	return d.unlessMoved(result, err)
}

// tellEvery is how often a running cycle tells how far it has come.
const tellEvery = time.Second

// tell writes into u how far its cycle has come, until ctx ends. It is for who
// looks on: an error is no reason to stop copying.
func (d *driver) tell(ctx context.Context, u api.Upgrade, p *spare.Pacer) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		here, err := d.copier.Documents(ctx, u.Green)
		var all int64
		if err == nil {
			all, err = d.copier.Documents(ctx, u.Blue)
		}
		if err == nil {
			_, err = api.Upgrades.Send(ctx, d.client, u.Link.ID(), copyingEvent, copyingArgs{api.Copying{Documents: here, Of: all}, sparingOf(p.Control())})
		}
		if err != nil && ctx.Err() == nil {
			d.log.Warn("how far the copy has come is not known", "upgrade", u.Link, "error", err)
		}
	}
}

// copy copies what has changed since the last cycle, at no more than rate
// documents a second; 0 is no bound.
func (d *driver) copy(ctx context.Context, u api.Upgrade, rate float64, final bool) (copied, error) {
	c, err := d.copier.Cycle(ctx, u.Blue, u.Green, rate, final)
	if err != nil {
		return copied{}, fmt.Errorf("copying: %w", err)
	}
	result := copiedOf(c)
	if final || len(c.Failed) == 0 && len(u.Quarantine) == 0 {
		return result, nil
	}
	if err := d.isolate(ctx, u, &result); err != nil {
		return copied{}, fmt.Errorf("copying: %w", err)
	}
	return result, nil
}

func copiedOf(c Copied) copied {
	return copied{
		Cycle: api.Cycle{
			Documents: c.Documents, Deletions: c.Deletions, Bytes: c.Bytes, Left: c.Left,
			Seconds: c.Took.Seconds(),
		},
		Failed: c.Failed,
	}
}

// favour lifts blue's fence and opens the gate to it. What a newer decision
// than this upgrade's has changed is left so.
func (d *driver) favour(ctx context.Context, u api.Upgrade) error {
	outdated := func(doing string, err error) error {
		if errors.Is(err, kit.ErrConflict) {
			d.log.Error("a newer decision was found", "upgrade", u.Link, "doing", doing, "error", err)
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		return nil
	}
	if !u.Stateless {
		if err := outdated("lifting blue's fence", d.copier.Fence(ctx, u.Blue, u.Epoch, false)); err != nil {
			return err
		}
	}
	if err := outdated("opening to blue", d.open(ctx, u.Blue, u.Epoch)); err != nil {
		return err
	}
	return d.quicken(ctx, u)
}

// abort makes sure that blue goes on, and deletes green.
func (d *driver) abort(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	u, err := d.read(ctx, r.Link)
	if err != nil || u.State != api.UpgradeAborting {
		return nil, err
	}
	undo := d.quicken // it has touched blue and the gate only if it was about to hold
	if _, held := last(u, api.UpgradeHolding); held {
		undo = d.favour
	}
	if err := undo(ctx, u); err != nil {
		return nil, temporary(err)
	}
	if err := d.lasting(u, temporary(d.groups.Stop(ctx, u.Green))); err != nil {
		return nil, err
	}
	d.log.Info("aborted", "upgrade", u.Link, "reason", u.Error)
	return nil, nil
}

// fence puts up green's fence after a rollback that could not reach it.
func (d *driver) fence(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	u, err := d.read(ctx, r.Link)
	if err != nil || u.State != api.UpgradeReopening && u.State != api.UpgradeRolledBack {
		return nil, err
	}
	if err := d.copier.Fence(ctx, u.Green, u.Epoch, true); err != nil {
		return nil, temporary(err)
	}
	return nil, temporary(d.copier.Close(ctx, u.Green))
}

// close makes the side that traffic has left refuse reads too: what it has
// grows old.
func (d *driver) close(ctx context.Context, r kit.Record, op kit.Op) (any, error) {
	var left api.Side
	if err := json.Unmarshal(op.Data, &left); err != nil {
		return nil, kit.Errorf(kit.ErrInvalid, "", "%v", err)
	}
	u, err := d.read(ctx, r.Link)
	if err != nil || u.State != api.UpgradeSoak && u.State != api.UpgradeRolledBack || abandoned(u) != left.Group {
		return nil, err
	}
	return nil, temporary(d.copier.Close(ctx, left))
}

// retire deletes the side that traffic has left.
func (d *driver) retire(ctx context.Context, _ kit.Record, op kit.Op) (any, error) {
	var side api.Side
	if err := json.Unmarshal(op.Data, &side); err != nil {
		return nil, kit.Errorf(kit.ErrInvalid, "", "%v", err)
	}
	return nil, d.groups.Stop(ctx, side)
}
