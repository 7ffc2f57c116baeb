package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// arguments reads the arguments of an action into v.
func arguments(op kit.Op, v any) error { return kit.Event{Name: op.Do, Data: op.Data}.Into(v) }

// releaseArgs are the arguments of the action release.
type releaseArgs struct {
	errand
	Version string `json:"version"`
	Image   string `json:"image"`
}

// release makes a release of an image. Its result is the node's outcome, or
// nothing while the release is being made.
func (p planner) release(ctx context.Context, r kit.Record, op kit.Op) (any, error) {
	run, err := api.Runs.Decode(r)
	if err != nil {
		return nil, err
	}
	var a releaseArgs
	if err := arguments(op, &a); err != nil {
		return nil, err
	}
	done, err := p.makeRelease(ctx, run, a)
	if err != nil && !kit.Temporary(err) {
		return a.failed(err), nil
	}
	return done, err
}

// makeRelease creates the release document. One that was made of the same
// image before will do.
func (p planner) makeRelease(ctx context.Context, run api.Run, a releaseArgs) (any, error) {
	id := run.Project + "-" + a.Version
	_, err := api.Releases.Create(ctx, p.client, id, api.Release{
		Meta:    kit.Meta{Source: run.Link},
		Project: run.Project, Version: a.Version, Image: a.Image, Commit: run.Commit,
		Run: run.Link, Node: a.Node, Attempt: a.Attempt,
	})
	if !errors.Is(err, kit.ErrConflict) {
		return nil, err
	}
	old, err := api.Releases.Read(ctx, p.client, id)
	switch {
	case err != nil:
		return nil, err
	case old.Run == run.Link && old.Node == a.Node:
		return nil, nil // made by an attempt at this that was cut off
	case old.State == api.ReleaseFailed:
		return nil, kit.Errorf(kit.ErrConflict, old.Link, "version %s could not be released of commit %.12s: raise VERSION, or have an administrator delete what failed", a.Version, old.Commit)
	case old.Image == a.Image:
		return api.NodeDone{Node: a.Node, Attempt: a.Attempt, Link: old.Link, Passed: true}, nil
	}
	return nil, kit.Errorf(kit.ErrConflict, old.Link, "version %s was released of commit %.12s already: raise VERSION", a.Version, old.Commit)
}

// promoteArgs are the arguments of the action promote.
type promoteArgs struct {
	errand
	Channel string   `json:"channel"`
	Release kit.Link `json:"release"`
}

// pending is the result of the action promote as long as the release is not
// signed: it is to be repeated then.
type pending struct {
	Pending promoteArgs `json:"pending"`
}

const (
	// signatureEvery is how often it is looked whether a release is signed.
	signatureEvery = 10 * time.Second
	// publishLimit is how long one attempt waits for a channel to offer a release.
	publishLimit = 30 * time.Second
)

// promote puts a release on a channel, once it is signed.
func (p planner) promote(ctx context.Context, r kit.Record, op kit.Op) (any, error) {
	run, err := api.Runs.Decode(r)
	if err != nil {
		return nil, err
	}
	var a promoteArgs
	if err := arguments(op, &a); err != nil {
		return nil, err
	}
	signed, err := p.offer(ctx, run, a)
	switch {
	case err != nil && !kit.Temporary(err):
		return a.failed(err), nil
	case err != nil:
		return nil, err
	case !signed:
		return pending{a}, nil
	}
	return api.NodeDone{Node: a.Node, Attempt: a.Attempt, Link: a.Release, Passed: true}, nil
}

