package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// DefaultMaxPack is the largest pack that a push may bring, unless
// Store.MaxPack says otherwise.
const DefaultMaxPack = 512 << 20

// Store is a directory of bare repositories, PROJECT.git each. One process at
// a time may have it open.
type Store struct {
	// MaxPack is the largest pack in bytes that a push may bring. It is set
	// before the store is used, if at all.
	MaxPack int64

	dir string

	mu   sync.Mutex
	open map[string]*Repository // by project, guarded by mu
}

// Repository is one bare repository. Its methods may be called concurrently.
type Repository struct {
	Reader
	store *Store

	// turn holds a token while somebody adds objects that may yet be taken
	// back: a second writer would rely on them without having them itself.
	turn chan struct{}
}

// Open opens the store in dir, which is made if need be, and removes what a
// crash has left: quarantines, half-made repositories, locks on refs.
func Open(dir string) (*Store, error) {
	if _, err := exec.LookPath("git"); err != nil {
		return nil, fmt.Errorf("git is needed, version 2.38 or newer; install it: %w", err)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := sweep(dir); err != nil {
		return nil, fmt.Errorf("sweep %s: %w", dir, err)
	}
	return &Store{MaxPack: DefaultMaxPack, dir: dir, open: map[string]*Repository{}}, nil
}

// Create makes an empty repository whose default branch is main. If it fails,
// nothing is left. The error is ErrExists if there is one of that name.
func (s *Store) Create(ctx context.Context, project string) error {
	path, err := s.path(project)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("project %s: %w", project, ErrExists)
	}
	fresh, err := os.MkdirTemp(s.dir, ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	made := filepath.Join(fresh, "repository")
	_, err = Reader{dir: made}.output(ctx, nil, "init", "--quiet", "--bare", "--template=", "--initial-branch=main", made)
	if err != nil {
		return err
	}
	if err := syncTree(made); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Rename(made, path); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("project %s: %w", project, ErrExists)
	} else if err != nil {
		return err
	}
	return syncPath(filepath.Dir(path))
}

// Repository opens the repository of a project, or returns ErrNotFound.
func (s *Store) Repository(project string) (*Repository, error) {
	path, err := s.path(project)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.open[project]; r != nil {
		return r, nil
	}
	if _, err := os.Stat(filepath.Join(path, "HEAD")); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("project %s: %w", project, ErrNotFound)
	} else if err != nil {
		return nil, err
	}
	r := &Repository{Reader: Reader{dir: path}, store: s, turn: make(chan struct{}, 1)}
	s.open[project] = r
	return r, nil
}

func (s *Store) path(project string) (string, error) {
	if err := checkProject(project); err != nil {
		return "", err
	}
	return filepath.Join(s.dir, filepath.FromSlash(project)+".git"), nil
}

// lock waits for the repository's turn; unlock gives it back.
func (r *Repository) lock(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *Repository) unlock() { <-r.turn }

// sweep removes what a crashed process has left in the store.
func sweep(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		switch {
		case strings.HasPrefix(d.Name(), ".new-"):
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			return fs.SkipDir
		case strings.HasSuffix(d.Name(), ".git"):
			if err := sweepRepository(path); err != nil {
				return err
			}
			return fs.SkipDir
		}
		return nil
	})
}

func sweepRepository(dir string) error {
	stale, err := filepath.Glob(filepath.Join(dir, "objects", "incoming-*"))
	if err != nil {
		return err
	}
	stale = append(stale, filepath.Join(dir, "packed-refs.lock"), filepath.Join(dir, "HEAD.lock"))
	err = filepath.WalkDir(filepath.Join(dir, "refs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(d.Name(), ".lock") {
			stale = append(stale, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, path := range stale {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// syncTree brings a directory with all that is in it to the disk.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncPath(path)
	})
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
