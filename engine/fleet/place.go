package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"landfall.dev/engine"
)

// Need is what a task must find where it runs.
type Need struct {
	Labels []string
	Images []string
	// Loads are those of Images that can be loaded where they are missing.
	Loads  map[string]v1.Image
	Caches []engine.Cache // it runs without, but slower
}

// Place is where a task runs.
type Place struct {
	Engine string // the member's name
	// Images are those of Need, each named exactly, see engine.Host.
	Images []string
}

// NoImageError tells that no member that answers has an image, or can get it. It
// is an engine.ErrNoImage.
type NoImageError struct {
	Image   string
	Engines []string // those that were asked
}

func (e *NoImageError) Error() string {
	return fmt.Sprintf("image %s is on none of the engines %s", e.Image, strings.Join(e.Engines, ", "))
}

// Unwrap returns engine.ErrNoImage.
func (e *NoImageError) Unwrap() error { return engine.ErrNoImage }

// Place takes a slot for the task id on the member that fits it best, and keeps it
// until Leave. If no member that answers has all
// of the images it is engine.ErrNoImage. It waits while those that have them
// are busy.
func (f *Fleet) Place(ctx context.Context, id string, need Need) (Place, error) {
	for {
		changed := f.Changed()
		found, err := f.candidates(ctx, need)
		if err != nil {
			return Place{}, err
		}
		if best, ok := f.take(id, found); ok {
			if err := load(ctx, best, need); err != nil {
				return Place{}, fmt.Errorf("engine %s: %w", best.Name, err)
			}
			return Place{Engine: best.Name, Images: best.images}, nil
		}
		select {
		case <-ctx.Done():
			return Place{}, context.Cause(ctx)
		case <-changed:
		}
	}
}

// candidate is a member that has what a task needs.
type candidate struct {
	*member
	images  []string // each named exactly
	missing []string // of those, what must be loaded first
	caches  int      // of the task's that it has
}

// candidates asks the members for what the task needs.
func (f *Fleet) candidates(ctx context.Context, need Need) ([]candidate, error) {
	var found []candidate
	var missing *NoImageError
	for _, m := range f.fit(need.Labels) {
		var lacking *NoImageError
		c, err := consult(ctx, m, need)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.As(err, &lacking):
			if missing == nil {
				missing = lacking
			}
			missing.Engines = append(missing.Engines, m.Name)
		case err != nil:
			f.log.Warn("engine could not be asked", "engine", m.Name, "err", err)
		default:
			found = append(found, c)
		}
	}
	if len(found) == 0 && missing != nil {
		return nil, missing
	}
	return found, nil
}

// fit returns the members that answer and have the labels.
func (f *Fleet) fit(labels []string) []*member {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.members), func(m *member) bool { return m.suspect() || m.lacks(labels) != "" })
}

func consult(ctx context.Context, m *member, need Need) (candidate, error) {
	c := candidate{member: m, images: need.Images}
	h, ok := m.Engine.(engine.Host)
	if !ok {
		return c, nil // it needs no images and has no caches
	}
	c.images = make([]string, len(need.Images))
	for i, ref := range need.Images {
		exact, err := h.Find(ctx, ref)
		switch {
		case err == nil:
			c.images[i] = exact
		case errors.Is(err, engine.ErrNoImage) && need.Loads[ref] != nil:
			c.images[i], c.missing = ref, append(c.missing, ref)
		case errors.Is(err, engine.ErrNoImage):
			return c, &NoImageError{Image: ref}
		default:
			return c, err
		}
	}
	var err error
	c.caches, err = h.Cached(ctx, need.Caches)
	return c, err
}

// take takes a slot of the best of those that have one.
func (f *Fleet) take(id string, found []candidate) (candidate, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	found = slices.DeleteFunc(found, func(c candidate) bool { return c.suspect() || c.used >= c.Slots })
	if len(found) == 0 {
		return candidate{}, false
	}
	best := slices.MinFunc(found, func(a, b candidate) int {
		return cmp.Or(len(a.missing)-len(b.missing), b.caches-a.caches, a.used*b.Slots-b.used*a.Slots)
	})
	f.put(id, best.member)
	return best, true
}

// put notes that the task is at m. f.mu is held.
func (f *Fleet) put(id string, m *member) {
	delete(f.reserved, id)
	if f.placed[id] == nil {
		m.used++
		f.placed[id] = m
	}
}

// Where returns the name of the member that a task has a slot of, or "".
func (f *Fleet) Where(id string) string {
	if m := f.at(id); m != nil {
		return m.Name
	}
	return ""
}

// Engine returns where a task has a slot, nil if it has none.
func (f *Fleet) Engine(id string) engine.Tasks {
	if m := f.at(id); m != nil {
		return m.Engine
	}
	return nil
}

// Leave gives the slot of a task back, if it has one or has reserved one.
func (f *Fleet) Leave(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.placed[id]; m != nil {
		m.used--
	}
	delete(f.placed, id)
	delete(f.reserved, id)
	f.wake()
}

// Lend gives the slot of a task that is at rest to others, until back is called.
func (f *Fleet) Lend(id string) (back func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.placed[id]
	if m == nil {
		return func() {}
	}
	m.used--
	f.wake()
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.placed[id] == m {
			m.used++
		}
	}
}

// loader is an engine that images are loaded into.
type loader interface {
	Load(ctx context.Context, img v1.Image, ref string) error
}

// load loads what is missing at c.
func load(ctx context.Context, c candidate, need Need) error {
	for _, ref := range c.missing {
		l, ok := c.Engine.(loader)
		if !ok {
			return fmt.Errorf("image %s cannot be loaded there", ref)
		}
		if err := l.Load(ctx, need.Loads[ref], ref); err != nil {
			return err
		}
	}
	return nil
}
