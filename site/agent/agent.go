package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"landfall.dev/api"
	"landfall.dev/engine"
	"landfall.dev/kit"
	"landfall.dev/kit/platform"
	"landfall.dev/site/agent/doors"
	"landfall.dev/site/agent/health"
	"landfall.dev/site/agent/verify"
	"landfall.dev/site/front"
	"landfall.dev/site/upgrade"
)

// Config says which environment an agent is for, and what it has there.
type Config struct {
	// Hub is the hub's address, "https://hub.example.org".
	Hub string
	// Token is that of an agent's account at the hub. "~" and the SHA-256 of the
	// hub's 1.root.json may follow it, in hex: an environment with a channel
	// needs that, and an agent with such a token takes nothing that is not signed.
	Token string
	// Environment is the name of the environment; empty means the one that the
	// token is for.
	Environment string
	// Data is the directory of all that the agent keeps. It is made.
	Data string
	// Listen is the address of the agent's own API; the default is a free port
	// on loopback.
	Listen string
	// Front is the address of the front door, "127.0.0.1:8080"; empty means
	// that there is none.
	Front string
	// Engine runs the instances. Nobody else uses it.
	Engine engine.Engine
	Logger *slog.Logger
}

// Agent is an environment's agent.
type Agent struct {
	config  Config
	log     *slog.Logger
	hub     *hub
	node    *platform.Node
	door    *front.Door
	front   net.Listener // nil without a front door
	follow  *follower
	gate    *gate
	groups  *instances
	address string // URL of the front door, or ""
}

// New checks c, takes the ports and returns an agent that Run will start.
func New(c Config) (*Agent, error) {
	if c.Data == "" || c.Engine == nil {
		return nil, errors.New("an agent needs a data directory and an engine to run instances with")
	}
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:0")
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	var err error
	if c.Data, err = filepath.Abs(c.Data); err != nil {
		return nil, err
	}
	a := &Agent{config: c, log: c.Logger}
	if a.hub, err = newHub(c.Hub, c.Token); err != nil {
		return nil, err
	}
	pinned := rootFile(filepath.Join(c.Data, "root"))
	if a.hub.root, err = pinned.pin(a.hub.root); err != nil {
		return nil, err
	}
	if a.front, err = listenFront(c.Front); err != nil {
		return nil, err
	}
	if a.front != nil {
		a.address = "http://" + a.front.Addr().String()
	}
	a.node, err = platform.New(platform.Config{Data: filepath.Join(c.Data, "node"), Listen: c.Listen, Logger: c.Logger})
	if err != nil {
		if a.front != nil {
			a.front.Close()
		}
		return nil, err
	}
	a.door = front.New(front.Options{Logger: c.Logger})
	a.assemble(pinned)
	return a, nil
}

// portWait is how long the front door's port is waited for: an agent that ends,
// or a connection that happens to go out from the port, lets go of it soon.
const portWait = 5 * time.Second

func listenFront(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fmt.Errorf("%q is no address for the front door: write it like 127.0.0.1:8080", address)
	}
	l, err := net.Listen("tcp", address)
	for end := time.Now().Add(portWait); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
		l, err = net.Listen("tcp", address)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the front door cannot open: %s is in use by another program, maybe another agent; stop that, or choose another port by --front", address)
	}
	return l, err
}

// assemble joins the parts and gives them to the node.
func (a *Agent) assemble(pinned rootFile) {
	const name = "agent"
	c := a.node.Client("services/" + name)
	a.groups = newInstances(c, a.config.Engine, a.config.Data, a.log)
	a.gate = &gate{client: c, doors: doors.New(a.door, c, a.log)}
	a.follow = &follower{
		client: c, hub: a.hub, log: a.log,
		verifier: verify.New(filepath.Join(a.config.Data, "trust"), a.hub.root, a.hub.trusted),
		remember: pinned.remember, classify: a.gate.classify,
	}
	w := &worker{client: c, puller: newPuller(a.hub, a.config.Engine, a.config.Data), groups: a.groups, front: a.address}
	r := &reporter{client: c, hub: a.hub, log: a.log, pending: map[kit.Link]report{}, news: make(chan struct{}, 1)}
	a.node.Add(kit.Service{
		Name:   name,
		Owns:   []kit.Owned{kit.Own(orders, next), kit.Own[group](groups, nil), kit.Own[route](routes, nil), doors.Owned()},
		Writes: []string{api.Upgrades.Name},
		Does:   w.actions(),
		Serves: a.gate.doors.Serves(),
		Runs: []func(context.Context) error{
			func(ctx context.Context) error { return a.gate.restore(ctx, a.groups) },
			a.groups.supervise, a.follow.run, r.run, a.gate.doors.Run,
		},
	})
	a.node.Add(upgrade.Service(a.node.Client("services/upgrade"), a.gate, copiers(a.groups), a.groups, health.New(a.gate.doors, w.testsFailed), a.log))
}

