package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"landfall.dev/engine"
)

var _ engine.Resumer = (*Engine)(nil)

// maxTaskLog bounds what the daemon keeps of a task's output, twice. Of a task
// that writes more, only the end can be resumed.
const maxTaskLog = "1g"

// resumePause is how long a daemon that went away is left alone.
const resumePause = 200 * time.Millisecond

// Resume follows a container by its log, which the daemon has kept.
func (e *Engine) Resume(ctx context.Context, t engine.Task, out io.Writer) (result engine.Result, err error) {
	if err := engine.CheckName("task id", t.ID); err != nil {
		return result, err
	}
	name := e.taskName(t.ID)
	found, err := e.client.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
	if errdefs.IsNotFound(err) {
		return result, fmt.Errorf("task %s: %w", t.ID, engine.ErrNoTask)
	}
	if err != nil {
		return result, fmt.Errorf("task %s: %w", t.ID, err)
	}
	defer func() {
		if leaveErr := e.leave(context.WithoutCancel(ctx), t, out); leaveErr != nil && err == nil {
			err = leaveErr
		}
	}()
	if found.Container.State.Status == container.StateCreated || found.Container.State.Running && e.waits(ctx, found.Container) {
		return result, fmt.Errorf("task %s: %w", t.ID, engine.ErrNoTask)
	}
	result, err = e.refollow(ctx, found.Container.ID, t, out)
	result, err = e.settle(ctx, found.Container.ID, t, out, result, err)
	if ctx.Err() != nil {
		return engine.Result{}, context.Cause(ctx)
	}
	if err != nil {
		return engine.Result{}, fmt.Errorf("task %s: %w", t.ID, err)
	}
	return result, nil
}

// refollow copies the log of a container until it has ended.
func (e *Engine) refollow(ctx context.Context, id string, t engine.Task, out io.Writer) (engine.Result, error) {
	stream, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	copied := make(chan error, 1)
	go func() { copied <- e.replay(stream, id, out) }()
	watched := make(chan engine.Result, 1)
	go func() { watched <- e.watch(stream, id, t) }()
	select {
	case <-ctx.Done():
		e.end(context.WithoutCancel(ctx), id, t.Grace, copied)
		hangUp()
		<-copied
		return engine.Result{}, ctx.Err()
	case err := <-copied:
		if err != nil {
			return engine.Result{}, fmt.Errorf("copy the output: %w", err)
		}
	}
	ended, err := e.client.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return engine.Result{}, err
	}
	hangUp()
	result := <-watched
	result.Exit, result.OutOfMemory = ended.Container.State.ExitCode, ended.Container.State.OOMKilled
	return result, nil
}

// replay writes the log of a container to out until the container has ended. A
// log that is followed may break off before its end, so its beginning is read
// again until it is known to be whole.
func (e *Engine) replay(ctx context.Context, id string, out io.Writer) error {
	rest := &restWriter{out: out}
	for {
		before, err := e.client.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
		running := err == nil && before.Container.State.Running
		if err == nil {
			err = e.copyLog(ctx, id, running, rest)
		}
		switch {
		case rest.failed != nil:
			return rest.failed
		case ctx.Err() != nil:
			return ctx.Err()
		case errdefs.IsNotFound(err):
			return err
		case err == nil && !running:
			return nil
		case err != nil:
			select {
			case <-ctx.Done():
			case <-time.After(resumePause):
			}
		}
	}
}

func (e *Engine) copyLog(ctx context.Context, id string, follow bool, rest *restWriter) error {
	logs, err := e.client.ContainerLogs(ctx, id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: follow})
	if err != nil {
		return err
	}
	defer logs.Close()
	rest.at = 0
	_, err = stdcopy.StdCopy(rest, rest, logs)
	return err
}

// restWriter writes what it has not written before of a text that is written to
// it again and again, from its beginning.
type restWriter struct {
	out      io.Writer
	at, done int64
	failed   error // of out
}

// Write implements io.Writer.
func (r *restWriter) Write(p []byte) (int, error) {
	known := min(max(r.done-r.at, 0), int64(len(p)))
	r.at += int64(len(p))
	if known == int64(len(p)) {
		return len(p), nil
	}
	if _, r.failed = r.out.Write(p[known:]); r.failed != nil {
		return 0, r.failed
	}
	r.done = r.at
	return len(p), nil
}

// Left asks the daemon for the containers of tasks, and what is beside them.
func (e *Engine) Left(ctx context.Context) ([]string, error) {
	containers, err := e.containers(ctx, labelTask)
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", err)
	}
	ids, err := e.beside(ctx)
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", err)
	}
	for _, c := range containers {
		for _, name := range c.Names { // the label of one that was spare is its first name
			if id, ok := strings.CutPrefix(name, "/"+e.taskName("")); ok {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// Discard removes the container of a task, and what ran beside it.
func (e *Engine) Discard(ctx context.Context, id string) error {
	if err := errors.Join(e.remove(ctx, e.taskName(id)), e.clear(ctx, id)); err != nil {
		return fmt.Errorf("remove what is left of task %s: %w", id, err)
	}
	return nil
}

// taskName is the name of a task's container.
func (e *Engine) taskName(id string) string { return "landfall-" + e.owner + "-" + id }
