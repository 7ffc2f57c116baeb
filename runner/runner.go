package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"

	"landfall.dev/api"
	"landfall.dev/engine"
	"landfall.dev/engine/fleet"
	"landfall.dev/kit"
	"landfall.dev/runner/pool"
	"landfall.dev/runner/presence"
	"landfall.dev/runner/task"
)

// The times of a runner.
const (
	beatEvery = 5 * time.Second  // a third of a lease
	lookEvery = 15 * time.Second // for queued builds, if the watch is silent
)

// Config is what a Runner is made of.
type Config struct {
	// Name tells the runner from others: letters, digits, '.', '_' and '-'.
	Name   string
	Client kit.Client

	// HTTP reaches the hub's raw routes below Base: sources, logs and blobs.
	// Authorize, unless it is nil, adds the runner's token to each request.
	HTTP      *http.Client
	Base      string
	Authorize func(*http.Request)

	Registry Registry
	// Engine runs the builds, Parallel at once, unless there are Engines.
	Engine  engine.Tasks
	Engines []fleet.Member
	// Dir is for workspaces. No other runner may use it at the same time.
	Dir string
	// Parallel is how many builds Engine runs at once; 0 means 1.
	Parallel int
	// Warm is how many containers are kept ready for each image that is in use.
	Warm int
	// DefaultImage is for jobs that name none.
	DefaultImage string
	// Mounts are caches that all builds see, read-only: a tool chain, modules.
	Mounts []engine.Mount
	// Env is in the environment of all builds.
	Env map[string]string
	// Limits bound what each build may use. Jobs may ask for less.
	Limits engine.Limits
	// ArtifactsMB is how many MiB of files are kept of a build; 0 means 512.
	ArtifactsMB int64
	Logger      *slog.Logger
}

// Registry is where packed images go and their bases come from.
type Registry struct {
	Host string // "127.0.0.1:7700"; plain HTTP is spoken to loopback
	// Options carry the credentials and the transport.
	Options []remote.Option
}

// Runner runs builds of a hub.
type Runner struct {
	Config
	fleet  *fleet.Fleet // the engines; Config.Engine is it
	pool   *pool.Pool
	beat   time.Duration  // between heartbeats
	wake   chan struct{}  // has an element when there may be something to lease
	begun  chan left      // what a runner that was killed has left, see recover
	behind sync.WaitGroup // what goes on after builds have ended

	mu     sync.Mutex
	leases map[kit.Link]lease
}

// lease is a build that this runner works on.
type lease struct {
	attempt int
	lose    context.CancelCauseFunc
}

// errLost is the cause of the end of an attempt whose lease is lost.
var errLost = errors.New("the lease is lost")

