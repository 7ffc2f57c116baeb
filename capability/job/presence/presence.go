// Package presence keeps what runners tell of themselves. Nothing is decided by
// it: it is for people to see.
package presence

import (
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// Next returns r after e. Whoever made it reports on it, until it is silent.
func Next(r api.Runner, e kit.Event, now time.Time) (api.Runner, []kit.Op) {
	switch e.Name {
	case "created":
	case "report":
		if r.By != e.By && !r.Silent(now) {
			return r, kit.Refuse(kit.ErrConflict, "a runner of %s has this name: give each a name of its own", r.By)
		}
		r.RunnerReport = api.RunnerReport{}
		if err := e.Into(&r.RunnerReport); err != nil {
			return r, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
	default:
		return r, nil
	}
	r.By, r.Reported, r.Expires = e.By, now, now.Add(api.RunnerSilent+api.RunnerForgotten)
	return r, nil
}
