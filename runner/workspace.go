package runner

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"landfall.dev/api"
	"landfall.dev/runner/task"
)

// workspace is the directory of one attempt.
type workspace struct{ dir string }

// newWorkspace makes the workspace of b.
func (r *Runner) newWorkspace(b api.Build) (workspace, error) {
	w := workspace{filepath.Join(r.Dir, task.ID(b))}
	if err := removeAll(w.dir); err != nil {
		return w, err
	}
	return w, os.Mkdir(w.dir, 0o700)
}

func (w workspace) src() string    { return filepath.Join(w.dir, "src") }
func (w workspace) script() string { return filepath.Join(w.dir, "script") }
func (w workspace) state() string  { return filepath.Join(w.dir, "state") }
func (w workspace) log() string    { return filepath.Join(w.dir, "log") }
func (w workspace) layer() string  { return filepath.Join(w.dir, "layer.tar.gz") }

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
