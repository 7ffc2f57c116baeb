package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/site/agent/verify"
)

// follower takes on what the hub wants in the environment.
type follower struct {
	client   kit.Client
	hub      *hub
	name     string // of the environment
	verifier *verify.Verifier
	// remember keeps the trust root once a channel was believed by it.
	remember func(root string) error
	// classify takes over what the environment declares of routes.
	classify func(context.Context, []api.RouteClass) error
	log      *slog.Logger
}

// How often the hub is asked even if it says nothing new, and after a failure.
const (
	lookAgain     = 45 * time.Second
	hubPause      = time.Second
	longHubPause  = 30 * time.Second
	throwAwayWays = 2 // deployments side by side, if the environment does not say
)

// run follows the hub until ctx ends.
func (f *follower) run(ctx context.Context) error {
	news := make(chan struct{}, 1)
	deployments := fmt.Sprintf("environment == %q && state == %q", f.name, api.DeploymentQueued)
	var g sync.WaitGroup
	defer g.Wait()
	g.Go(func() { f.watch(ctx, f.hub, kit.WatchQuery{Kind: api.Environments.Name}, news) })
	g.Go(func() { f.watch(ctx, f.hub, kit.WatchQuery{Kind: api.Deployments.Name, Filter: deployments}, news) })
	g.Go(func() { f.watch(ctx, f.hub, kit.WatchQuery{Kind: api.Channels.Name}, news) })
	g.Go(func() { f.watch(ctx, f.client, kit.WatchQuery{Kind: orders.Name, Filter: over}, news) })
	wait := pause{first: hubPause, longest: longHubPause}
	for {
		next := lookAgain
		switch err := f.look(ctx); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			next = wait.longer()
			level := slog.LevelWarn
			if !kit.Temporary(err) {
				level = slog.LevelError
			}
			f.log.Log(ctx, level, "the hub could not be followed; what runs goes on", "error", err, "again", next)
		default:
			wait.reset()
		}
		if !sleep(ctx, next, news) {
			return nil
		}
	}
}

// Filters of orders.
const (
	over   = `state == "done" || state == "failed"`
	undone = `state != "done" && state != "failed"`
)

// watch tells news of every change, until ctx ends.
func (f *follower) watch(ctx context.Context, c kit.Client, q kit.WatchQuery, news chan<- struct{}) {
	wait := pause{first: hubPause, longest: longHubPause}
	for ctx.Err() == nil {
		for _, err := range c.Watch(ctx, q) {
			if err != nil {
				f.log.Debug("watch ended", "kind", q.Kind, "error", err)
				break
			}
			wait.reset()
			wake(news)
		}
		sleep(ctx, wait.longer(), nil)
	}
}

// look takes on what is new.
func (f *follower) look(ctx context.Context) error {
	e, err := f.hub.environment(ctx, f.name)
	if err != nil {
		return err
	}
	if err := f.classify(ctx, e.Routes); err != nil {
		f.log.Error("could not take over the classes of routes; those before hold", "environment", e.Link, "error", err)
	}
	free := 1
	if e.Strategy == api.Throwaway {
		if free = e.Parallel; free == 0 {
			free = throwAwayWays
		}
	}
	for _, err := range orders.All(ctx, f.client, undone, "") {
		if err != nil {
			return err
		}
		free--
	}
	switch {
	case free <= 0:
		return nil // the end of an order is news
	case e.Channel != "":
		if err := f.channel(ctx, e); err != nil {
			return err
		}
	case f.hub.root != "":
		return noChannel(e)
	}
	return f.deployments(ctx, e, free)
}

// noChannel says why an agent whose token pins a trust root takes nothing that
// the hub orders outside a channel: whoever takes the hub over can order
// anything, but sign nothing.
func noChannel(e api.Environment) error {
	return &kit.Error{
		Fault: kit.ErrForbidden, Link: e.Link, Detail: "the agent believes signed releases only, because its token pins a trust root, but the hub names no channel for this environment",
		Hint: "have the hub name the channel again; to take unsigned deployments, start an agent with a token without ~ROOT and a --data directory of its own",
	}
}

