package upgrade

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// byPolicy is who waives documents within Upgrade.Waive.
const byPolicy = "the upgrade's policy"

// isolate adds green's quarantine to the result of a cycle, and waives what may
// stay behind.
func (d *driver) isolate(ctx context.Context, u api.Upgrade, c *copied) error {
	all, err := d.copier.Quarantine(ctx, u.Green, false)
	if err != nil {
		return err
	}
	var links []kit.Link
	waived := 0
	for _, q := range all {
		switch q.WaivedBy {
		case "":
			links = append(links, q.Link)
		case byPolicy:
			waived++
		}
	}
	if len(links) > 0 && len(links) == len(c.Failed) && waived+len(links) <= u.Waive {
		if err := d.copier.Waive(ctx, u.Green, byPolicy, links); err != nil {
			return err
		}
		for i := range all {
			if all[i].WaivedBy == "" {
				all[i].WaivedBy = byPolicy
			}
		}
		c.Failed = nil
	}
	c.Quarantine = all[:min(len(all), api.MaxQuarantine)]
	return nil
}

// waiting returns the documents that are in quarantine: after the commit those
// of the way back.
func waiting(u api.Upgrade) []api.Quarantined {
	switch {
	case u.Back != nil:
		return u.Back.Quarantine
	case u.State == api.UpgradeSoak: // there is no way back
		return nil
	}
	return u.Quarantine
}

// stuck returns the documents in quarantine that are not to stay behind.
func stuck(u api.Upgrade) (links []string) {
	for _, q := range waiting(u) {
		if q.WaivedBy == "" {
			links = append(links, string(q.Link))
		}
	}
	return links
}

// isolated returns u with the quarantine as it is now, and notes what stays
// behind from now on.
func isolated(u api.Upgrade, all []api.Quarantined, now time.Time) api.Upgrade {
	var names []string
	for _, q := range all {
		known := slices.ContainsFunc(waiting(u), func(old api.Quarantined) bool { return old.Link == q.Link && old.WaivedBy == q.WaivedBy })
		if q.WaivedBy != "" && !known {
			names = append(names, fmt.Sprintf("%s (waived by %s)", q, q.WaivedBy))
		}
	}
	if u.Back != nil {
		back := *u.Back
		back.Quarantine = all
		u.Back = &back
	} else {
		u.Quarantine = all
	}
	if len(names) > 0 {
		u = enter(u, u.State, now, fmt.Sprintf("%s to stay behind: %s", documents(len(names)), someOf(names)))
	}
	return u
}

// unmended keeps u copying slowly, because somebody who has it wait can mend
// what could not be transformed.
func unmended(u api.Upgrade, failed []string, now time.Time) (api.Upgrade, []kit.Op) {
	text := untransformed(failed) + "; mend, retry or waive them"
	if u.State != api.UpgradeCopying || u.History[len(u.History)-1].Text != text {
		u = enter(u, api.UpgradeCopying, now, text)
	}
	u.Slowed = 0
	return u, later(u, now)
}

// isolating says why u has no quarantine that could be changed, or nothing.
func isolating(u api.Upgrade) string {
	if u.State == api.UpgradeCopying || u.State == api.UpgradeReady || u.State == api.UpgradeSoak && len(waiting(u)) > 0 {
		return ""
	}
	return fmt.Sprintf("the upgrade is %s: documents are retried and waived while it copies or is ready, and in soak those that have no form on blue, if there are any", u.State)
}

// waiver is what the action waive is told.
type waiver struct {
	By    string     `json:"by"`
	Links []kit.Link `json:"links"`
}

// waive has documents in quarantine stay behind.
func waive(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	var a api.WaiveArgs
	if err := e.Into(&a); err != nil {
		return u, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if why := isolating(u); why != "" {
		return u, kit.Refuse(kit.ErrConflict, "%s", why)
	}
	if len(a.Links) == 0 {
		return u, kit.Refuse(kit.ErrInvalid, `name the documents to give up: {"links": ["accounts/7"]}`)
	}
	for _, l := range a.Links {
		if !slices.ContainsFunc(waiting(u), func(q api.Quarantined) bool { return q.Link == l }) {
			return u, kit.Refuse(kit.ErrNotFound, "%s is not in quarantine: landfall upgrade quarantine lists what is", l)
		}
	}
	return u, []kit.Op{kit.Call("waive", idAt(now), waiver{By: e.By, Links: a.Links})}
}

// retry has the quarantine tried once more, now.
func retry(u api.Upgrade, now time.Time) (api.Upgrade, []kit.Op) {
	if why := isolating(u); why != "" {
		return u, kit.Refuse(kit.ErrConflict, "%s", why)
	}
	return u, []kit.Op{kit.Call("retry", idAt(now), nil)}
}

func idAt(now time.Time) string { return strconv.FormatInt(now.UnixNano(), 10) }

// quarantine is the outcome of the actions retry and waive.
type quarantine struct {
	All []api.Quarantined `json:"all"`
}

// mended notes what the quarantine is after somebody has seen to it.
func mended(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	if isolating(u) != "" {
		return u, nil
	}
	if why := failureOf(e); why != "" {
		return enter(u, u.State, now, "the quarantine stays as it is: "+why), nil
	}
	var q quarantine
	if err := e.Into(&q); err != nil {
		return u, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	return isolated(u, q.All, now), nil
}

// waive gives documents up.
func (d *driver) waive(ctx context.Context, r kit.Record, op kit.Op) (any, error) {
	var w waiver
	if err := json.Unmarshal(op.Data, &w); err != nil {
		return nil, kit.Errorf(kit.ErrInvalid, "", "%v", err)
	}
	return d.mend(ctx, r.Link, func(ctx context.Context, u api.Upgrade) error {
		if u.Back != nil {
			return d.copier.Waive(ctx, u.Blue, w.By, w.Links)
		}
		return d.copier.Waive(ctx, u.Green, w.By, w.Links)
	})
}

// retry takes what is in quarantine once more.
func (d *driver) retry(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	return d.mend(ctx, r.Link, func(ctx context.Context, u api.Upgrade) error {
		var err error
		if u.Back != nil {
			_, err = d.copier.Return(ctx, u.Green, u.Blue, u.Base, false)
		} else {
			_, err = d.copier.Retry(ctx, u.Blue, u.Green)
		}
		return err
	})
}

// mend does work on the quarantine, and returns what is in there then.
func (d *driver) mend(ctx context.Context, l kit.Link, work func(context.Context, api.Upgrade) error) (any, error) {
	var result quarantine
	err := d.during(ctx, l, func(u api.Upgrade) bool { return isolating(u) == "" }, func(ctx context.Context, u api.Upgrade) error {
		if err := work(ctx, u); err != nil {
			return err
		}
		all, err := d.quarantined(ctx, u)
		result.All = all[:min(len(all), api.MaxQuarantine)]
		return err
	})
	return d.unlessMoved(result, err)
}

// quarantined asks for what is waiting.
func (d *driver) quarantined(ctx context.Context, u api.Upgrade) ([]api.Quarantined, error) {
	if u.Back != nil {
		return d.copier.Quarantine(ctx, u.Blue, true)
	}
	return d.copier.Quarantine(ctx, u.Green, false)
}
