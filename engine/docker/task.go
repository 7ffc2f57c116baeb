package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"landfall.dev/engine"
)

// removeWait is how long the daemon may take to remove a task's container.
const removeWait = time.Minute

// drainWait is how long the last output of a container that has stopped may be
// on its way. One that had not begun has none.
const drainWait = 5 * time.Second

// killGroup makes a container's init, which is tini, pass SIGTERM on to all of the
// shell's group, not to the shell alone.
const killGroup = "TINI_KILL_PROCESS_GROUP"

// Run runs t in a container of its own, which is removed afterwards.
func (e *Engine) Run(ctx context.Context, t engine.Task, out io.Writer) (engine.Result, error) {
	if err := t.Check(); err != nil {
		return engine.Result{}, err
	}
	result, err := e.run(ctx, t, out)
	if ctx.Err() != nil {
		return engine.Result{}, context.Cause(ctx)
	}
	if err != nil {
		return engine.Result{}, fmt.Errorf("task %s: %w", t.ID, err)
	}
	return result, nil
}

func (e *Engine) run(ctx context.Context, t engine.Task, out io.Writer) (result engine.Result, err error) {
	image, err := e.image(ctx, t.Image)
	if err != nil {
		return result, err
	}
	user, err := ownerOf(t.Dir)
	if err != nil {
		return result, fmt.Errorf("workspace: %w", err)
	}
	name := "landfall-" + e.owner + "-" + t.ID
	if err := e.remove(ctx, name); err != nil {
		return result, fmt.Errorf("remove what an earlier run left: %w", err)
	}
	created, err := e.client.ContainerCreate(ctx, e.taskContainer(t, name, image, user))
	// The daemon may have made it although the caller has given up.
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeWait)
		defer cancel()
		if removeErr := e.remove(ctx, name); removeErr != nil {
			err = errors.Join(err, fmt.Errorf("remove container %s: %w", name, removeErr))
		}
	}()
	if err != nil {
		return result, err
	}
	return e.follow(ctx, created.ID, t.Grace, out)
}

func (e *Engine) taskContainer(t engine.Task, name, image, user string) client.ContainerCreateOptions {
	network := t.Network
	if network == "" {
		network = engine.NoNetwork
	}
	host := hostConfig(network, t.Limits)
	host.LogConfig = container.LogConfig{Type: "none"} // the attached stream is all there is
	host.Tmpfs = map[string]string{"/tmp": "exec,mode=1777"}
	host.Mounts = append(host.Mounts, bind(t.Dir, engine.WorkPath, false))
	env := map[string]string{"HOME": "/tmp"}
	if t.Grace > 0 {
		env[killGroup] = "1"
	}
	for _, m := range t.Mounts {
		host.Mounts = append(host.Mounts, bind(m.Host, m.Target, m.ReadOnly))
		if m.Env != "" {
			env[m.Env] = m.Target
		}
	}
	for key, value := range t.Env {
		env[key] = value
	}
	return client.ContainerCreateOptions{
		Name:       name,
		HostConfig: host,
		Config: &container.Config{
			Image:        image,
			Entrypoint:   t.Command,
			Env:          environ(env),
			User:         user,
			WorkingDir:   engine.WorkPath,
			AttachStdout: true,
			AttachStderr: true,
			Labels:       map[string]string{labelOwner: e.owner, labelTask: t.ID},
		},
	}
}

// follow starts a container and copies its output until it has ended. It
// attaches first, so that no output is lost.
func (e *Engine) follow(ctx context.Context, id string, grace time.Duration, out io.Writer) (engine.Result, error) {
	// The stream outlives ctx by the grace.
	stream, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	keep := context.AfterFunc(ctx, hangUp)
	attached, err := e.client.ContainerAttach(stream, id, client.ContainerAttachOptions{Stream: true, Stdout: true, Stderr: true})
	keep()
	if err != nil {
		return engine.Result{}, err
	}
	copied := make(chan error, 1)
	go func() {
		_, err := stdcopy.StdCopy(out, out, attached.Reader)
		copied <- err
	}()
	exit, err := e.wait(ctx, id, copied)
	if ctx.Err() != nil {
		e.end(context.WithoutCancel(ctx), id, grace, copied)
	}
	attached.Close()
	<-copied
	if err != nil {
		return engine.Result{}, err
	}
	ended, err := e.client.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return engine.Result{}, err
	}
	return engine.Result{Exit: exit, OutOfMemory: ended.Container.State.OOMKilled}, nil
}

// wait starts a container and returns its exit code when it has ended and all
// its output has been copied. copied tells how copying ended.
func (e *Engine) wait(ctx context.Context, id string, copied chan error) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := e.client.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := e.client.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
		return 0, err
	}
	// Copying ends when the container has, or because out has failed.
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case err := <-copied:
		copied <- nil // for whoever waits for the copying
		if err != nil {
			return 0, fmt.Errorf("copy the output: %w", err)
		}
	}
	select {
	case err := <-ended.Error:
		return 0, err
	case r := <-ended.Result:
		if r.Error != nil {
			return 0, errors.New(r.Error.Message)
		}
		return int(r.StatusCode), nil
	}
}

// end asks what runs in the container to end, kills it after the grace, and
// returns when its last output has been copied. What is left if the daemon does
// not do that is removed by force.
func (e *Engine) end(ctx context.Context, id string, grace time.Duration, copied chan error) {
	if grace <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, grace+removeWait)
	defer cancel()
	seconds := int(grace.Round(time.Second) / time.Second)
	if _, err := e.client.ContainerStop(ctx, id, client.ContainerStopOptions{Timeout: &seconds}); err != nil {
		return
	}
	select {
	case err := <-copied:
		copied <- err
	case <-time.After(drainWait):
	}
}
