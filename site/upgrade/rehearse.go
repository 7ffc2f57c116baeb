package upgrade

import (
	"context"
	"fmt"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/site/upgrade/predict"
)

// comparisons is how often a rehearsal compares the sides, which do not stand
// still.
const comparisons = 5

// conclude ends the copying of a rehearsal, because it is ready or for the
// reason.
func conclude(u api.Upgrade, now time.Time, why string) (api.Upgrade, []kit.Op) {
	r := api.Rehearsal{}
	if u.Rehearsal != nil {
		r = *u.Rehearsal
	}
	if why != "" {
		r.Problems = append(r.Problems, why)
	}
	u.Rehearsal = &r
	return u, []kit.Op{kit.Call("rehearse", "1", nil)}
}

// rehearse compares and measures both sides of a rehearsal.
func (d *driver) rehearse(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	var result api.Rehearsal
	err := d.during(ctx, r.Link, inStates(api.UpgradeCopying, api.UpgradeReady), func(ctx context.Context, u api.Upgrade) (err error) {
		if u.Rehearsal != nil {
			result = *u.Rehearsal
		}
		if !u.Stateless {
			if err := d.compare(ctx, u, &result); err != nil {
				return err
			}
		}
		if result.Blue, err = d.copier.Room(ctx, u.Blue); err == nil {
			result.Green, err = d.copier.Room(ctx, u.Green)
		}
		return err
	})
	return d.unlessMoved(result, err)
}

// compare verifies green while blue is written: what differs is what has
// changed meanwhile, or else a mistake.
func (d *driver) compare(ctx context.Context, u api.Upgrade, r *api.Rehearsal) error {
	for range comparisons {
		at, err := d.copier.Position(ctx, u.Blue)
		if err != nil {
			return err
		}
		c, err := d.copy(ctx, u, 0, false)
		if err != nil {
			return err
		}
		v, err := d.copier.Verify(ctx, u.Blue, u.Green)
		if err != nil {
			return err
		}
		changed, err := d.copier.Changed(ctx, u.Blue, at)
		if err != nil {
			return err
		}
		r.Verified, r.Failed = &v, c.Failed
		if len(c.Failed) > 0 {
			return nil // they differ, and are told by name
		}
		if int64(v.Different) > changed {
			r.Problems = append(r.Problems, fmt.Sprintf("the sides differ in %d of %d buckets, though %d documents have changed meanwhile", v.Different, v.Buckets, changed))
			return nil
		}
		if v.Different == 0 {
			return nil
		}
	}
	return nil
}

// rehearsed keeps the report and removes green.
func rehearsed(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	var r api.Rehearsal
	if err := e.Into(&r); err != nil {
		return u, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if u.State != api.UpgradeCopying && u.State != api.UpgradeReady {
		return u, nil
	}
	if n := len(r.Failed); n > 0 {
		r.Problems = append(r.Problems, untransformed(r.Failed))
	}
	for _, q := range u.Quarantine {
		if q.WaivedBy != "" {
			r.Behind = append(r.Behind, q.String())
		}
	}
	for _, c := range u.Cycles {
		r.Documents += c.Documents
		r.Seconds += c.Seconds
	}
	if n := len(u.Cycles); n > 0 {
		r.Rate, r.Predicted = predict.Rate(u.Cycles), u.Cycles[n-1].Predicted
	}
	u.Rehearsal = &r
	return enter(u, api.UpgradeAborting, now, "green is removed"), []kit.Op{kit.Call("abort", "1", nil)}
}
