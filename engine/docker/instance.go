package docker

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"landfall.dev/engine"
)

// Start starts i in a container on the host's network.
func (e *Engine) Start(ctx context.Context, i engine.Instance) error {
	if err := i.Check(); err != nil {
		return err
	}
	if err := e.start(ctx, i); err != nil {
		return fmt.Errorf("start %s/%s: %w", i.Group, i.Name, err)
	}
	return nil
}

func (e *Engine) start(ctx context.Context, i engine.Instance) error {
	id, err := e.prepare(ctx, i)
	if err != nil || id == "" {
		return err
	}
	_, err = e.client.ContainerStart(ctx, id, client.ContainerStartOptions{})
	return err
}

// prepare returns the container to start for i, or "" if it runs.
func (e *Engine) prepare(ctx context.Context, i engine.Instance) (string, error) {
	spec, err := specOf(i)
	if err != nil {
		return "", err
	}
	old, err := e.client.ContainerInspect(ctx, e.containerName(i), client.ContainerInspectOptions{})
	switch {
	case errdefs.IsNotFound(err):
	case err != nil:
		return "", err
	case old.Container.State.Running && old.Container.Config.Labels[labelImage] == i.Image:
		return "", nil
	case old.Container.State.Running:
		return "", fmt.Errorf("%w: it runs image %s: stop its group before it is started from %s",
			engine.ErrInvalid, old.Container.Config.Labels[labelImage], i.Image)
	case old.Container.Config.Labels[labelSpec] == spec:
		return old.Container.ID, nil // and its logs are kept
	default:
		if err := e.remove(ctx, old.Container.ID); err != nil {
			return "", err
		}
	}
	image, err := e.image(ctx, i.Image)
	if err != nil {
		return "", err
	}
	options, err := e.instanceContainer(i, image, spec)
	if err != nil {
		return "", err
	}
	created, err := e.client.ContainerCreate(ctx, options)
	return created.ID, err
}

func (e *Engine) instanceContainer(i engine.Instance, image, spec string) (client.ContainerCreateOptions, error) {
	host := hostConfig(engine.HostNetwork, i.Limits)
	host.LogConfig = container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": maxLog, "max-file": "2"}}
	config := &container.Config{
		Image:  image,
		Env:    environ(i.Env),
		Labels: map[string]string{labelOwner: e.owner, labelGroup: i.Group, labelName: i.Name, labelImage: i.Image, labelSpec: spec},
	}
	for key, value := range i.Labels {
		config.Labels[labelUser+key] = value
	}
	if len(i.Command) > 0 {
		config.Entrypoint = i.Command
	}
	grace := int(math.Ceil(cmp.Or(i.Grace, engine.DefaultGrace).Seconds()))
	config.StopTimeout, config.StopSignal = &grace, "SIGTERM"
	if i.Data != "" {
		if err := os.MkdirAll(i.Data, 0o700); err != nil {
			return client.ContainerCreateOptions{}, err
		}
		user, err := ownerOf(i.Data)
		if err != nil {
			return client.ContainerCreateOptions{}, fmt.Errorf("data directory: %w", err)
		}
		config.User = user
		config.Env = append(config.Env, engine.DataVariable+"="+engine.DataPath)
		host.Mounts = append(host.Mounts, bind(i.Data, engine.DataPath, false))
	}
	return client.ContainerCreateOptions{Name: e.containerName(i), Config: config, HostConfig: host}, nil
}

// containerName tells people which instance it is. The digest at its end keeps
// apart what would be the same when joined by dashes.
func (e *Engine) containerName(i engine.Instance) string {
	sum := sha256.Sum256([]byte(e.owner + "/" + i.Group + "/" + i.Name))
	return strings.Join([]string{"landfall", e.owner, i.Group, i.Name, hex.EncodeToString(sum[:4])}, "-")
}

// specOf is the same for two instances that are started in the same way.
func specOf(i engine.Instance) (string, error) {
	data, err := json.Marshal(i)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// Stop ends the containers of a group together.
func (e *Engine) Stop(ctx context.Context, group string) error {
	if err := engine.CheckName("group", group); err != nil {
		return err
	}
	members, err := e.containers(ctx, labelGroup+"="+group)
	if err != nil {
		return fmt.Errorf("stop %s: %w", group, err)
	}
	errs := make([]error, len(members))
	var wait sync.WaitGroup
	for n, c := range members {
		wait.Go(func() { errs[n] = e.stop(ctx, c.ID) })
	}
	wait.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop %s: %w", group, err)
	}
	return nil
}

func (e *Engine) stop(ctx context.Context, id string) error {
	// Without a time of ours the daemon takes that of the container.
	if _, err := e.client.ContainerStop(ctx, id, client.ContainerStopOptions{}); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	return e.remove(ctx, id)
}

// List asks the daemon for the containers of this owner.
func (e *Engine) List(ctx context.Context) ([]engine.Status, error) {
	containers, err := e.containers(ctx, labelGroup)
	if err != nil {
		return nil, fmt.Errorf("list instances: %w", err)
	}
	var list []engine.Status
	for _, c := range containers {
		s, err := e.status(ctx, c)
		if errdefs.IsNotFound(err) {
			continue // stopped meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("list instances: %w", err)
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b engine.Status) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.Name, b.Name))
	})
	return list, nil
}

// containers are those of this owner that have a label, running or not.
func (e *Engine) containers(ctx context.Context, label string) ([]container.Summary, error) {
	filters := client.Filters{}.Add("label", labelOwner+"="+e.owner, label)
	list, err := e.client.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	return list.Items, err
}

func (e *Engine) status(ctx context.Context, c container.Summary) (engine.Status, error) {
	s := engine.Status{
		Group:   c.Labels[labelGroup],
		Name:    c.Labels[labelName],
		Image:   c.Labels[labelImage],
		Running: c.State == container.StateRunning || c.State == container.StatePaused,
	}
	for label, value := range c.Labels {
		if key, ok := strings.CutPrefix(label, labelUser); ok {
			if s.Labels == nil {
				s.Labels = make(map[string]string)
			}
			s.Labels[key] = value
		}
	}
	if s.Running {
		return s, nil
	}
	full, err := e.client.ContainerInspect(ctx, c.ID, client.ContainerInspectOptions{})
	if err != nil {
		return s, err
	}
	s.Exit = full.Container.State.ExitCode
	if full.Container.State.Status == container.StateCreated {
		s.Exit = -1 // it has never run
	}
	return s, nil
}

// Logs asks the daemon for the end of the container's log.
func (e *Engine) Logs(ctx context.Context, group, name string, tail int) ([]byte, error) {
	if err := errors.Join(engine.CheckName("group", group), engine.CheckName("instance name", name)); err != nil {
		return nil, err
	}
	text, err := e.tail(ctx, e.containerName(engine.Instance{Group: group, Name: name}), tail)
	if errdefs.IsNotFound(err) {
		err = engine.ErrNoInstance
	}
	if err != nil {
		return nil, fmt.Errorf("logs of %s/%s: %w", group, name, err)
	}
	return text, nil
}

// tail returns the last lines of what a container has written.
func (e *Engine) tail(ctx context.Context, id string, lines int) ([]byte, error) {
	logs, err := e.client.ContainerLogs(ctx, id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Tail: strconv.Itoa(max(0, lines))})
	if err != nil {
		return nil, err
	}
	defer logs.Close()
	var out bytes.Buffer
	_, err = stdcopy.StdCopy(&out, &out, logs)
	return out.Bytes(), err
}
