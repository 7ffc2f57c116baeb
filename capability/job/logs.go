package job

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"landfall.dev/kit"
)

// MaxLog is the size limit of a build's log, in bytes.
const MaxLog = 64 << 20

// Logs keeps the logs of running builds, one file each. Its methods may be
// called concurrently.
type Logs struct {
	dir string

	mu      sync.Mutex
	changed map[string]chan struct{} // by build, closed at the next append
}

// OpenLogs returns the logs in dir, which it makes.
func OpenLogs(dir string) (*Logs, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &Logs{dir: dir, changed: map[string]chan struct{}{}}, nil
}

func (l *Logs) path(build string) string { return filepath.Join(l.dir, build+".log") }

// Size returns how many bytes of the build's log there are.
func (l *Logs) Size(build string) (int64, error) {
	info, err := os.Stat(l.path(build))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Append puts b at offset of the build's log and returns the log's size. What
// is there already is left alone, so a repeat changes nothing; a gap is
// ErrConflict.
func (l *Logs) Append(build string, offset int64, b []byte) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.OpenFile(l.path(build), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	if offset > size {
		return size, kit.Errorf(kit.ErrConflict, "", "the log has %d bytes: go on from there, not from %d", size, offset)
	}
	if skip := size - offset; skip < int64(len(b)) {
		b = b[skip:]
	} else {
		return size, nil
	}
	if size+int64(len(b)) > MaxLog {
		return size, kit.Errorf(kit.ErrTooLarge, "", "the log is over %d MB", MaxLog>>20)
	}
	if _, err := f.Write(b); err != nil {
		return size, err
	}
	if ch := l.changed[build]; ch != nil {
		close(ch)
		delete(l.changed, build)
	}
	return size + int64(len(b)), nil
}

// Changed returns a channel that is closed at the next append to the build's
// log.
func (l *Logs) Changed(build string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	ch := l.changed[build]
	if ch == nil {
		ch = make(chan struct{})
		l.changed[build] = ch
	}
	return ch
}

// Open returns the build's log so far; the caller closes it. A log that has
// no byte yet is empty.
func (l *Logs) Open(build string) (io.ReadSeekCloser, error) {
	return os.OpenFile(l.path(build), os.O_CREATE|os.O_RDONLY, 0o600)
}

// Remove forgets the build's log.
func (l *Logs) Remove(build string) error {
	err := os.Remove(l.path(build))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
