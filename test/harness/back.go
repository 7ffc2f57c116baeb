package harness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"landfall.dev/api"
)

// wayBack is when an upgrade that was rolled back put green in charge, when it
// put blue in charge again, and when traffic had gone there.
type wayBack struct{ committed, reopening, back time.Time }

// fate is what has to become of an acknowledged transfer.
type fate int

const (
	kept fate = iota
	givenUp
	either // it was on its way while traffic moved
)

// fate tells what has to become of a. No transfer is answered from before such
// a moment until traffic goes to the other side: what began and ended on one
// side of it was written there.
func (l *Load) fate(a transfer) fate {
	for _, w := range l.ways {
		switch {
		case a.ended.Before(w.committed) || a.began.After(w.back):
			continue // it was written on blue
		case a.began.After(w.committed) && a.ended.Before(w.reopening):
			return givenUp
		default:
			return either
		}
	}
	return kept
}

// GoBack rolls the latest upgrade back while the load goes on, once there is a
// transfer to give up by that: one that green has acknowledged.
func (l *Load) GoBack() {
	p := l.path
	p.t.Helper()
	var u api.Upgrade
	p.insist("green has acknowledged a transfer", func(ctx context.Context) (err error) {
		if u, err = p.latest(ctx); err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if at, _ := moments(u, api.UpgradeCommitted); !slices.ContainsFunc(l.acked, func(a transfer) bool { return a.began.After(at) }) {
			return errors.New("there is none yet")
		}
		return nil
	})
	p.insist("the upgrade has been rolled back", func(ctx context.Context) (err error) {
		if u, err = api.Upgrades.Read(ctx, p.Agent, u.Link.ID()); err != nil || u.State == api.UpgradeRolledBack {
			return err
		}
		if u.State != api.UpgradeSoak {
			return fmt.Errorf("it is %s", u.State)
		}
		_, err = p.landfall(ctx, admin, "upgrade", "rollback", u.Link.ID(), "--lose-writes",
			"--url", p.agentURL, "--token", "@"+p.Dir("unknown/node/admin.token"))
		return errors.Join(errors.New("it has only been asked for"), err)
	})
	p.t.Logf("%s was rolled back", u.Green.Release)
	var w wayBack
	w.committed, _ = moments(u, api.UpgradeCommitted)
	_, w.reopening = moments(u, api.UpgradeReopening)
	_, w.back = moments(u, api.UpgradeRolledBack)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ways = append(l.ways, w)
}

// moments returns when the upgrade was in a state for the first and for the
// last time.
func moments(u api.Upgrade, s api.UpgradeState) (first, last time.Time) {
	for _, m := range u.History {
		if m.State != s {
			continue
		}
		if first.IsZero() {
			first = m.At
		}
		last = m.At
	}
	return first, last
}
