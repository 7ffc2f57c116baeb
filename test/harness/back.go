package harness

import (
	"context"
	"errors"
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
	p.Insist("green has acknowledged a transfer", func(ctx context.Context) (err error) {
		if u, err = p.Latest(ctx); err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if at := first(u, api.UpgradeCommitted); !slices.ContainsFunc(l.all, func(t *transfer) bool { return t.acked && t.began.After(at) }) {
			return errors.New("there is none yet")
		}
		return nil
	})
	p.Rollback(u.Link.ID())
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