// New returns a Runner; it makes the directory.
func New(c Config) (*Runner, error) {
	if err := engine.CheckName("runner name", c.Name); err != nil {
		return nil, err
	}
	if c.Parallel == 0 {
		c.Parallel = 1
	}
	c.Base = strings.TrimRight(c.Base, "/")
	for i := range c.Mounts {
		if !c.Mounts[i].ReadOnly {
			return nil, fmt.Errorf("runner %s: the mount of %s must be read-only: builds of all projects see it", c.Name, c.Mounts[i].Host)
		}
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("runner %s: %w", c.Name, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("runner %s: %w", c.Name, err)
	}
	c.Dir = dir
	if len(c.Engines) == 0 {
		c.Engines = []fleet.Member{{Name: c.Name, Engine: c.Engine, Slots: c.Parallel}}
	}
	engines, err := fleet.New(c.Engines, c.Logger)
	if err != nil {
		return nil, fmt.Errorf("runner %s: %w", c.Name, err)
	}
	c.Engine, c.Parallel = engines, engines.Slots()
	ready := pool.New(dir, c.Warm, engines, c.Logger)
	return &Runner{Config: c, fleet: engines, pool: ready, beat: beatEvery, wake: make(chan struct{}, 1), leases: map[kit.Link]lease{}}, nil
}

// Run leases builds and runs them until ctx ends, and returns once every
// goroutine that it started has stopped. It fails only if the hub does not let
// this runner in. Builds that run when ctx ends are killed and not reported.
func (r *Runner) Run(ctx context.Context) error {
	r.fleet.Check(ctx)
	found, err := r.recover(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("runner %s: %w", r.Name, err)
	}
	r.begun = make(chan left, len(found))
	for _, l := range found {
		r.begun <- l
	}
	close(r.begun)
	g, inner := errgroup.WithContext(ctx)
	g.Go(func() error { return r.fleet.Watch(inner) })
	g.Go(func() error { return r.pool.Run(inner) })
	g.Go(func() error { return r.follow(inner) })
	g.Go(func() error {
		return presence.Reporter{Name: r.Name, Client: r.Client, Engines: r.fleet, Dir: r.Dir, Logger: r.Logger}.Run(inner)
	})
	for range r.Parallel {
		g.Go(func() error { return r.work(inner) })
	}
	err = g.Wait()
	r.behind.Wait()
	r.fleet.Check(context.WithoutCancel(ctx)) // and so remove what engines still have that were away
	if err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// work runs one build after another, first those that were begun.
func (r *Runner) work(ctx context.Context) error {
	for l := range r.begun {
		r.execute(ctx, l.build, &l.record)
	}
	for {
		changed := r.fleet.Changed()
		b, ok, err := r.lease(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case barred(err):
			return err
		case err != nil:
			r.Logger.Warn("found no build", "err", err)
		case ok:
			r.look() // somebody idle may find another
			r.execute(ctx, b, nil)
			continue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.wake:
		case <-changed:
		case <-time.After(lookEvery):
		}
	}
}

// barred tells whether the hub does not let the runner do its work.
func barred(err error) bool {
	return errors.Is(err, kit.ErrUnauthenticated) || errors.Is(err, kit.ErrForbidden)
}

// look makes an idle worker look for a build.
func (r *Runner) look() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// lease takes the first queued build that nobody else takes before and that an
// engine has a free slot for.
func (r *Runner) lease(ctx context.Context) (api.Build, bool, error) {
	places, err := r.queue(ctx)
	if err != nil {
		return api.Build{}, false, err
	}
	for _, queued := range places {
		id := task.ID(api.Build{Meta: kit.Meta{Link: queued.Build}, Attempt: queued.Attempt + 1})
		if !r.fleet.Reserve(id, queued.Labels) {
			continue
		}
		b, err := api.Builds.Send(ctx, r.Client, queued.Build.ID(), "lease", api.LeaseArgs{Runner: r.Name})
		if errors.Is(err, kit.ErrConflict) || errors.Is(err, kit.ErrNotFound) {
			r.fleet.Leave(id)
			continue
		}
		taken := err == nil
		if errors.Is(err, kit.ErrTimeout) {
			b, taken, err = r.leased(ctx, queued, err)
		}
		if !taken || task.ID(b) != id {
			r.fleet.Leave(id)
		}
		return b, taken, err
	}
	return api.Build{}, false, nil
}

// leased finds out whether the lease of queued, whose answer was lost, is this
// runner's.
func (r *Runner) leased(ctx context.Context, queued api.QueuePlace, lost error) (api.Build, bool, error) {
	b, err := api.Builds.Read(ctx, r.Client, queued.Build.ID())
	if err != nil {
		return b, false, errors.Join(lost, err)
	}
	return b, b.State == api.BuildRunning && b.Runner == r.Name && b.Attempt == queued.Attempt+1, nil
}

// follow watches the builds: a queued one wakes a worker, and one of this
// runner's that has ended elsewhere, because somebody cancelled it, is killed.
func (r *Runner) follow(ctx context.Context) error {
	filter := fmt.Sprintf(`state == "queued" || runner == %q`, r.Name)
	for ctx.Err() == nil {
		err := r.watch(ctx, filter)
		if barred(err) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			r.Logger.Warn("lost the watch of builds", "err", err)
		}
		sleep(ctx, longestPause)
	}
	return nil
}

func (r *Runner) watch(ctx context.Context, filter string) error {
	// What was before is of no interest: workers list it, and heartbeats tell.
	page, err := r.Client.List(ctx, kit.Query{Kind: api.Builds.Name, Filter: filter, Limit: 1})
	if err != nil {
		return err
	}
	from, err := kit.ParsePosition(page.Position)
	if err != nil {
		return err
	}
	r.look()
	for c, err := range r.Client.Watch(ctx, kit.WatchQuery{Kind: api.Builds.Name, Filter: filter, From: from}) {
		if err != nil {
			return err
		}
		if err := r.heard(c.Record); err != nil {
			return err
		}
	}
	return nil
}

// heard takes note of a changed build, maybe in an old version.
func (r *Runner) heard(record kit.Record) error {
	r.mu.Lock()
	l, mine := r.leases[record.Link]
	r.mu.Unlock()
	if record.Deleted {
		if mine {
			l.lose(errLost)
		}
		return nil
	}
	b, err := api.Builds.Decode(record)
	if err != nil {
		return err
	}
	if b.State == api.BuildQueued {
		r.look()
	}
	if mine && (b.Attempt > l.attempt || b.Attempt == l.attempt && b.State != api.BuildRunning) {
		l.lose(errLost)
	}
	return nil
}

// hold notes that the lease of b is held, until release is called.
func (r *Runner) hold(b api.Build, lose context.CancelCauseFunc) (release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leases[b.Link] = lease{b.Attempt, lose}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.leases[b.Link].attempt == b.Attempt {
			delete(r.leases, b.Link)
		}
	}
}
