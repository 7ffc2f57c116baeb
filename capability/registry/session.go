package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"landfall.dev/kit"
)

// How long an upload may rest, and how often that is looked at.
const (
	maxRest    = 24 * time.Hour
	sweepPause = time.Hour
)

// sessions are the unfinished uploads, a file each, named after its repository
// and a random id. The file's size is how far an upload has come, so it
// survives a restart. The file is not made durable: the blob's digest is taken
// from the bytes that are read back at the end.
type sessions struct {
	dir string

	mu   sync.Mutex
	busy map[string]chan struct{} // by file; closed when it is free again
}

func newSessions(dir string) *sessions {
	return &sessions{dir: dir, busy: map[string]chan struct{}{}}
}

// session is an upload that one request has to itself until it closes it.
type session struct {
	id   string
	size int64 // of what has arrived

	file  *os.File
	owner *sessions
}

// start makes an upload into the repository and returns its id.
func (s *sessions) start(repository string) (id string, err error) {
	id = strings.ToLower(rand.Text())
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return "", uploadFailed(err)
	}
	f, err := os.OpenFile(s.path(repository, id), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", uploadFailed(err)
	}
	if err := f.Close(); err != nil {
		return "", uploadFailed(err)
	}
	return id, nil
}

func (s *sessions) path(repository, id string) string {
	return filepath.Join(s.dir, strings.ReplaceAll(repository, "/", "~")+"~"+id)
}

// open waits until nobody else has the upload. The caller closes it.
func (s *sessions) open(ctx context.Context, repository, id string) (*session, error) {
	unknown := refuse(http.StatusNotFound, codeUploadUnknown, "%s: no upload %s: it was finished, cancelled or given up; start again", repository, id)
	if id == "" || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return nil, unknown
	}
	path := s.path(repository, id)
	if err := s.acquire(ctx, path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		s.release(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, unknown
		}
		return nil, uploadFailed(err)
	}
	u := &session{id: id, file: f, owner: s}
	if u.size, err = f.Seek(0, io.SeekEnd); err != nil {
		u.close()
		return nil, uploadFailed(err)
	}
	return u, nil
}

func (s *sessions) acquire(ctx context.Context, path string) error {
	for {
		s.mu.Lock()
		free, taken := s.busy[path]
		if !taken {
			s.busy[path] = make(chan struct{})
		}
		s.mu.Unlock()
		if !taken {
			return nil
		}
		select {
		case <-free:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *sessions) release(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.busy[path])
	delete(s.busy, path)
}

func (u *session) close() {
	_ = u.file.Close() // nothing relies on it: see sessions
	u.owner.release(u.file.Name())
}

// append adds what r yields. What has arrived before r fails stays.
func (u *session) append(r io.Reader) error {
	n, err := io.Copy(u.file, r)
	u.size += n
	var disk *fs.PathError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &disk):
		return uploadFailed(err)
	}
	return refuse(http.StatusBadRequest, codeUploadInvalid, "the request broke off; %d bytes of the upload have arrived: go on from there", u.size)
}

// content returns all that has arrived.
func (u *session) content() (io.Reader, error) {
	if _, err := u.file.Seek(0, io.SeekStart); err != nil {
		return nil, uploadFailed(err)
	}
	return u.file, nil
}

// remove ends the upload.
func (u *session) remove() error {
	if err := os.Remove(u.file.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return uploadFailed(err)
	}
	return nil
}

// run removes uploads that have rested for too long, until ctx ends.
func (s *sessions) run(ctx context.Context) error {
	clock := time.NewTicker(sweepPause)
	defer clock.Stop()
	for {
		if err := s.sweep(time.Now().Add(-maxRest)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-clock.C:
		}
	}
}

// sweep removes the uploads that nothing was added to since then.
func (s *sessions) sweep(then time.Time) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return uploadFailed(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || info.ModTime().After(then) {
			continue // gone since, or young
		}
		if err := os.Remove(filepath.Join(s.dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return uploadFailed(err)
		}
	}
	return nil
}

func uploadFailed(err error) error { return &kit.Error{Op: "upload", Err: err} }
