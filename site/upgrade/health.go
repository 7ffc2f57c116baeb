package upgrade

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

const (
	// lookEvery is the time between two looks at the checks.
	lookEvery = 5 * time.Second
	// defaultSoak is how long green is observed if there are checks and nobody
	// said.
	defaultSoak = 10 * time.Minute
)

// Health tells how a side that is in charge does. Its methods may be called
// concurrently.
type Health interface {
	// Value returns the value of the check for the upgrade's green, or an error
	// if there is none now.
	Value(ctx context.Context, u api.Upgrade, c api.Check) (float64, error)
}

// Observed tells whether u is in the time in which green is observed: the
// checks are looked at, and the next upgrade waits.
func Observed(u api.Upgrade, now time.Time) bool {
	window := u.Soak.Std()
	if window == 0 && len(u.Checks) > 0 {
		window = defaultSoak
	}
	released, ok := last(u, api.UpgradeReleased)
	return ok && u.State == api.UpgradeSoak && now.Before(released.Add(window))
}

// look wishes for the next look at the checks.
func look(u api.Upgrade, now time.Time) kit.Op {
	op := kit.Call(api.UpgradeLooks, strconv.Itoa(u.Looks+1), nil)
	op.At = now.Add(lookEvery)
	return op
}

// looks is the outcome of the action look.
type looks struct {
	Readings []api.Reading `json:"readings"`
}

// look asks for the values of all checks.
func (d *driver) look(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	u, err := d.read(ctx, r.Link)
	if err != nil || u.State != api.UpgradeSoak {
		return looks{}, err
	}
	var found looks
	for _, c := range u.Checks {
		reading := api.Reading{Name: c.Name}
		reading.Value, err = d.health.Value(ctx, u, c)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			reading.Value, reading.Error = 0, err.Error()
			d.log.Warn("a check has no value", "upgrade", u.Link, "check", c.Name, "error", err)
		}
		found.Readings = append(found.Readings, reading)
	}
	return found, nil
}

// looked goes back if a check has been over its limit for too long. One that
// has no value decides nothing.
func looked(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	var found looks
	if err := e.Into(&found); err != nil {
		return u, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if u.State != api.UpgradeSoak {
		return u, nil
	}
	u.Looks++
	over := map[string]time.Time{}
	for _, r := range u.Health {
		over[r.Name] = r.Over
	}
	u.Health = found.Readings
	why := ""
	for i := range u.Health {
		r := &u.Health[i]
		c, known := check(u, r.Name)
		switch {
		case !known:
		case r.Error != "":
			r.Over = over[r.Name]
		case r.Value > c.Max:
			if r.Over = over[r.Name]; r.Over.IsZero() {
				r.Over = now
			}
			if now.Sub(r.Over) >= c.For.Std() && why == "" {
				why = fmt.Sprintf("the check %s is %.4g, over %.4g for %v", c.Name, r.Value, c.Max, now.Sub(r.Over).Round(time.Second))
			}
		}
	}
	switch {
	case why != "":
		return turn(u, now, why, false)
	case !Observed(u, now):
		return enter(u, api.UpgradeSoak, now, "the checks were kept until the end"), nil
	}
	return u, []kit.Op{look(u, now)}
}

func check(u api.Upgrade, name string) (api.Check, bool) {
	for _, c := range u.Checks {
		if c.Name == name {
			return c, true
		}
	}
	return api.Check{}, false
}
