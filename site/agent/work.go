package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/site/upgrade"
)

// worker carries out the actions of orders. Each may be repeated at any point.
type worker struct {
	client kit.Client
	puller *puller
	groups *instances
	front  string // URL of the front door, or ""
}

func (w *worker) actions() kit.Does {
	return kit.Does{
		actionPull: w.pull, actionStart: w.start, actionUpgrade: w.upgrade,
		actionTest: w.test, actionClean: w.clean,
	}
}

// say tells the order how an action goes on. That is for people only, so a
// failure does not matter.
func (w *worker) say(ctx context.Context, o order, p progress) {
	_, _ = orders.Send(ctx, w.client, o.Link.ID(), eventProgress, p)
}

func (w *worker) pull(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	o, err := orders.Decode(r)
	if err != nil {
		return nil, err
	}
	err = w.puller.pull(ctx, o.Image)
	if err != nil && kit.Temporary(err) && ctx.Err() == nil {
		w.say(ctx, o, progress{Step: "pulling, interrupted: " + err.Error()})
	}
	return nil, err
}

// start makes a group for a throw-away deployment.
func (w *worker) start(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	o, err := orders.Decode(r)
	if err != nil {
		return nil, err
	}
	g, err := w.groups.plan(ctx, o, group{})
	if err != nil {
		return nil, err
	}
	side, err := w.groups.Start(ctx, g.side(), false)
	if err != nil {
		return nil, err
	}
	return progress{Address: side.URLs[0]}, nil
}

