// Package pool keeps containers ready that tasks begin in at once.
//
// A shape is all that is settled before a task is known: the engine, the image,
// mounts, limits and network. When a task of a shape has been seen, a container of
// that shape is started ahead, on directories of its own, for the next one, which
// takes both over; none is used twice. A shape that is not asked for any more is
// forgotten.
package pool

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"landfall.dev/engine"
)

const (
	// keep is how long a container waits for a task.
	keep = 10 * time.Minute
	// maxShapes is how many are ready for at once: those that were asked for last.
	maxShapes = 8
	// discardWait is how long the removal of containers may take.
	discardWait = 30 * time.Second
)

// Prefix begins the ids of prepared tasks, and the names of their directories.
const Prefix = "spare-"

// Engines prepare tasks and forget them.
type Engines interface {
	// Prepare is that of engine.Preparer, for the engine with the name at.
	Prepare(ctx context.Context, at string, t engine.Task) error
	Discard(ctx context.Context, id string) error
}

// Pool keeps containers ready. Its methods may be called concurrently.
type Pool struct {
	dir     string
	size    int
	engines Engines
	log     *slog.Logger
	wake    chan struct{} // has an element when there is something to do

	mu     sync.Mutex
	shapes map[string]*shape
}

// shape is what is known of a shape.
type shape struct {
	at    string
	task  engine.Task
	asked time.Time
	ready []string // the ids of prepared tasks
	// failed tells that its last container could not be started.
	failed bool
}

// New returns a pool of so many containers for each shape, with its directories
// in dir.
func New(dir string, size int, e Engines, log *slog.Logger) *Pool {
	return &Pool{dir: dir, size: size, engines: e, log: log, wake: make(chan struct{}, 1), shapes: map[string]*shape{}}
}

// Take returns the id of a container that was prepared for t, for its Spare, or ""
// if there is none. The directories that are t's own, which must not be there yet,
// are then those that the container has.
func (p *Pool) Take(at string, t engine.Task) string {
	if p.size == 0 || len(t.Services)+len(t.Caches) > 0 {
		return ""
	}
	id := p.pop(at, t)
	p.look()
	if id == "" {
		return ""
	}
	from, to := own(p.place(t, id)), own(t)
	for i := range from {
		if err := os.Rename(from[i], to[i]); err != nil {
			p.log.Warn("could not use a prepared container", "err", err)
			p.discard(context.Background(), []string{id})
			return ""
		}
	}
	if err := os.Remove(filepath.Join(p.dir, id)); err != nil {
		p.log.Warn("left a directory of a prepared container", "err", err)
	}
	return id
}

// pop notes that a task of a shape was asked for, and returns a container's id.
func (p *Pool) pop(at string, t engine.Task) string {
	t = p.place(t, "")
	key, err := json.Marshal([]any{at, t})
	if err != nil {
		return "" // no field of a task is such
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shapes[string(key)]
	if s == nil {
		s = &shape{at: at, task: t}
		p.shapes[string(key)] = s
	}
	s.asked, s.failed = time.Now(), false
	if len(s.ready) == 0 {
		return ""
	}
	id := s.ready[0]
	s.ready = s.ready[1:]
	return id
}

// place returns t as a task to prepare, with directories of its own.
func (p *Pool) place(t engine.Task, id string) engine.Task {
	t.ID, t.Command, t.Env, t.Spare = id, nil, nil, ""
	t.Dir = filepath.Join(p.dir, id, filepath.Base(t.Dir))
	t.Mounts = slices.Clone(t.Mounts)
	for i, m := range t.Mounts {
		if m.Own {
			t.Mounts[i].Host = filepath.Join(p.dir, id, filepath.Base(m.Host))
		}
	}
	return t
}

// own returns the directories that are the task's own.
func own(t engine.Task) []string {
	dirs := []string{t.Dir}
	for _, m := range t.Mounts {
		if m.Own {
			dirs = append(dirs, m.Host)
		}
	}
	return dirs
}

func (p *Pool) look() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run starts and removes containers until ctx ends, and then removes all.
func (p *Pool) Run(ctx context.Context) error {
	defer func() { p.discard(ctx, p.forget(0)) }()
	for {
		p.discard(ctx, p.forget(maxShapes))
		if p.fill(ctx) {
			continue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.wake:
		case <-time.After(keep):
		}
	}
}

// fill prepares one container that is wanted, and tells whether there was one.
func (p *Pool) fill(ctx context.Context) bool {
	p.mu.Lock()
	var wanted *shape
	for _, s := range p.shapes {
		if len(s.ready) < p.size && !s.failed && (wanted == nil || s.asked.After(wanted.asked)) {
			wanted = s
		}
	}
	p.mu.Unlock()
	if wanted == nil || ctx.Err() != nil {
		return false
	}
	id := Prefix + rand.Text()
	t := p.place(wanted.task, id)
	err := p.prepare(ctx, wanted.at, t)
	if err != nil {
		p.discard(ctx, []string{id})
		if ctx.Err() == nil {
			p.log.Warn("could not prepare a container", "engine", wanted.at, "image", t.Image, "err", err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if wanted.failed = err != nil; err == nil {
		wanted.ready = append(wanted.ready, id)
	}
	return true
}

func (p *Pool) prepare(ctx context.Context, at string, t engine.Task) error {
	if err := os.Mkdir(filepath.Join(p.dir, t.ID), 0o700); err != nil {
		return err
	}
	for _, dir := range own(t) {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	return p.engines.Prepare(ctx, at, t)
}

// forget forgets the shapes that nobody has asked for lately, and of the others all
// but so many, and returns the containers that were ready for them.
func (p *Pool) forget(most int) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var keys, ids []string
	for key := range p.shapes {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(p.shapes[b].asked.Compare(p.shapes[a].asked), cmp.Compare(a, b))
	})
	for i, key := range keys {
		if s := p.shapes[key]; i >= most || time.Since(s.asked) >= keep {
			ids = append(ids, s.ready...)
			delete(p.shapes, key)
		}
	}
	return ids
}

// discard removes prepared containers and their directories, also when ctx has
// ended.
func (p *Pool) discard(ctx context.Context, ids []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardWait)
	defer cancel()
	for _, id := range ids {
		if err := errors.Join(p.engines.Discard(ctx, id), os.RemoveAll(filepath.Join(p.dir, id))); err != nil {
			p.log.Warn("left a prepared container", "id", id, "err", err)
		}
	}
}
