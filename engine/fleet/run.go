package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"landfall.dev/engine"
)

var (
	_ engine.Tasks   = (*Fleet)(nil)
	_ engine.Resumer = (*Fleet)(nil)
)

// Run runs t where it was placed, else where it fits best.
func (f *Fleet) Run(ctx context.Context, t engine.Task, out io.Writer) (engine.Result, error) {
	if f.at(t.ID) == nil {
		need := Need{Images: []string{t.Image}, Caches: t.Caches}
		for _, s := range t.Services {
			need.Images = append(need.Images, s.Image)
		}
		if _, err := f.Place(ctx, t.ID, need); err != nil {
			return engine.Result{}, fmt.Errorf("task %s: %w", t.ID, err)
		}
		defer f.Leave(t.ID)
	}
	m := f.at(t.ID)
	ctx, done := f.follow(ctx, m, t.ID)
	defer done()
	result, err := m.Engine.Run(ctx, t, out)
	if err != nil {
		f.owe(m, t.ID)
		if t.Spare != "" {
			f.owe(m, t.Spare)
		}
	}
	return result, err
}

// Prepare prepares a task at a member. It takes no slot: that is for the task which
// comes.
func (f *Fleet) Prepare(ctx context.Context, at string, t engine.Task) error {
	for _, m := range f.fit(nil) {
		p, ok := m.Engine.(engine.Preparer)
		if ok && m.Name == at {
			err := p.Prepare(ctx, t)
			if err != nil {
				f.owe(m, t.ID)
			}
			return err
		}
	}
	return fmt.Errorf("engine %s does not answer", at)
}

// Prepares tells whether a member can prepare tasks.
func (f *Fleet) Prepares(at string) bool {
	return slices.ContainsFunc(f.members, func(m *member) bool {
		_, ok := m.Engine.(engine.Preparer)
		return ok && m.Name == at
	})
}

// at returns where a task was placed.
func (f *Fleet) at(id string) *member {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.placed[id]
}

// follow returns a context that ends when m is lost too.
func (f *Fleet) follow(ctx context.Context, m *member, id string) (context.Context, func()) {
	ctx, lose := context.WithCancelCause(ctx)
	f.mu.Lock()
	m.lose[id] = lose
	f.mu.Unlock()
	return ctx, func() {
		f.mu.Lock()
		delete(m.lose, id)
		f.mu.Unlock()
		lose(nil)
	}
}

// Resume resumes t at the member that has it, in a slot of its own or one too
// many.
func (f *Fleet) Resume(ctx context.Context, t engine.Task, out io.Writer) (engine.Result, error) {
	m, r, err := f.find(ctx, t.ID)
	if err != nil {
		f.oweAll(t.ID)
		return engine.Result{}, err
	}
	f.mu.Lock()
	f.put(t.ID, m)
	f.mu.Unlock()
	ctx, done := f.follow(ctx, m, t.ID)
	defer done()
	result, err := r.Resume(ctx, t, out)
	if err != nil {
		f.owe(m, t.ID)
	}
	return result, err
}

// find returns the member that has a task, or engine.ErrNoTask. If it might be
// at one that does not answer, it is that one's error.
func (f *Fleet) find(ctx context.Context, id string) (*member, engine.Resumer, error) {
	missing := engine.ErrNoTask
	for _, m := range f.members {
		r, ok := m.Engine.(engine.Resumer)
		if !ok {
			continue
		}
		ids, err := r.Left(ctx)
		if err != nil {
			missing = err
		}
		if slices.Contains(ids, id) {
			return m, r, nil
		}
	}
	return nil, nil, fmt.Errorf("task %s: %w", id, missing)
}

// Left returns the tasks of all members that answer.
func (f *Fleet) Left(ctx context.Context) ([]string, error) {
	var all []string
	for _, m := range f.fit(nil) {
		r, ok := m.Engine.(engine.Resumer)
		if !ok {
			continue
		}
		ids, err := r.Left(ctx)
		if err != nil {
			return nil, fmt.Errorf("engine %s: %w", m.Name, err)
		}
		all = append(all, ids...)
	}
	return all, nil
}

// Discard discards a task wherever it is: at members that do not answer, once
// they do.
func (f *Fleet) Discard(ctx context.Context, id string) error {
	f.oweAll(id)
	var errs []error
	for _, m := range f.fit(nil) {
		if r, ok := m.Engine.(engine.Resumer); ok {
			errs = append(errs, f.discard(ctx, m, r, id))
		}
	}
	return errors.Join(errs...)
}
