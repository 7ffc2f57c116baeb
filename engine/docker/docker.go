// Package docker runs tasks and instances as containers of a Docker daemon: on
// this machine, whose directories they are given, or, for tasks, on another, to
// which their workspaces are copied. Containers get no capabilities and no new privileges, and run
// as the owner of the directory that they are given, so that both sides can
// read and write what the other has made.
//
// The daemon holds all state: what an engine has started is known by its
// labels. There is no restart policy, because the engine's caller decides.
package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"landfall.dev/engine"
)

var _ engine.Engine = (*Engine)(nil)

// The labels of a container. Those of an Instance are stored under labelUser.
const (
	labelOwner = "landfall.owner"
	labelTask  = "landfall.task"
	// labelBeside is on what runs beside a task, with the task's id.
	labelBeside = "landfall.beside"
	// Those of the volumes of caches: the cache's name, what is written over it, and
	// how people know them. labelUsed is a time, on marks.
	labelCache   = "landfall.cache"
	labelOwn     = "landfall.own"
	labelProject = "landfall.project"
	labelKey     = "landfall.key"
	labelOf      = "landfall.of"
	labelUsed    = "landfall.used"

	labelGroup = "landfall.group"
	labelName  = "landfall.name"
	labelImage = "landfall.image"
	labelSpec  = "landfall.spec" // digest of all that the instance was started with
	labelUser  = "landfall.label."
)

// maxLog bounds what the daemon keeps of an instance's output, twice.
const maxLog = "64m"

// Engine is an engine.Engine on a Docker daemon.
type Engine struct {
	client *client.Client
	owner  string
	host   host

	counted sync.Once
	starts  chan struct{} // holds an element for each container that is being started

	// caches is held, with others, from when a cache is looked for until a container
	// has it, and alone to remove one.
	caches sync.RWMutex
}

// New connects to the daemon that the environment names (DOCKER_HOST,
// DOCKER_CERT_PATH), or to the machine's own. The engine sees only containers
// of its owner, such as an agent's name.
func New(ctx context.Context, owner string) (*Engine, error) {
	return Open(ctx, owner, hostOfEnvironment())
}

// Open is New for the daemon at an address, as Connect takes it.
func Open(ctx context.Context, owner, address string) (*Engine, error) {
	e, err := Connect(owner, address)
	if err != nil {
		return nil, err
	}
	if err := e.Ping(ctx); err != nil {
		return nil, errors.Join(e.Close(), fmt.Errorf("docker: no daemon answers at %s: start it, or name another in DOCKER_HOST: %w", e.host.address, err))
	}
	return e, nil
}

// Ping asks the daemon for an answer.
func (e *Engine) Ping(ctx context.Context) error {
	_, err := e.client.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	return err
}

// Close ends the connections to the daemon, not what was started.
func (e *Engine) Close() error { return e.client.Close() }

// Name is "docker".
func (e *Engine) Name() string { return "docker" }

// hostConfig is what all containers have in common.
func hostConfig(network engine.Network, limits engine.Limits) *container.HostConfig {
	init := true // reaps zombies and passes SIGTERM on to a shell's children
	h := &container.HostConfig{
		NetworkMode: container.NetworkMode(network),
		Init:        &init,
		CapDrop:     []string{"ALL"},
		SecurityOpt: []string{"no-new-privileges"},
	}
	h.NanoCPUs = int64(limits.CPUs * 1e9)
	h.Memory = limits.MemoryMB << 20
	h.MemorySwap = h.Memory // none in addition
	if limits.Pids > 0 {
		h.PidsLimit = &limits.Pids
	}
	return h
}

// bind shows a directory of the host in a container.
func bind(host, target string, readOnly bool) mount.Mount {
	return mount.Mount{Type: mount.TypeBind, Source: host, Target: target, ReadOnly: readOnly}
}

// ownerOf is the user and group of a directory, as "uid:gid".
func ownerOf(dir string) (string, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is not a directory", dir)
	}
	s := info.Sys().(*syscall.Stat_t) // what Linux has
	return fmt.Sprintf("%d:%d", s.Uid, s.Gid), nil
}

// environ turns variables into the daemon's form.
func environ(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for key, value := range env {
		list = append(list, key+"="+value)
	}
	return list
}

// remove kills and removes a container, if it is there.
func (e *Engine) remove(ctx context.Context, id string) error {
	_, err := e.client.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) && strings.Contains(err.Error(), "already in progress") {
		return nil
	}
	return err
}
