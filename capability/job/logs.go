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
const MaxLog = 1 << 30

// Logs keeps the logs of running builds, one file each. Its methods may be
// called concurrently.
type Logs struct {
	dir string

	mu      sync.Mutex
	changed chan struct{} // closed at the next append to any log
}

// OpenLogs returns the logs in dir, which it makes.
func OpenLogs(dir string) (*Logs, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &Logs{dir: dir, changed: make(chan struct{})}, nil
}

func (l *Logs) path(log string) string { return filepath.Join(l.dir, log+".log") }

// index is the file of a log's index, see package lines.
func (l *Logs) index(log string) string { return filepath.Join(l.dir, log+".lines") }

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
	close(l.changed)
	l.changed = make(chan struct{})
	return size + int64(len(b)), nil
}

// Changed returns a channel that is closed at the next append to any log.
func (l *Logs) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// Open returns the build's log so far, from its beginning; the caller closes
// it. A log that has no byte yet is empty. Reading goes on with what is
// appended later.
func (l *Logs) Open(build string) io.ReadSeekCloser {
	return &logFile{path: l.path(build)}
}

// logFile is a log that is read. Its file may come to be only later.
type logFile struct {
	path   string
	file   *os.File // nil until there is one
	offset int64    // to begin at, while there is none
}

// Read implements io.Reader.
func (f *logFile) Read(p []byte) (int, error) {
	if f.file == nil {
		file, err := os.Open(f.path)
		if errors.Is(err, fs.ErrNotExist) {
			return 0, io.EOF
		}
		if err != nil {
			return 0, err
		}
		f.file = file
		if _, err := file.Seek(f.offset, io.SeekStart); err != nil {
			return 0, err
		}
	}
	return f.file.Read(p)
}

// Seek implements io.Seeker, from the beginning and to the end only.
func (f *logFile) Seek(offset int64, whence int) (int64, error) {
	switch {
	case whence == io.SeekEnd && offset == 0:
		info, err := os.Stat(f.path)
		if errors.Is(err, fs.ErrNotExist) {
			return f.Seek(0, io.SeekStart)
		}
		if err != nil {
			return 0, err
		}
		return f.Seek(info.Size(), io.SeekStart)
	case whence != io.SeekStart || offset < 0:
		return 0, fs.ErrInvalid
	}
	f.offset = offset
	if f.file == nil {
		return offset, nil
	}
	return f.file.Seek(offset, io.SeekStart)
}

// Close implements io.Closer.
func (f *logFile) Close() error {
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}
