package agent

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/site/agent/doors"
	"landfall.dev/site/front"
	"landfall.dev/site/upgrade/spare"
)

// routes hold one document, that of the front door.
var routes = kit.Define[route]("routes", kit.Local())

const frontDoor = "front"

// route is where the front door was last told to send requests. It is written
// before the door is told.
type route struct {
	kit.Meta
	Epoch int64  `json:"epoch"`
	Group string `json:"group"`
	// Classes are what the environment declared last.
	Classes []api.RouteClass `json:"classes,omitempty"`
}

// readRoute returns the route, zero if there is none yet.
func readRoute(ctx context.Context, c kit.Client) (route, error) {
	r, err := routes.Read(ctx, c, frontDoor)
	if errors.Is(err, kit.ErrNotFound) {
		return route{}, nil
	}
	return r, err
}

// gate lets upgrades hold and open the environment's front doors. It implements
// upgrade.Gate.
type gate struct {
	client kit.Client
	doors  *doors.Doors
}

// Hold implements upgrade.Gate.
func (g *gate) Hold(ctx context.Context) error { return g.doors.Hold(ctx) }

// Lately implements upgrade.Gate.
func (g *gate) Lately() (spare.Window, func() spare.Window) { return g.doors.Lately() }

// Slow implements upgrade.Gate.
func (g *gate) Slow(_ context.Context, share float64) error {
	if err := g.doors.Slow(share); err != nil {
		return kit.Errorf(kit.ErrInvalid, routes.Link(frontDoor), "%v", err)
	}
	return nil
}

// Open implements upgrade.Gate. What it was told last survives a crash.
func (g *gate) Open(ctx context.Context, side api.Side, epoch int64) error {
	to, err := target(side.Group, epoch, side.URLs)
	if err != nil {
		return err
	}
	if err := g.write(ctx, side.Group, epoch); err != nil {
		return err
	}
	if err := g.doors.Open(to); err != nil {
		return kit.Errorf(kit.ErrConflict, routes.Link(frontDoor), "%v", err)
	}
	return nil
}

// classify declares the classes of the environment's routes.
func (g *gate) classify(ctx context.Context, declared []api.RouteClass) error {
	r, err := readRoute(ctx, g.client)
	if err != nil || slices.Equal(r.Classes, declared) {
		return err
	}
	if err := g.declare(declared); err != nil {
		return err
	}
	_, err = routes.Create(ctx, g.client, frontDoor, route{Classes: declared})
	if !errors.Is(err, kit.ErrConflict) {
		return err
	}
	_, err = routes.Modify(ctx, g.client, frontDoor, func(old *route) error {
		old.Classes = declared
		return nil
	})
	return err
}

// declare tells the doors the classes of routes.
func (g *gate) declare(declared []api.RouteClass) error {
	var rules []front.Rule
	for _, c := range declared {
		rules = append(rules, front.Rule{Pattern: c.Pattern, Class: front.Class(c.Class)})
	}
	if err := g.doors.Classify(rules); err != nil {
		return kit.Errorf(kit.ErrInvalid, "", "%v", err)
	}
	return nil
}

// write keeps the decision, unless it is older than the last one.
func (g *gate) write(ctx context.Context, name string, epoch int64) error {
	for {
		_, err := routes.Modify(ctx, g.client, frontDoor, func(old *route) error {
			if epoch < old.Epoch || epoch == old.Epoch && name != old.Group {
				return kit.Errorf(kit.ErrConflict, old.Link, "the front door leads to %s since epoch %d: it is not opened for %s of epoch %d", old.Group, old.Epoch, name, epoch)
			}
			old.Epoch, old.Group = epoch, name
			return nil
		})
		if !errors.Is(err, kit.ErrNotFound) {
			return err
		}
		_, err = routes.Create(ctx, g.client, frontDoor, route{Epoch: epoch, Group: name})
		if !errors.Is(err, kit.ErrConflict) {
			return err
		}
	}
}

// target is the front door's form of a route to the instances at urls.
func target(name string, epoch int64, urls []string) (front.Route, error) {
	r := front.Route{Epoch: epoch, Side: name}
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			return r, kit.Errorf(kit.ErrInvalid, "", "%q is no URL of an instance", text)
		}
		r.Backends = append(r.Backends, u.Host)
	}
	return r, nil
}

// decided returns where u, as its document says, has decided that traffic goes,
// and false if that is no news to the front door: it was told before u came to
// its state.
func decided(u api.Upgrade) (route, bool) {
	switch u.State {
	case api.UpgradeCommitted, api.UpgradeReleased, api.UpgradeSoak:
		return route{Epoch: u.Epoch, Group: u.Green.Group}, true
	case api.UpgradeReopening:
		return route{Epoch: u.Epoch, Group: u.Blue.Group}, true
	}
	return route{}, false
}

// current returns the route that holds: the latest decision, which is either
// what the front door was told last, or one of an upgrade that could not tell
// it any more.
func current(ctx context.Context, c kit.Client) (route, error) {
	r, err := readRoute(ctx, c)
	if err != nil {
		return r, err
	}
	for u, err := range api.Upgrades.All(ctx, c, "", "") {
		if err != nil {
			return r, err
		}
		if d, ok := decided(u); ok && d.Epoch > r.Epoch {
			r.Epoch, r.Group = d.Epoch, d.Group
		}
	}
	return r, nil
}

// restore opens the door, which was told nothing yet, to the side in charge.
// If an upgrade was just holding it, blue is let in again: it is in charge
// until the commit, and where it is fenced already the door waits by itself.
func (g *gate) restore(ctx context.Context, groups *instances) error {
	r, err := current(ctx, g.client)
	if err != nil {
		return err
	}
	if err := g.declare(r.Classes); err != nil {
		return err
	}
	if r.Group == "" {
		return nil
	}
	in, err := groups.find(ctx, r.Group)
	if err != nil {
		return fmt.Errorf("the front door leads to %s: %w", r.Group, err)
	}
	to, err := target(r.Group, r.Epoch, in.urls())
	if err != nil {
		return err
	}
	err = g.doors.Route(to)
	if errors.Is(err, front.ErrStale) {
		return nil // an upgrade that went on was faster, and knows better
	}
	return err
}
