package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"landfall.dev/api"
	"landfall.dev/engine"
	"landfall.dev/kit"
)

// workspace is the directory of one attempt.
type workspace struct{ dir string }

// taskID is the attempt's name for the engine, and its directory's.
func taskID(b api.Build) string {
	id := fmt.Sprintf("%s-%d", b.Link.ID(), b.Attempt)
	if engine.CheckName("task id", id) != nil {
		return "build-" + kit.DigestOf([]byte(id)).Hex()[:32]
	}
	return id
}

// newWorkspace makes the workspace of b, which is run in image.
func (r *Runner) newWorkspace(b api.Build, image string) (workspace, error) {
	w := workspace{filepath.Join(r.Dir, taskID(b))}
	if err := removeAll(w.dir); err != nil {
		return w, err
	}
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		return w, err
	}
	return w, os.WriteFile(w.task(), []byte(image), 0o600)
}

func (w workspace) task() string   { return filepath.Join(w.dir, "task") }
func (w workspace) src() string    { return filepath.Join(w.dir, "src") }
func (w workspace) script() string { return filepath.Join(w.dir, "script") }
func (w workspace) state() string  { return filepath.Join(w.dir, "state") }
func (w workspace) log() string    { return filepath.Join(w.dir, "log") }
func (w workspace) layer() string  { return filepath.Join(w.dir, "layer.tar.gz") }

// sweep ends and removes what a runner that died has left in the directory.
func (r *Runner) sweep(ctx context.Context) error {
	entries, err := os.ReadDir(r.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		w := workspace{filepath.Join(r.Dir, e.Name())}
		image, err := os.ReadFile(w.task())
		if err != nil {
			continue // not a workspace
		}
		// To run another task under the same id kills what is left of the first.
		t := engine.Task{ID: e.Name(), Image: string(image), Dir: w.dir, Command: []string{"true"}}
		if _, err := r.Engine.Run(ctx, t, io.Discard); err != nil && ctx.Err() == nil {
			r.Logger.Warn("left a task of an earlier run alone", "task", e.Name(), "err", err)
		}
		if err := removeAll(w.dir); err != nil {
			r.Logger.Warn("left a workspace of an earlier run", "dir", w.dir, "err", err)
		}
	}
	return nil
}

// removeAll removes path even where directories inside are read-only, as in
// Go's module cache.
func removeAll(path string) error {
	if os.RemoveAll(path) == nil {
		return nil
	}
	// What cannot be opened up here shows again in what cannot be removed.
	walkErr := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && err == nil {
			return os.Chmod(p, 0o700)
		}
		return err
	})
	if err := os.RemoveAll(path); err != nil {
		return errors.Join(err, walkErr)
	}
	return nil
}
