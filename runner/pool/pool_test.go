package pool

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/engine"
)

// engines note what they are to do.
type engines struct {
	mu        sync.Mutex
	prepared  []engine.Task
	discarded []string
	err       error
}

func (e *engines) Prepare(_ context.Context, at string, t engine.Task) error {
	if _, err := os.Stat(t.Dir); err != nil {
		return err
	}
	t.Env = map[string]string{"AT": at}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.prepared = append(e.prepared, t)
	return e.err
}

func (e *engines) Discard(_ context.Context, id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.discarded = append(e.discarded, id)
	return nil
}

// counts returns how many containers were prepared and discarded.
func (e *engines) counts() (prepared, discarded int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.prepared), len(e.discarded)
}

// start runs a pool in a bubble until stop is called.
func start(t *testing.T, e *engines) (p *Pool, stop func()) {
	p = New(t.TempDir(), 1, e, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()
	return p, func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: got error %v", err)
		}
	}
}

func task(dir, image string) engine.Task {
	return engine.Task{
		ID: "build-1", Image: image, Dir: filepath.Join(dir, "src"), Command: []string{"make"}, Env: map[string]string{"A": "b"},
		Mounts: []engine.Mount{{Host: "/tools", Target: "/tools", ReadOnly: true}, {Host: filepath.Join(dir, "state"), Target: "/state", Own: true}},
	}
}

func TestTheNextTaskOfAShapeFindsAContainerOnItsOwnDirectories(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engines{}
		p, stop := start(t, e)
		if id := p.Take("small", task(t.TempDir(), "go")); id != "" {
			t.Errorf("the first found %s", id)
		}
		synctest.Wait()
		other := task(t.TempDir(), "go")
		other.Limits.Pids = 9
		if p.Take("big", task(t.TempDir(), "go")) != "" || p.Take("small", task(t.TempDir(), "node")) != "" || p.Take("small", other) != "" {
			t.Error("a task of another engine, image or limit found a container")
		}
		synctest.Wait()
		made := e.prepared[0]
		if err := os.WriteFile(filepath.Join(made.Dir, "mark"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if made.Command != nil || made.Env["AT"] != "small" || made.Mounts[0].Host != "/tools" || !strings.HasPrefix(made.Mounts[1].Host, p.dir) {
			t.Errorf("prepared was %+v", made)
		}
		dir := t.TempDir()
		if id := p.Take("small", task(dir, "go")); id != made.ID {
			t.Errorf("the second found %q, want %q", id, made.ID)
		}
		if _, err := os.Stat(filepath.Join(dir, "src", "mark")); err != nil {
			t.Errorf("its workspace is not the container's: %v", err)
		}
		stop()
		if left, err := os.ReadDir(p.dir); len(left) > 0 || err != nil || slices.Contains(e.discarded, made.ID) || len(e.discarded) != len(e.prepared)-1 {
			t.Errorf("%d of %d were discarded, and %v is left, error %v", len(e.discarded), len(e.prepared), left, err)
		}
	})
}

func TestContainersThatNobodyAsksForAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engines{}
		p, stop := start(t, e)
		defer stop()
		for range maxShapes + 2 {
			p.Take("small", task(t.TempDir(), "go"+time.Now().String()))
			time.Sleep(time.Second) // in the bubble's time
		}
		synctest.Wait()
		if _, n := e.counts(); n != 2 {
			t.Errorf("%d were removed, want the 2 that were asked for first", n)
		}
		time.Sleep(2 * keep)
		synctest.Wait()
		if _, n := e.counts(); n != maxShapes+2 {
			t.Errorf("%d were removed, want all", n)
		}
	})
}

func TestAContainerThatCannotBeStartedIsTriedAgainWithTheNextTaskOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engines{err: errors.New("no shell")}
		p, stop := start(t, e)
		defer stop()
		for n := range 2 {
			p.Take("small", task(t.TempDir(), "scratch"))
			synctest.Wait()
			if made, gone := e.counts(); made != n+1 || gone != n+1 {
				t.Errorf("it was tried %d times and cleaned up %d times, want %d", made, gone, n+1)
			}
		}
	})
}
