package runner

import (
	"context"
	"errors"
	"fmt"
	"io"

	"landfall.dev/api"
	"landfall.dev/engine"
	"landfall.dev/runner/task"
)

// keeps tells whether the container of the build, which has ended so, is to be
// kept, and says so in the log. There is none if the steps have not begun, or are
// not in one.
func (a *attempt) keeps(ctx context.Context, end api.BuildState) bool {
	if end != api.BuildFailed && end != api.BuildError || !a.begun || a.runner.Engine.Name() == "process" {
		return false
	}
	var b api.Build
	err := retry(ctx, func() (err error) {
		b, err = api.Builds.Read(ctx, a.runner.Client, a.build.Link.ID())
		return err
	})
	if err != nil || !b.Keep {
		return false
	}
	id := b.Link.ID()
	if err := a.log.Say(fmt.Sprintf("the container is kept for %s: landfall build shell %s", period(api.KeepTime), id)); err != nil {
		a.logger.Warn("could not write to the log", "err", err)
	}
	return true
}

// linger has a container like that of the build, on the same workspace, where the
// build was, and removes both when the time is up or the runner ends. It takes no
// slot: nothing works in it but what a person begins.
func (a *attempt) linger(ctx context.Context, at engine.Tasks) {
	defer a.remove()
	t := a.newTask("")
	t.ID, t.Spare, t.Services = task.Kept(a.build), "", nil
	t.Command = []string{"sh", "-c", `exec sleep "$1"`, "sh", fmt.Sprint(int(api.KeepTime.Seconds()))}
	ctx, cancel := context.WithTimeout(ctx, api.KeepTime)
	defer cancel()
	if _, err := at.Run(ctx, t, io.Discard); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		a.logger.Warn("could not keep the container of a failed build", "err", err)
	}
}
