// Package process runs tasks and instances as plain processes of this
// machine, for trying Landfall out where no Docker is. There is no isolation:
// limits, networks and read-only mounts are not enforced, and a program can
// do whatever its user can.
//
// Images are unpacked, not mounted, so their programs must be static ones,
// and a path inside of an image is found by the program only relative to its
// working directory. Tasks use the tools of this machine and ignore Image.
//
// It needs Linux, for /proc. The state directory is all that an engine knows; a new one that is opened
// on it carries on with what the old one left. One engine at a time uses it.
//
//	images/HEX/root             the files of the image sha256:HEX, never changed
//	images/HEX/config.json      its configuration
//	instances/GROUP/NAME/       record.json, log, exit-TOKEN
//	tasks/ID/                   record.json, home, output
//
// Instances outlive the engine's process. A service manager that kills all
// processes of a unit together must be told not to (systemd:
// KillMode=process).
package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"landfall.dev/engine"
)

var _ engine.Engine = (*Engine)(nil)

// Engine is an engine.Engine without isolation.
type Engine struct {
	dir string

	mu     sync.Mutex
	groups map[string]*sync.Mutex // held while a group is changed
}

// New opens the engine whose state is in dir, which is made if missing.
func New(dir string) (*Engine, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	e := &Engine{dir: dir, groups: make(map[string]*sync.Mutex)}
	for _, sub := range []string{"images", "instances", "tasks"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("process engine: %w", err)
		}
	}
	// What a crash left half unpacked is of no use.
	partial, err := filepath.Glob(filepath.Join(dir, "images", partialImage))
	if err != nil {
		return nil, err
	}
	for _, p := range partial {
		if err := removeAll(p); err != nil {
			return nil, fmt.Errorf("process engine: %w", err)
		}
	}
	return e, nil
}

// Name is "process".
func (e *Engine) Name() string { return "process" }

// lock waits until nobody else changes group, and returns what ends that.
func (e *Engine) lock(group string) (unlock func()) {
	e.mu.Lock()
	l := e.groups[group]
	if l == nil {
		l = new(sync.Mutex)
		e.groups[group] = l
	}
	e.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// path joins parts to the state directory.
func (e *Engine) path(parts ...string) string {
	return filepath.Join(append([]string{e.dir}, parts...)...)
}

// writeFile replaces the file at path in one step that survives a power cut.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// removeAll removes path even where directories inside are read-only, as in
// Go's module cache.
func removeAll(path string) error {
	if os.RemoveAll(path) == nil {
		return nil
	}
	// An error here shows again in what cannot be removed below.
	filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			return os.Chmod(p, 0o700)
		}
		return err
	})
	return os.RemoveAll(path)
}
