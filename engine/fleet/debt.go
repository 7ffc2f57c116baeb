package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"landfall.dev/engine"
)

// Clear discards all tasks but those to keep: at members that do not answer,
// once they do.
func (f *Fleet) Clear(ctx context.Context, keep []string) error {
	f.mu.Lock()
	f.kept = keep
	for _, m := range f.members {
		m.unswept = true
	}
	f.mu.Unlock()
	var errs []error
	for _, m := range f.fit(nil) {
		errs = append(errs, f.settle(ctx, m))
	}
	return errors.Join(errs...)
}

// owe notes that a task may have left something at m which could not be removed.
func (f *Fleet) owe(m *member, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m.owed[id] = true
}

// oweAll is owe for a task that may be at any member.
func (f *Fleet) oweAll(id string) {
	for _, m := range f.members {
		f.owe(m, id)
	}
}

// settle discards at m, which has answered, what is owed, and what Clear could
// not, but not what is at work now.
func (f *Fleet) settle(ctx context.Context, m *member) error {
	r, ok := m.Engine.(engine.Resumer)
	if !ok {
		return nil
	}
	ids, swept, err := f.debts(ctx, m, r)
	if err != nil {
		return fmt.Errorf("engine %s: %w", m.Name, err)
	}
	var errs []error
	for _, id := range ids {
		errs = append(errs, f.discard(ctx, m, r, id))
	}
	err = errors.Join(errs...)
	f.mu.Lock()
	m.unswept = m.unswept && (!swept || err != nil)
	f.mu.Unlock()
	return err
}

// discard discards a task at m, which then is not owed any more. What is in use
// by another, for which it was prepared, is owed until that one has ended.
func (f *Fleet) discard(ctx context.Context, m *member, r engine.Resumer, id string) error {
	err := r.Discard(ctx, id)
	if errors.Is(err, engine.ErrInUse) {
		f.owe(m, id)
		return nil
	}
	if err != nil {
		return fmt.Errorf("engine %s: %w", m.Name, err)
	}
	f.mu.Lock()
	delete(m.owed, id)
	f.mu.Unlock()
	return nil
}

// debts are the tasks to discard at m, and whether these are all that it has.
func (f *Fleet) debts(ctx context.Context, m *member, r engine.Resumer) (ids []string, all bool, err error) {
	f.mu.Lock()
	all = m.unswept
	f.mu.Unlock()
	if all {
		if ids, err = r.Left(ctx); err != nil {
			return nil, false, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	ids = slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(f.kept, id) })
	for id := range m.owed {
		ids = append(ids, id)
	}
	return slices.DeleteFunc(ids, func(id string) bool { return f.placed[id] != nil }), all, nil
}
