package runner

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"landfall.dev/api"
	"landfall.dev/engine"
	"landfall.dev/kit"
	"landfall.dev/runner/pool"
	"landfall.dev/runner/step"
	"landfall.dev/runner/task"
)

// left is an attempt that a runner of this name was killed in, and whose lease
// is still its own.
type left struct {
	build  api.Build
	record record
}

// recover finds the attempts to go on with, and removes what is left of others:
// their workspaces, and what the engine runs. It waits for the hub, which knows
// whose the leases are.
func (r *Runner) recover(ctx context.Context) ([]left, error) {
	entries, err := os.ReadDir(r.Dir)
	if err != nil {
		return nil, err
	}
	var alive []left
	var ids []string
	for _, e := range entries {
		space := workspace{filepath.Join(r.Dir, e.Name())}
		record, err := space.read()
		if err != nil {
			if strings.HasPrefix(e.Name(), pool.Prefix) { // nobody waits for it any more
				r.tidy(space)
			}
			continue // not a workspace
		}
		b, mine, err := r.claim(ctx, space, record)
		if err != nil {
			return nil, err
		}
		if mine {
			alive, ids = append(alive, left{b, record}), append(ids, e.Name())
			continue
		}
		if err := r.discard(ctx, e.Name()); err != nil {
			r.Logger.Warn("left a task of an earlier run", "task", e.Name(), "err", err)
		}
		r.tidy(space)
	}
	if err := r.fleet.Clear(ctx, ids); err != nil {
		r.Logger.Warn("left tasks of an earlier run", "err", err)
	}
	return alive, nil
}

// tidy removes a workspace of an earlier run.
func (r *Runner) tidy(space workspace) {
	if err := removeAll(space.dir); err != nil {
		r.Logger.Warn("left a workspace of an earlier run", "dir", space.dir, "err", err)
	}
}

// claim returns the build of a workspace, and whether the attempt is still this
// runner's.
func (r *Runner) claim(ctx context.Context, space workspace, record record) (b api.Build, mine bool, err error) {
	err = retry(ctx, func() error {
		b, err = api.Builds.Read(ctx, r.Client, record.Build)
		return err
	})
	switch {
	case errors.Is(err, kit.ErrNotFound):
		return b, false, nil
	case err != nil:
		return b, false, err
	}
	// Of a build that was cancelled the last words may still be had.
	open := b.State == api.BuildRunning || b.State == api.BuildCancelled && b.LogDigest == ""
	mine = open && b.Runner == r.Name && b.Attempt == record.Attempt
	return b, mine && task.ID(b) == filepath.Base(space.dir), nil
}

func (r *Runner) discard(ctx context.Context, id string) error {
	if e, ok := r.Engine.(engine.Resumer); ok {
		return e.Discard(ctx, id)
	}
	return nil
}

// begin runs t, or takes it over from a runner that was killed.
func (a *attempt) begin(ctx context.Context, t engine.Task, out *step.Mask) (engine.Result, error) {
	e, ok := a.runner.Engine.(engine.Resumer)
	if !a.resumed || !ok {
		return a.runner.Engine.Run(ctx, t, out)
	}
	a.resumed = false
	a.log.Repeat(a.record.Log)
	result, err := e.Resume(ctx, t, out)
	all := a.log.Repeated()
	if !errors.Is(err, engine.ErrNoTask) {
		if err != nil && !all {
			a.log.Broken()
		}
		return result, err
	}
	if noted, _ := step.Ended(a.space.state()); noted != "" || step.Left(a.space.state()) > a.record.Answered {
		return engine.Result{Exit: unseen}, nil // the runner was killed just after the end
	}
	if a.log.Length() > a.record.Log {
		return engine.Result{Exit: unseen}, nil // and just after it was killed
	}
	return a.runner.Engine.Run(ctx, t, out) // it had not begun
}

// unseen is the exit code of a task whose end nobody saw.
const unseen = -1

var exited = regexp.MustCompile(`exited with (\d+)$`)

// killed is the exit code of a task that SIGKILL has ended.
const killed = 128 + 9

// known replaces an exit code that nobody saw by what the steps have noted. If
// they could not, they were killed: for want of memory, or by somebody.
func known(exit int, result api.Result, why string) int {
	switch {
	case exit != unseen:
		return exit
	case result == api.ResultSuccess:
		return 0
	case result == "":
		return killed
	}
	if m := exited.FindStringSubmatch(why); m != nil {
		if code, err := strconv.Atoi(m[1]); err == nil {
			return code
		}
	}
	return 1
}
