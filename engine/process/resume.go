package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"landfall.dev/engine"
)

var _ engine.Resumer = (*Engine)(nil)

// Resume follows a task by its output file. How it ended is not known, because
// only the parent of a process is told.
func (e *Engine) Resume(ctx context.Context, t engine.Task, out io.Writer) (engine.Result, error) {
	if err := engine.CheckName("task id", t.ID); err != nil {
		return engine.Result{}, err
	}
	dir := e.path("tasks", t.ID)
	m, err := readTask(dir)
	if err == nil && m.PID == 0 {
		m, err = m.find()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && m.PID == 0:
		return engine.Result{}, errors.Join(fmt.Errorf("task %s: %w", t.ID, engine.ErrNoTask), removeAll(dir))
	case err != nil:
		return engine.Result{}, fmt.Errorf("task %s: %w", t.ID, err)
	}
	err = follow(ctx, m, t.Grace, dir, out, func() { m.wait(context.WithoutCancel(ctx)) }, func(bool) error {
		if err := m.kill(false); err != nil {
			return err
		}
		output, err := openOutput(dir)
		if err != nil {
			return err
		}
		defer output.file.Close()
		return output.complete()
	})
	if removeErr := e.removeTask(dir); removeErr != nil && err == nil {
		err = removeErr
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return engine.Result{}, context.Cause(ctx)
	case err != nil:
		return engine.Result{}, fmt.Errorf("task %s: %w", t.ID, err)
	}
	return engine.Result{Exit: -1}, nil
}

// Left returns the tasks that have a directory.
func (e *Engine) Left(context.Context) ([]string, error) {
	entries, err := os.ReadDir(e.path("tasks"))
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", err)
	}
	var ids []string
	for _, d := range entries {
		ids = append(ids, d.Name())
	}
	return ids, nil
}

// Discard kills a task with all its processes.
func (e *Engine) Discard(_ context.Context, id string) error {
	if err := engine.CheckName("task id", id); err != nil {
		return err
	}
	if err := e.removeTask(e.path("tasks", id)); err != nil {
		return fmt.Errorf("remove what is left of task %s: %w", id, err)
	}
	return nil
}
