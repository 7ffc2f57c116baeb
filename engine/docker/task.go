package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"landfall.dev/engine"
)

// removeWait is how long the daemon may take to remove a task's container,
// copyWait to send its workspace from another machine.
const (
	removeWait = time.Minute
	copyWait   = 10 * time.Minute
)

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
	if err := e.Discard(ctx, t.ID); err != nil {
		return result, err
	}
	// The daemon may have made things although the caller has given up.
	defer func() {
		ctx := context.WithoutCancel(ctx)
		err = errors.Join(err, e.leave(ctx, t, out))
		if err != nil && t.Spare != "" { // it may not have been taken over
			err = errors.Join(err, e.discardWithin(ctx, t.Spare))
		}
	}()
	if len(t.Services) > 0 {
		network, err := e.serve(ctx, t)
		if err != nil {
			return result, errors.Join(err, e.tellServices(context.WithoutCancel(ctx), t, out))
		}
		t.Network = engine.Network(network)
	}
	id, err := e.adopt(ctx, t)
	spare := id != ""
	if err == nil && !spare {
		id, err = e.createTask(ctx, t, image, user)
	}
	if err != nil {
		return result, err
	}
	result, err = e.follow(ctx, id, spare, t, out)
	return e.settle(ctx, id, t, out, result, err)
}

// leave removes what is left of a task that has ended, and looks after its caches.
func (e *Engine) leave(ctx context.Context, t engine.Task, out io.Writer) error {
	if err := e.discardWithin(ctx, t.ID); err != nil {
		return err
	}
	e.trim(ctx, t, out, time.Now())
	return nil
}

// discardWithin is Discard within removeWait.
func (e *Engine) discardWithin(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, removeWait)
	defer cancel()
	return e.Discard(ctx, id)
}

// settle brings home what a task that has ended with result or err has left.
func (e *Engine) settle(ctx context.Context, id string, t engine.Task, out io.Writer, result engine.Result, err error) (engine.Result, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), copyWait)
	defer cancel()
	copyErr := e.copyOut(ctx, id, t)
	switch {
	case errors.Is(copyErr, errTooLarge):
		result.OutOfDisk = true
	case err == nil:
		err = copyErr
	}
	if err == nil && result.Exit != 0 {
		err = e.tellServices(ctx, t, out)
	}
	return result, err
}

// createTask makes the container of t, with all that it has before it starts.
func (e *Engine) createTask(ctx context.Context, t engine.Task, image, user string) (string, error) {
	created, err := e.createWithCaches(ctx, t, e.taskContainer(t, e.taskName(t.ID), image, user))
	if err != nil {
		return "", err
	}
	for _, c := range t.Caches {
		if err := e.give(ctx, created.ID, c.Path, user); err != nil {
			return "", fmt.Errorf("cache %s: %w", c.Name, err)
		}
	}
	return created.ID, e.copyIn(ctx, created.ID, t)
}

func (e *Engine) createWithCaches(ctx context.Context, t engine.Task, options client.ContainerCreateOptions) (client.ContainerCreateResult, error) {
	e.caches.RLock()
	defer e.caches.RUnlock()
	caches, err := e.cacheMounts(ctx, t.Caches)
	if err != nil {
		return client.ContainerCreateResult{}, err
	}
	options.HostConfig.Mounts = append(options.HostConfig.Mounts, caches...)
	return e.client.ContainerCreate(ctx, options)
}

func (e *Engine) taskContainer(t engine.Task, name, image, user string) client.ContainerCreateOptions {
	network := t.Network
	if network == "" {
		network = engine.NoNetwork
	}
	host := hostConfig(network, t.Limits)
	// The attached stream is what is read; the log is for Resume.
	host.LogConfig = container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": maxTaskLog, "max-file": "2"}}
	host.Tmpfs = map[string]string{"/tmp": "exec,mode=1777"}
	if t.Limits.DiskMB > 0 {
		host.Tmpfs["/tmp"] += fmt.Sprintf(",size=%dm", t.Limits.DiskMB)
	}
	host.Mounts = append(host.Mounts, e.mount(t.ID, engine.Mount{Host: t.Dir, Target: engine.WorkPath, Own: true}))
	env := map[string]string{"HOME": "/tmp"}
	if t.Grace > 0 {
		env[killGroup] = "1"
	}
	for _, m := range t.Mounts {
		host.Mounts = append(host.Mounts, e.mount(t.ID, m))
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

// follow starts a container, or the work of a spare one, and copies its output
// until it has ended. It attaches first, so that no output is lost.
func (e *Engine) follow(ctx context.Context, id string, spare bool, t engine.Task, out io.Writer) (engine.Result, error) {
	// The stream outlives ctx by the grace.
	stream, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	keep := context.AfterFunc(ctx, hangUp)
	attached, err := e.client.ContainerAttach(stream, id, client.ContainerAttachOptions{Stream: true, Stdin: spare, Stdout: true, Stderr: true})
	keep()
	if err != nil {
		return engine.Result{}, err
	}
	copied := make(chan error, 1)
	go func() {
		_, err := stdcopy.StdCopy(out, out, attached.Reader)
		copied <- err
	}()
	watching, endWatch := context.WithCancel(ctx)
	defer endWatch()
	watched := make(chan engine.Result, 1)
	go func() { watched <- e.watch(watching, id, t) }()
	until, start := container.WaitConditionNextExit, func(ctx context.Context) error { return e.begin(ctx, id) }
	if spare {
		until, start = container.WaitConditionNotRunning, func(context.Context) error { return tell(attached.Conn, t) }
	}
	exit, err := e.wait(ctx, id, until, start, copied)
	endWatch()
	result := <-watched
	if ctx.Err() != nil {
		e.end(context.WithoutCancel(ctx), id, t.Grace, copied)
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
	result.Exit, result.OutOfMemory = exit, ended.Container.State.OOMKilled
	return result, nil
}

// begin starts a container, with no more at once than the machine has cores:
// more would all take longer.
func (e *Engine) begin(ctx context.Context, id string) error {
	e.counted.Do(func() {
		cores := runtime.NumCPU()
		if e.host.elsewhere {
			if info, err := e.client.Info(ctx, client.InfoOptions{}); err == nil {
				cores = max(1, info.Info.NCPU)
			}
		}
		e.starts = make(chan struct{}, cores)
	})
	select {
	case e.starts <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-e.starts }()
	_, err := e.client.ContainerStart(ctx, id, client.ContainerStartOptions{})
	return err
}

// wait starts what a container is to do and returns its exit code when it has
// ended and all its output has been copied. copied tells how copying ended.
func (e *Engine) wait(ctx context.Context, id string, until container.WaitCondition, start func(context.Context) error, copied chan error) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := e.client.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: until})
	if err := start(ctx); err != nil {
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