// clean destroys what start has made.
func (w *worker) clean(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	o, err := orders.Decode(r)
	if err != nil {
		return nil, err
	}
	all, err := w.groups.of(ctx, o)
	if err != nil {
		return nil, err
	}
	for _, g := range all {
		if err := w.groups.Stop(ctx, g.side()); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// upgrade makes the order's image the one that the front door shows. What
// shows it already stays.
func (w *worker) upgrade(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	o, err := orders.Decode(r)
	if err != nil {
		return nil, err
	}
	id := o.Link.ID()
	if o.Attempt > 1 {
		id += fmt.Sprintf(".%d", o.Attempt)
	}
	_, err = api.Upgrades.Read(ctx, w.client, id)
	if errors.Is(err, kit.ErrNotFound) {
		var same string
		if same, err = w.begin(ctx, o, id); same != "" {
			return progress{Address: w.address(same)}, nil
		}
	}
	if err != nil && kit.Temporary(err) && ctx.Err() == nil {
		w.say(ctx, o, progress{Step: "waiting: " + err.Error()})
	}
	if err != nil && !kit.Temporary(err) {
		_, cleanErr := w.clean(ctx, r, kit.Op{}) // no upgrade will see to the group
		return nil, errors.Join(err, cleanErr)
	}
	if err != nil {
		return nil, err
	}
	u, err := w.follow(ctx, o, id)
	if err != nil {
		return nil, err
	}
	switch u.State {
	case api.UpgradeAborted, api.UpgradeRolledBack:
		return nil, kit.Errorf(kit.ErrConflict, "", "the upgrade was %s: %s", u.State, u.Error)
	case api.UpgradeRehearsed:
		return progress{Upgrade: u.Link, Output: findings(u), Error: strings.Join(u.Rehearsal.Problems, "; ")}, nil
	}
	return progress{Upgrade: u.Link, Address: w.address(u.Green.URLs[0])}, nil
}

// findings is what a rehearsal has come to, and first of all what cannot be taken
// back.
func findings(u api.Upgrade) string {
	var lines []string
	for _, why := range u.OneWay {
		lines = append(lines, "no way back without loss: "+why)
	}
	return strings.Join(append(lines, u.Rehearsal.Lines()...), "\n")
}

// address is where what shows is reached; url is that of an instance.
func (w *worker) address(url string) string {
	if w.front != "" {
		return w.front
	}
	return url
}

// begin makes the upgrade id for o. If the image runs already it makes none,
// and returns the URL of its first instance.
func (w *worker) begin(ctx context.Context, o order, id string) (same string, err error) {
	r, err := current(ctx, w.client)
	if err != nil {
		return "", err
	}
	u := api.Upgrade{Environment: o.Environment, Project: o.Project, Deployment: o.Deployment, UpgradePolicy: o.Policy, Rehearse: o.Rehearse}
	var blue group
	if r.Group != "" {
		if blue, err = w.groups.find(ctx, r.Group); err != nil {
			return "", err
		}
		switch {
		case blue.Image == o.Image && o.Rehearse:
			return "", kit.Errorf(kit.ErrConflict, o.Link, "%s runs already: there is nothing to rehearse", o.Image)
		case blue.Image == o.Image:
			return blue.urls()[0], nil
		case blue.Project != o.Project:
			return "", kit.Errorf(kit.ErrConflict, o.Link, "this environment runs %s: deploy %s to one of its own", blue.Project, o.Project)
		}
		u.Blue = blue.side()
	}
	if u.Blue.Group == "" && o.Rehearse {
		return "", kit.Errorf(kit.ErrConflict, o.Link, "nothing runs here yet: there is nothing to rehearse against")
	}
	green, err := w.groups.plan(ctx, o, blue)
	if err != nil {
		return "", err
	}
	if u.Blue.Group != "" {
		if err := w.groups.inherit(blue, green); err != nil {
			return "", err
		}
	}
	u.Green = green.side()
	if u.Epoch, err = w.retire(ctx, r.Epoch, o.Rehearse); err != nil {
		return "", err
	}
	_, err = api.Upgrades.Create(ctx, w.client, id, u)
	return "", err
}

// retire lets go what earlier upgrades have kept to go back to, unless it is for
// a rehearsal, and returns the epoch of the next one, which is after all theirs
// and that of the route. It is ErrUnavailable while one of them goes on.
func (w *worker) retire(ctx context.Context, epoch int64, rehearse bool) (int64, error) {
	for u, err := range api.Upgrades.All(ctx, w.client, "", "") {
		if err != nil {
			return 0, err
		}
		epoch = max(epoch, u.Epoch)
		switch {
		case !u.State.Over():
			return 0, kit.Errorf(kit.ErrUnavailable, u.Link, "this upgrade has to end first: it is %s", u.State)
		case rehearse || u.State != api.UpgradeSoak && u.State != api.UpgradeRolledBack:
			continue
		case upgrade.Observed(u, time.Now()):
			return 0, kit.Errorf(kit.ErrUnavailable, u.Link, "its green is still observed: landfall upgrade retire ends that")
		}
		_, err = api.Upgrades.Send(ctx, w.client, u.Link.ID(), "retire", nil)
		if errors.Is(err, kit.ErrConflict) {
			err = kit.Errorf(kit.ErrUnavailable, u.Link, "this upgrade has to end first")
		}
		if err != nil {
			return 0, err
		}
	}
	return epoch + upgrade.Epochs, nil
}

// stepOf is what people are told of an upgrade, "" if nothing new.
func stepOf(u api.Upgrade) string {
	switch u.State {
	case api.UpgradePlanned, api.UpgradeProvision:
		return "starting"
	case api.UpgradeCopying:
		if u.Paused {
			return "paused"
		}
		return "copying"
	case api.UpgradeReady:
		switch {
		case u.Rehearse:
			return "comparing"
		case u.Paused:
			return "ready, paused"
		case u.Waiting():
			return "ready, waits for go"
		}
		return "switching"
	case api.UpgradeHolding, api.UpgradeFenced, api.UpgradeFinal, api.UpgradeVerified, api.UpgradeCommitted, api.UpgradeReleased:
		return "switching"
	case api.UpgradeAborting:
		if u.Rehearse && u.Error == "" {
			return "cleaning"
		}
		return "going back"
	}
	return ""
}

// follow waits for the end of the upgrade and tells the order how it goes.
func (w *worker) follow(ctx context.Context, o order, id string) (api.Upgrade, error) {
	last := ""
	return api.Upgrades.Await(ctx, w.client, id, func(u api.Upgrade) bool {
		if u.State.Over() {
			return true
		}
		if step := stepOf(u); step != "" && step != last {
			last = step
			w.say(ctx, o, progress{Step: step, Upgrade: u.Link})
		}
		return false
	})
}

// test runs the order's tests against its group, or where that is shown.
func (w *worker) test(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	o, err := orders.Decode(r)
	if err != nil {
		return nil, err
	}
	g, err := w.tested(ctx, o)
	if err != nil {
		return nil, err
	}
	return w.groups.test(ctx, g, o.Address, o.Tests)
}

// tested returns the group that o has led to: its own, or if its image ran
// already the one that is shown.
func (w *worker) tested(ctx context.Context, o order) (group, error) {
	all, err := w.groups.of(ctx, o)
	if err != nil {
		return group{}, err
	}
	if len(all) > 0 {
		return all[0], nil
	}
	route, err := current(ctx, w.client)
	if err != nil {
		return group{}, err
	}
	return w.groups.find(ctx, route.Group)
}

// testsFailed tells whether the tests of the deployment or release that ordered
// u have failed.
func (w *worker) testsFailed(ctx context.Context, u api.Upgrade) (bool, error) {
	for o, err := range orders.All(ctx, w.client, fmt.Sprintf("upgrade == %q && state == %q", u.Link, orderFailed), "") {
		return err == nil && o.Error != "", err
	}
	return false, nil
}