// deployments takes on the oldest deployments, at most free; where a channel is
// followed, only rehearsals of signed releases.
func (f *follower) deployments(ctx context.Context, e api.Environment, free int) error {
	filter := fmt.Sprintf("environment == %q && state == %q", e.Link.ID(), api.DeploymentQueued)
	for d, err := range api.Deployments.All(ctx, f.hub, filter, "created") {
		if err != nil {
			return err
		}
		if free == 0 {
			return nil
		}
		if e.Channel != "" && !d.Rehearse {
			continue
		}
		_, err := orders.Read(ctx, f.client, d.Link.ID())
		if err == nil {
			continue // taken already; the hub has not heard of it yet
		}
		if !errors.Is(err, kit.ErrNotFound) {
			return err
		}
		o := order{
			Environment: e.Link.ID(), Strategy: e.Strategy, Nodes: e.Nodes,
			Project: d.Project, Image: d.Image, Deployment: d.Link, Release: d.Release, Tests: d.Tests,
			Policy: e.Upgrades, Rehearse: d.Rehearse,
		}
		if e.Channel != "" {
			err := f.verifier.Rehearsal(ctx, d)
			if err != nil && !errors.Is(err, verify.ErrRefused) {
				return err
			}
			if err != nil {
				o.Refused = err.Error()
			}
		}
		if _, err := orders.Create(ctx, f.client, d.Link.ID(), o); err != nil {
			return err
		}
		f.log.Info("took on", "deployment", d.Link, "image", d.Image)
		free--
	}
	return nil
}

// channel takes on the release that the environment's channel offers, if it is
// signed.
func (f *follower) channel(ctx context.Context, e api.Environment) error {
	c, err := api.Channels.Read(ctx, f.hub, e.Channel.ID())
	if err != nil {
		return err
	}
	if f.hub.root == "" {
		return f.refuse(ctx, e, c, errNoRoot)
	}
	_, r, err := f.verifier.Channel(ctx, c.Project, c.Name)
	switch {
	case errors.Is(err, verify.ErrRefused):
		return f.refuse(ctx, e, c, err)
	case errors.Is(err, kit.ErrNotFound):
		return nil // it offers nothing yet
	case err != nil:
		return err
	}
	if err := f.remember(f.hub.root); err != nil {
		return err
	}
	o := orderFor(e, c)
	o.Project, o.Image, o.Release = r.Project, r.Image, api.Releases.Link(r.Project+"-"+r.Version)
	if n := len(c.History); n == 0 || c.History[n-1].Release != o.Release {
		o.Offer++ // the metadata are written before the document: it misses this promotion
	}
	old, err := orders.Read(ctx, f.client, o.Release.ID())
	if errors.Is(err, kit.ErrNotFound) {
		f.log.Info("took on", "release", o.Release, "image", o.Image)
		_, err = orders.Create(ctx, f.client, o.Release.ID(), o)
		return err
	}
	if err != nil {
		return err
	}
	again, err := f.wanted(ctx, old, o)
	if err != nil || !again {
		return err
	}
	f.log.Info("took on again", "release", o.Release, "image", o.Image)
	_, err = orders.Send(ctx, f.client, o.Release.ID(), eventAgain, o)
	return err
}

var errNoRoot = errors.New("the agent's token does not pin the hub's trust root, so nothing on a channel can be believed: start the agent with a token made by landfall token create now that the environment has a channel; it ends in ~ and the SHA-256 of 1.root.json")

func orderFor(e api.Environment, c api.Channel) order {
	return order{Environment: e.Link.ID(), Strategy: api.BlueGreen, Nodes: e.Nodes, Policy: e.Upgrades, Offer: len(c.History)}
}

// wanted tells whether a release, taken on before as old, is to be tried again:
// if it was refused and is not any more, or if it was promoted again and does
// not run. So what people here have rolled back stays so.
func (f *follower) wanted(ctx context.Context, old, o order) (bool, error) {
	if old.Refused != "" {
		return true, nil
	}
	if o.Offer <= old.Offer {
		return false, nil
	}
	r, err := current(ctx, f.client)
	if err != nil || r.Group == "" {
		return true, err
	}
	g, err := groups.Read(ctx, f.client, groupID(r.Group))
	return g.Image != o.Image, err
}

// refuse says why what the channel offers is not taken on. A release that was
// believed before stays as it is.
func (f *follower) refuse(ctx context.Context, e api.Environment, c api.Channel, why error) error {
	f.log.Error("refused what the channel offers", "channel", c.Link, "release", c.Release, "error", why)
	if c.Release == "" {
		return nil
	}
	o := orderFor(e, c)
	o.Project, o.Release, o.Refused = c.Project, c.Release, why.Error()
	_, err := orders.Create(ctx, f.client, c.Release.ID(), o)
	if !errors.Is(err, kit.ErrConflict) {
		return err
	}
	_, err = orders.Send(ctx, f.client, c.Release.ID(), eventRefuse, progress{Error: why.Error()})
	return err
}
