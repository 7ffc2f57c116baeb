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
	return e.follow(ctx, created.ID, out)
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
func (e *Engine) follow(ctx context.Context, id string, out io.Writer) (engine.Result, error) {
	attached, err := e.client.ContainerAttach(ctx, id, client.ContainerAttachOptions{Stream: true, Stdout: true, Stderr: true})
	if err != nil {
		return engine.Result{}, err
	}
	copied := make(chan error, 1)
	go func() {
		_, err := stdcopy.StdCopy(out, out, attached.Reader)
		copied <- err
	}()
	exit, err := e.wait(ctx, id, copied)
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
