package agent

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"landfall.dev/api"
	"landfall.dev/engine"
	"landfall.dev/kit"
	"landfall.dev/kit/migrate"
	"landfall.dev/kit/platform"
	"landfall.dev/site/agent/room"
)

// groups of instances are what runs here. Ids are numbers, so that no name is
// ever used again.
var groups = kit.Define[group]("instance-groups", kit.Counted(), kit.Local())

// group is a group of instances of one image.
type group struct {
	kit.Meta
	Order   kit.Link   `json:"order"`
	Attempt int        `json:"attempt"` // the order's
	Project string     `json:"project"`
	Image   string     `json:"image"`
	Release kit.Link   `json:"release,omitempty"`
	Nodes   int        `json:"nodes"`
	Ports   []int      `json:"ports"` // on loopback, one for each instance
	Token   string     `json:"token"` // of the cluster that the instances form
	Standby bool       `json:"standby,omitempty"`
	State   groupState `json:"state"`
}

// groupState is where a group is.
type groupState string

// The states of a group.
const (
	groupPlanned  groupState = "planned"  // nothing of it has answered yet
	groupRunning  groupState = "running"  // what ends is started again
	groupStopping groupState = "stopping" // it is being destroyed
)

// name is that of the group everywhere but in links: "ledger-3".
func (g group) name() string { return g.Project + "-" + g.Link.ID() }

// urls are the addresses of the instances.
func (g group) urls() []string {
	urls := make([]string, len(g.Ports))
	for i, a := range g.addresses() {
		urls[i] = "http://" + a
	}
	return urls
}