// offer tells whether the release is signed, and then puts it on the channel.
// Doing so again changes nothing.
func (p planner) offer(ctx context.Context, run api.Run, a promoteArgs) (bool, error) {
	if a.Release == "" {
		return false, kit.Errorf(kit.ErrConflict, "", "there is no release to promote: its node was skipped")
	}
	release, err := api.Releases.Read(ctx, p.client, a.Release.ID())
	switch {
	case err != nil:
		return false, err
	case release.State == api.ReleaseFailed:
		return false, kit.Errorf(kit.ErrConflict, release.Link, "the release has failed: %s", release.Error)
	case release.State != api.ReleaseSigned:
		return false, nil
	}
	id := run.Project + "-" + a.Channel
	channel, err := api.Channels.Read(ctx, p.client, id)
	if err != nil || channel.Release == a.Release {
		return true, err
	}
	comment := fmt.Sprintf("%s of %s", a.Node, run.Link)
	if _, err := api.Channels.Send(ctx, p.client, id, "promote", api.PromoteArgs{Release: a.Release, Comment: comment}); err != nil {
		return true, err
	}
	ctx, cancel := context.WithTimeout(ctx, publishLimit)
	defer cancel()
	channel, err = api.Channels.Await(ctx, p.client, id, func(c api.Channel) bool { return c.Release == a.Release || c.Error != "" })
	if err == nil && channel.Release != a.Release {
		err = kit.Errorf(kit.ErrConflict, channel.Link, "%s", channel.Error)
	}
	return true, err
}

// promoted takes in the result of the action promote.
func promoted(r api.Run, e kit.Event, now time.Time) (api.Run, []kit.Op) {
	var wait pending
	if err := e.Into(&wait); err != nil || wait.Pending.Node == "" {
		return nodeDone(r, e, now)
	}
	w := newWalk(&r, now)
	p := w.byID[wait.Pending.Node]
	if p == nil || p.State != api.RunRunning || p.Attempt != wait.Pending.Attempt {
		return r, nil
	}
	op := w.call(p, wait.Pending)
	op.At = now.Add(signatureEvery)
	return r, []kit.Op{op}
}

// rollbackArgs are the arguments of the action rollback.
type rollbackArgs struct {
	errand
	Environment string `json:"environment"`
}

// rollback deploys what ran in an environment before the run. If that runs
// there still, nothing is to be done.
func (p planner) rollback(ctx context.Context, r kit.Record, op kit.Op) (any, error) {
	run, err := api.Runs.Decode(r)
	if err != nil {
		return nil, err
	}
	var a rollbackArgs
	if err := arguments(op, &a); err != nil {
		return nil, err
	}
	done := api.NodeDone{Node: a.Node, Attempt: a.Attempt, Passed: true}
	before, now, err := p.history(ctx, run, a.Environment)
	switch {
	case err != nil:
		return nil, err
	case before.Image == "" && now.Image == "":
		return done, nil // nothing of the project has ever run there
	case before.Image == "":
		return a.failed(fmt.Errorf("there is nothing to go back to: %s is the first of %s in %s", now.Link, run.Project, a.Environment)), nil
	case before.Image == now.Image:
		done.Image = now.Image
		return done, nil
	}
	id := workID(run, api.NodeRun{ID: a.Node, Attempt: a.Attempt})
	d := deploymentOf(run, api.Node{ID: a.Node, Environment: a.Environment}, api.NodeRun{Attempt: a.Attempt})
	d.Image = before.Image
	_, err = api.Deployments.Create(ctx, p.client, id, d)
	if err != nil && !errors.Is(err, kit.ErrConflict) && !kit.Temporary(err) {
		return a.failed(err), nil
	}
	if errors.Is(err, kit.ErrConflict) {
		err = nil // an attempt at this that was cut off has made it
	}
	return nil, err
}

// history returns the last deployment of the project that passed in the
// environment, and the last one that other runs ordered.
func (p planner) history(ctx context.Context, run api.Run, environment string) (before, now api.Deployment, err error) {
	filter := fmt.Sprintf("environment == %q && project == %q && state == %q", environment, run.Project, api.DeploymentPassed)
	for d, err := range api.Deployments.All(ctx, p.client, filter, "") {
		if err != nil {
			return before, now, err
		}
		if !d.Rehearse && d.Finished.After(now.Finished) {
			now = d
		}
		if !d.Rehearse && d.Run != run.Link && d.Finished.After(before.Finished) {
			before = d
		}
	}
	return before, now, nil
}