// URL is the address of the agent's own API.
func (a *Agent) URL() string { return a.node.URL() }

// Client returns a client of the agent's own documents that acts as subject,
// without a socket.
func (a *Agent) Client(subject string) kit.Client { return a.node.Client(subject) }

// Run works until ctx ends, and returns once everything that it has started in
// this process has stopped; the instances go on. It fails if the hub does not
// accept the agent at its first start, or if another process uses the data
// directory.
func (a *Agent) Run(ctx context.Context) error {
	if a.front != nil {
		defer a.front.Close()
	}
	name, err := a.identify(ctx)
	if err != nil || ctx.Err() != nil {
		return err
	}
	a.follow.name = name
	a.log.Info("looks after", "environment", name, "hub", a.hub.url, "api", a.URL(), "front", a.address)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.node.Run(ctx) })
	if a.front != nil {
		g.Go(func() error { return a.door.Run(ctx, a.front) })
	}
	return g.Wait()
}

// identify returns the name of the environment: the one that the data directory
// is for, or at the first start the hub's answer, which it waits for. A site
// that runs does not depend on what a hub says to its agent's next start.
func (a *Agent) identify(ctx context.Context) (string, error) {
	path := filepath.Join(a.config.Data, "environment")
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if known := strings.TrimSpace(string(b)); known != "" {
		if name := a.config.Environment; name != "" && name != known {
			return "", fmt.Errorf("the data directory %s belongs to the environment %s, not %s: give the agent a directory of its own by --data", a.config.Data, known, name)
		}
		return known, nil
	}
	wait := pause{first: hubPause, longest: longHubPause}
	for {
		e, err := a.hub.environment(ctx, a.config.Environment)
		name := e.Link.ID()
		switch {
		case err == nil && e.Channel != "" && a.hub.root == "":
			return "", fmt.Errorf("the environment %s follows %s: %w", name, e.Channel, errNoRoot)
		case err == nil && e.Channel == "" && a.hub.root != "":
			return "", noChannel(e)
		case err == nil:
			return name, keep(path, name)
		case ctx.Err() != nil:
			return "", nil
		case !kit.Temporary(err):
			return "", fmt.Errorf("the hub %s does not accept this agent: %w", a.hub.url, err)
		}
		next := wait.longer()
		a.log.Warn("the hub is waited for", "hub", a.hub.url, "error", err, "again", next)
		if !sleep(ctx, next, nil) {
			return "", nil
		}
	}
}

// keep writes a line to the file at path, all or nothing.
func keep(path, line string) error {
	if err := os.WriteFile(path+".new", []byte(line+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// rootFile is the path of a file that keeps the trust root by which a channel
// was believed, as its SHA-256 in hex. From then on the agent believes nothing
// else, whatever token it is started with: tokens are made by the hub.
type rootFile string

// pin returns the root to believe, when the token pins another one or none.
func (f rootFile) pin(token string) (string, error) {
	b, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return token, nil
	}
	if err != nil {
		return "", err
	}
	kept := strings.TrimSpace(string(b))
	if token != "" && token != kept {
		return "", fmt.Errorf("the token pins the trust root %s, but this agent has believed a channel by %s: if the hub's trust was really set up anew, remove %s; otherwise the token is not of the hub that it was", token, kept, f)
	}
	return kept, nil
}

// remember keeps the root, unless it is kept already.
func (f rootFile) remember(root string) error {
	if _, err := os.Stat(string(f)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return keep(string(f), root)
}