func (g group) addresses() []string {
	list := make([]string, len(g.Ports))
	for i, port := range g.Ports {
		list[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	return list
}

// side is the group as upgrades know it.
func (g group) side() api.Side {
	return api.Side{Group: g.name(), Image: g.Image, Release: g.Release, URLs: g.urls()}
}

// groupID returns the id of the group with the name, or "".
func groupID(name string) string {
	id := name[strings.LastIndexByte(name, '-')+1:]
	if _, err := strconv.Atoi(id); err != nil {
		return ""
	}
	return id
}

// instances starts and stops groups. It implements upgrade.Groups.
type instances struct {
	client kit.Client
	engine engine.Engine
	dir    string // absolute; groups/GROUP/INSTANCE below it is its data
	log    *slog.Logger

	mu   sync.Mutex
	busy map[string]*sync.Mutex // by group: held while it is started or stopped
}

// Bounds of starting a group.
const (
	readyWithin = 3 * time.Minute // an instance has to answer
	maxEnds     = 3               // times that it may end before that
	pollEvery   = 100 * time.Millisecond
)

func newInstances(c kit.Client, e engine.Engine, dir string, log *slog.Logger) *instances {
	return &instances{client: c, engine: e, dir: dir, log: log, busy: map[string]*sync.Mutex{}}
}

func (s *instances) lock(name string) *sync.Mutex {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[name] == nil {
		s.busy[name] = new(sync.Mutex)
	}
	return s.busy[name]
}

// of returns the groups that were made for an attempt of o.
func (s *instances) of(ctx context.Context, o order) (all []group, err error) {
	filter := fmt.Sprintf("order == %q && attempt == %d", o.Link, o.Attempt)
	for g, err := range groups.All(ctx, s.client, filter, "") {
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, nil
}

// plan returns the group for this attempt of o, which is made if there is none.
// Its cluster's token is that of the group that it is to replace, if any: what
// that has sealed with it, as the secrets of webhooks, is opened by its successor.
func (s *instances) plan(ctx context.Context, o order, replaced group) (group, error) {
	if err := engine.CheckName("project", o.Project); err != nil {
		return group{}, kit.Errorf(kit.ErrInvalid, o.Link, "no group can be named after the project: %v", err)
	}
	all, err := s.of(ctx, o)
	if err != nil {
		return group{}, err
	}
	if len(all) > 0 {
		return all[0], nil
	}
	g := group{
		Order: o.Link, Attempt: o.Attempt, Project: o.Project, Image: o.Image, Release: o.Release,
		Nodes: max(1, o.Nodes), Token: cmp.Or(replaced.Token, newToken()), State: groupPlanned,
	}
	if g.Ports, err = s.freePorts(ctx, g.Nodes); err != nil {
		return group{}, err
	}
	return groups.Create(ctx, s.client, "", g)
}

func newToken() string {
	secret := [32]byte{}
	_, _ = rand.Read(secret[:]) // never fails
	return hex.EncodeToString(secret[:])
}

// find returns the group with the name.
func (s *instances) find(ctx context.Context, name string) (group, error) {
	id := groupID(name)
	if id == "" {
		return group{}, kit.Errorf(kit.ErrNotFound, "", "there is no group %q here", name)
	}
	g, err := groups.Read(ctx, s.client, id)
	if err == nil && g.name() != name {
		err = kit.Errorf(kit.ErrNotFound, "", "there is no group %q here", name)
	}
	return g, err
}

// Start implements upgrade.Groups.
func (s *instances) Start(ctx context.Context, side api.Side, standby bool) (api.Side, error) {
	l := s.lock(side.Group)
	l.Lock()
	defer l.Unlock()
	g, err := s.find(ctx, side.Group)
	if err != nil {
		return side, err
	}
	if g.State == groupStopping {
		return side, kit.Errorf(kit.ErrConflict, g.Link, "the group is being destroyed")
	}
	if g.State == groupPlanned && g.Standby != standby {
		if g, err = s.change(ctx, g, func(g *group) { g.Standby = standby }); err != nil {
			return side, err
		}
	}
	if g, err = s.start(ctx, g); err != nil {
		return side, err
	}
	if g.State == groupPlanned {
		if standby {
			if err := fence(ctx, g); err != nil {
				return side, err
			}
		}
		if g, err = s.change(ctx, g, func(g *group) { g.State = groupRunning }); err != nil {
			return side, err
		}
		s.log.Info("started", "group", g.name(), "image", g.Image, "instances", g.Nodes)
	}
	side.URLs = g.urls()
	return side, nil
}

// firstEpoch is that of the fence which a group in standby puts up by itself.
const firstEpoch = 1

// fence makes sure that the fence of g, which is in standby, is up: its
// instances may answer before they have put it up, and no copy can begin then.
func fence(ctx context.Context, g group) error {
	m := migrate.Client{URLs: g.urls(), Token: g.Token}
	_, err := m.Fence(ctx, firstEpoch, true)
	if errors.Is(err, kit.ErrNotFound) || errors.Is(err, kit.ErrConflict) {
		return nil // it keeps nothing, or a later decision is there
	}
	return err
}

func (s *instances) change(ctx context.Context, g group, f func(*group)) (group, error) {
	return groups.Modify(ctx, s.client, g.Link.ID(), func(g *group) error { f(g); return nil })
}

// start makes all instances of g run and returns once they answer. The first
// one makes the cluster that the others join.
func (s *instances) start(ctx context.Context, g group) (group, error) {
	for i := 0; i < g.Nodes; i++ {
		err := s.startOne(ctx, g, i)
		if errors.Is(err, errPortTaken) && g.State == groupPlanned {
			if g, err = s.move(ctx, g); err != nil {
				return g, err
			}
			i = -1
			continue
		}
		if err != nil {
			return g, err
		}
	}
	return g, nil
}

// errPortTaken means that an instance has ended and something else has its port.
var errPortTaken = errors.New("another program has taken its port")

// freePorts returns n ports that nothing listens on and no group has.
func (s *instances) freePorts(ctx context.Context, n int) ([]int, error) {
	taken := map[int]bool{}
	for g, err := range groups.All(ctx, s.client, "", "") {
		if err != nil {
			return nil, err
		}
		for _, port := range g.Ports {
			taken[port] = true
		}
	}
	return room.Ports(n, taken)
}

// move gives g, of which nothing has been used yet, other ports.
func (s *instances) move(ctx context.Context, g group) (group, error) {
	s.log.Info("moved to other ports", "group", g.name(), "from", g.Ports)
	if err := s.engine.Stop(ctx, g.name()); err != nil {
		return g, err
	}
	if err := os.RemoveAll(s.data(g)); err != nil {
		return g, err
	}
	ports, err := s.freePorts(ctx, g.Nodes)
	if err != nil {
		return g, err
	}
	return s.change(ctx, g, func(g *group) { g.Ports = ports })
}

// startOne starts the instance i of g and returns once it answers.
func (s *instances) startOne(outer context.Context, g group, i int) error {
	ctx, cancel := context.WithTimeoutCause(outer, readyWithin, fmt.Errorf("it did not answer GET /healthz with 200 within %s", readyWithin))
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for ends := 0; ; {
		st, err := s.status(ctx, g.name(), strconv.Itoa(i))
		if err == nil && !st.Running {
			if err := s.ended(g, i, ends, st); err != nil {
				return s.explain(g, i, err)
			}
			ends++
			err = s.engine.Start(ctx, s.instance(g, i))
		}
		switch {
		case errors.Is(err, engine.ErrInvalid) || errors.Is(err, engine.ErrNoImage):
			return kit.Errorf(kit.ErrInvalid, "", "%v", err) // to repeat it would not help
		case err == nil && healthy(ctx, g.urls()[i]):
			return nil
		}
		select {
		case <-outer.Done():
			return context.Cause(outer)
		case <-ctx.Done():
			return s.explain(g, i, errors.Join(context.Cause(ctx), err))
		case <-tick.C:
		}
	}
}

// ended returns why an instance that does not run must not be started again,
// after so many times that it was.
func (s *instances) ended(g group, i, ends int, st engine.Status) error {
	if !room.Unused(g.Ports[i]) {
		return errPortTaken
	}
	if ends >= maxEnds {
		return fmt.Errorf("it ended %d times before it answered, with exit code %d", ends, st.Exit)
	}
	return nil
}

// explain adds what the instance has written last to err, which then is no
// reason to try again.
func (s *instances) explain(g group, i int, err error) error {
	if errors.Is(err, errPortTaken) {
		return err
	}
	text := fmt.Sprintf("instance %s/%d: %v", g.name(), i, err)
	if last := s.lastWords(g, i, 10); last != "" {
		text += "; its last words:\n" + last
	}
	return kit.Errorf(kit.ErrConflict, g.Link, "%s", text)
}

// lastWords returns the last lines that the instance has written.
func (s *instances) lastWords(g group, i, lines int) string {
	logs, _ := s.engine.Logs(context.Background(), g.name(), strconv.Itoa(i), lines)
	return strings.TrimSpace(string(logs))
}

// blame returns err with what an instance of the side said that does not run.
func (s *instances) blame(ctx context.Context, side api.Side, err error) error {
	g, unknown := s.find(ctx, side.Group)
	for i := 0; i < g.Nodes && unknown == nil; i++ {
		if st, unclear := s.status(ctx, g.name(), strconv.Itoa(i)); unclear == nil && !st.Running {
			return fmt.Errorf("instance %s/%d has ended: %s: %w", g.name(), i, s.lastWords(g, i, 1), err)
		}
	}
	return err
}

// status returns what the engine says of an instance. One that it does not
// know does not run.
func (s *instances) status(ctx context.Context, group, name string) (engine.Status, error) {
	all, err := s.engine.List(ctx)
	for _, st := range all {
		if st.Group == group && st.Name == name {
			return st, nil
		}
	}
	return engine.Status{Group: group, Name: name, Exit: notSeen}, err
}

// notSeen is the exit code of an instance that was never started, or whose end
// nobody saw.
const notSeen = -1

// instance is the i-th instance of g.
func (s *instances) instance(g group, i int) engine.Instance {
	env := map[string]string{platform.EnvListen: g.addresses()[i], platform.EnvToken: g.Token}
	if i > 0 {
		env[platform.EnvJoin] = g.urls()[0]
	}
	if g.Standby {
		env[platform.EnvStandby] = "1"
	}
	name := strconv.Itoa(i)
	return engine.Instance{Group: g.name(), Name: name, Image: g.Image, Env: env, Data: filepath.Join(s.data(g), name)}
}

func (s *instances) data(g group) string { return filepath.Join(s.dir, "groups", g.name()) }

// healthClient is for requests that have to be answered at once.
var healthClient = &http.Client{Timeout: 2 * time.Second}

// healthy tells whether the instance at url is ready.
func healthy(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/healthz", nil)
	if err != nil {
		return false
	}
	res, err := healthClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// Stop implements upgrade.Groups. The group that the front door shows stays.
func (s *instances) Stop(ctx context.Context, side api.Side) error {
	l := s.lock(side.Group)
	l.Lock()
	defer l.Unlock()
	g, err := s.find(ctx, side.Group)
	if errors.Is(err, kit.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	r, err := readRoute(ctx, s.client)
	if err != nil {
		return err
	}
	if r.Group == g.name() {
		return kit.Errorf(kit.ErrConflict, g.Link, "the front door leads to %s: it must not be destroyed", g.name())
	}
	if g, err = s.change(ctx, g, func(g *group) { g.State = groupStopping }); err != nil {
		return err
	}
	for _, name := range []string{testGroup(g), g.name()} {
		if err := s.engine.Stop(ctx, name); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(s.data(g)); err != nil {
		return err
	}
	if err := s.client.Delete(ctx, g.Link, 0); err != nil && !errors.Is(err, kit.ErrNotFound) {
		return err
	}
	s.log.Info("destroyed", "group", g.name())
	return nil
}

// Free implements upgrade.Groups. The engine's groups are on this machine.
func (s *instances) Free(context.Context) (api.Room, error) { return room.Free(s.dir) }
