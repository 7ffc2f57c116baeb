package harness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"landfall.dev/api"
)

// GoBack rolls the latest upgrade back while the load goes on, once green has
// acknowledged a transfer: it must be there afterwards, as all others.
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
		if at := first(u, api.UpgradeCommitted); !slices.ContainsFunc(l.acked, func(a transfer) bool { return a.began.After(at) }) {
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
		_, err = p.landfall(ctx, admin, "upgrade", "rollback", u.Link.ID(),
			"--url", p.agentURL, "--token", "@"+p.Dir("unknown/node/admin.token"))
		return errors.Join(errors.New("it has only been asked for"), err)
	})
	p.t.Logf("%s was rolled back", u.Green.Release)
}

// first returns when the upgrade was first in a state.
func first(u api.Upgrade, s api.UpgradeState) time.Time {
	for _, m := range u.History {
		if m.State == s {
			return m.At
		}
	}
	return time.Time{}
}
