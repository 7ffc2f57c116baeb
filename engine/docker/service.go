package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"landfall.dev/engine"
)

const (
	// readyWait is how long a service may take to be ready.
	readyWait = 2 * time.Minute
	// readyPause is the time between two looks.
	readyPause = 100 * time.Millisecond
	// serviceTail is how many lines of a service's log are shown.
	serviceTail = 50
)

// serviceCapabilities are what the usual images of servers need to prepare
// their directories and then to become a user without rights.
var serviceCapabilities = []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}

// serve starts the services of t in a network of their own, and returns its name
// once they are ready. What it has made is removed by clear.
func (e *Engine) serve(ctx context.Context, t engine.Task) (string, error) {
	name := e.taskName(t.ID)
	labels := map[string]string{labelOwner: e.owner, labelBeside: t.ID}
	options := client.NetworkCreateOptions{Driver: "bridge", Internal: true, Labels: labels}
	if _, err := e.client.NetworkCreate(ctx, name, options); err != nil {
		return "", fmt.Errorf("make a network for the services: %w", err)
	}
	for _, s := range t.Services {
		if err := e.startService(ctx, t.ID, name, s); err != nil {
			return "", fmt.Errorf("service %s: %w", s.Name, err)
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyWait, fmt.Errorf("it was not ready within %s", readyWait))
	defer cancel()
	for _, s := range t.Services {
		if err := e.await(ctx, t.ID, s); err != nil {
			return "", fmt.Errorf("service %s is %w: %w", s.Name, engine.ErrNotReady, err)
		}
	}
	return name, nil
}

func (e *Engine) serviceName(task, service string) string {
	return e.taskName(task) + "." + service
}

func (e *Engine) startService(ctx context.Context, task, net string, s engine.Service) error {
	image, err := e.image(ctx, s.Image)
	if err != nil {
		return err
	}
	host := hostConfig(engine.Network(net), s.Limits)
	host.CapAdd = serviceCapabilities
	host.LogConfig = container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "1m", "max-file": "2"}}
	created, err := e.client.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name:       e.serviceName(task, s.Name),
		HostConfig: host,
		Config: &container.Config{
			Image: image, Cmd: s.Command, Env: environ(s.Env), Hostname: s.Name,
			Labels: map[string]string{labelOwner: e.owner, labelBeside: task},
		},
		NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{
			net: {Aliases: []string{s.Name}},
		}},
	})
	if err != nil {
		return err
	}
	return e.begin(ctx, created.ID)
}

// await returns once a service is ready.
func (e *Engine) await(ctx context.Context, task string, s engine.Service) error {
	name := e.serviceName(task, s.Name)
	for {
		found, err := e.client.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		state := found.Container.State
		if !state.Running {
			return fmt.Errorf("it ended with exit code %d", state.ExitCode)
		}
		ready := state.Health == nil || state.Health.Status == container.Healthy
		if s.Ready != "" {
			ready = e.succeeds(ctx, name, s.Ready)
		}
		if ready {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(readyPause):
		}
	}
}

// succeeds tells whether a shell's line ends with 0 in a container. If it cannot be
// run, the container has just ended, which the next look at it tells.
func (e *Engine) succeeds(ctx context.Context, name, line string) bool {
	created, err := e.client.ExecCreate(ctx, name, client.ExecCreateOptions{Cmd: []string{"sh", "-c", line}, AttachStdout: true})
	if err != nil {
		return false
	}
	attached, err := e.client.ExecAttach(ctx, created.ID, client.ExecAttachOptions{})
	if err != nil {
		return false
	}
	stop := context.AfterFunc(ctx, attached.Close)
	_, _ = io.Copy(io.Discard, attached.Reader) // to its end
	stop()
	attached.Close()
	ended, err := e.client.ExecInspect(ctx, created.ID, client.ExecInspectOptions{})
	return err == nil && !ended.Running && ended.ExitCode == 0
}

// tellServices writes the end of the log of each service to out.
func (e *Engine) tellServices(ctx context.Context, t engine.Task, out io.Writer) error {
	for _, s := range t.Services {
		text, err := e.tail(ctx, e.serviceName(t.ID, s.Name), serviceTail)
		if errdefs.IsNotFound(err) {
			continue // it was not started
		}
		if err != nil {
			return err
		}
		if n := len(text); n > 0 && text[n-1] != '\n' {
			text = append(text, '\n')
		}
		if _, err := fmt.Fprintf(out, "--- the last lines of service %s\n%s", s.Name, bytes.ToValidUTF8(text, []byte("?"))); err != nil {
			return err
		}
	}
	return nil
}

// clear kills and removes what ran beside a task, its network and its volumes.
func (e *Engine) clear(ctx context.Context, task string) error {
	var errs []error
	beside, err := e.containers(ctx, labelBeside+"="+task)
	errs = append(errs, err)
	for _, c := range beside {
		errs = append(errs, e.remove(ctx, c.ID))
	}
	filters := client.Filters{}.Add("label", labelOwner+"="+e.owner, labelBeside+"="+task)
	networks, err := e.client.NetworkList(ctx, client.NetworkListOptions{Filters: filters})
	errs = append(errs, err)
	for _, n := range networks.Items {
		if _, err := e.client.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{}); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	volumes, err := e.client.VolumeList(ctx, client.VolumeListOptions{Filters: filters})
	errs = append(errs, err)
	for _, v := range volumes.Items {
		_, err := e.client.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{})
		switch {
		case err == nil || errdefs.IsNotFound(err):
		case errdefs.IsConflict(err):
			errs = append(errs, fmt.Errorf("volume %s: %w", v.Name, engine.ErrInUse)) // by the task that it was prepared for
		default:
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// beside returns the ids of the tasks of which there is something beside their
// containers.
func (e *Engine) beside(ctx context.Context) ([]string, error) {
	containers, err := e.containers(ctx, labelBeside)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, c := range containers {
		ids = append(ids, c.Labels[labelBeside])
	}
	filters := client.Filters{}.Add("label", labelOwner+"="+e.owner, labelBeside)
	networks, err := e.client.NetworkList(ctx, client.NetworkListOptions{Filters: filters})
	if err != nil {
		return nil, err
	}
	for _, n := range networks.Items {
		ids = append(ids, n.Labels[labelBeside])
	}
	volumes, err := e.client.VolumeList(ctx, client.VolumeListOptions{Filters: filters})
	if err != nil {
		return nil, err
	}
	for _, v := range volumes.Items {
		ids = append(ids, v.Labels[labelBeside])
	}
	return ids, nil
}
