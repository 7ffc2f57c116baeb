package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"

	"landfall.dev/kit"
)

// Files is the file layer below the log.
type Files struct {
	*walfs.FS
	relaxed bool
	before  func(op, path string) error

	mu    sync.Mutex
	first error // the first failure: raft-wal does not hand on each
}

// NewFiles returns the file layer. Relaxed leaves syncing to the operating
// system. Before, if not nil, is called before each "create", "write" and "sync"
// of a file, and its error is that of the disk.
func NewFiles(relaxed bool, before func(op, path string) error) *Files {
	return &Files{FS: walfs.New(), relaxed: relaxed, before: before}
}

// did notes the failure of op on the file at path.
func (d *Files) did(err error) error {
	if err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.first == nil {
			d.first = err
		}
	}
	return err
}

// trouble returns err with the failure that was behind it.
func (d *Files) trouble(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.first == nil || errors.Is(err, d.first) {
		return err
	}
	return errors.Join(err, d.first)
}

func (d *Files) ask(op, path string) error {
	if d.before == nil {
		return nil
	}
	return d.before(op, path)
}

// Create implements types.VFS.
func (d *Files) Create(dir, name string, size uint64) (types.WritableFile, error) {
	path := filepath.Join(dir, name)
	if err := d.did(d.ask("create", path)); err != nil {
		return nil, err
	}
	f, err := d.FS.Create(dir, name, size)
	return &diskFile{WritableFile: f, files: d, path: path}, d.did(err)
}

// OpenWriter implements types.VFS.
func (d *Files) OpenWriter(dir, name string) (types.WritableFile, error) {
	f, err := d.FS.OpenWriter(dir, name)
	return &diskFile{WritableFile: f, files: d, path: filepath.Join(dir, name)}, err
}

// sync makes what was written to f durable, however relaxed the log is.
func (d *Files) sync(f *os.File) error {
	if err := d.did(d.ask("sync", f.Name())); err != nil {
		return err
	}
	return d.did(f.Sync())
}

// settle makes the log in dir durable, which a relaxed node may have left to the
// operating system: what is stored from now on counts for all before it.
func (d *Files) settle(dir string) error {
	if d.relaxed {
		return nil
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil {
		return err
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		if err := errors.Join(d.sync(f), f.Close()); err != nil {
			return err
		}
	}
	return SyncDirectory(dir)
}

// diskFile is a file that tells of its failures.
type diskFile struct {
	types.WritableFile
	files  *Files
	path   string
	synced bool
}

// WriteAt implements io.WriterAt.
func (f *diskFile) WriteAt(p []byte, at int64) (int, error) {
	if err := f.files.did(f.files.ask("write", f.path)); err != nil {
		return 0, err
	}
	n, err := f.WritableFile.WriteAt(p, at)
	return n, f.files.did(err)
}

// Sync makes what was written durable, unless the disk is relaxed.
func (f *diskFile) Sync() error {
	if f.files.relaxed {
		return nil
	}
	if err := f.files.did(f.files.ask("sync", f.path)); err != nil {
		return err
	}
	if !f.synced { // the first time the directory is synced, too
		f.synced = true
		return f.files.did(f.WritableFile.Sync())
	}
	return f.files.did(syncData(f.WritableFile))
}

// guardedLog is raft's log, with the mark of how far it goes. When it cannot be
// written the node stops: what raft-wal has in memory is then not what is on
// the disk.
type guardedLog struct {
	*wal.WAL
	dir   *Directory
	files *Files
	fail  func(error) error
}

// StoreLog implements raft.LogStore.
func (g *guardedLog) StoreLog(l *raft.Log) error { return g.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (g *guardedLog) StoreLogs(l []*raft.Log) error {
	err := g.WAL.StoreLogs(l)
	if err == nil && len(l) > 0 && !g.files.relaxed {
		err = g.dir.setMark(l[len(l)-1].Index)
	}
	return g.fail(err)
}

// DeleteRange implements raft.LogStore. Raft deletes the log's end where a new
// leader has other entries, and its beginning beside everything else.
func (g *guardedLog) DeleteRange(from, to uint64) error {
	last, err := g.WAL.LastIndex()
	if err == nil && to >= last {
		err = g.dir.cutting(from, g.files)
	}
	if err == nil {
		err = g.WAL.DeleteRange(from, to)
	}
	return g.fail(err)
}

// guardedVotes is raft's term and vote. Raft panics when they cannot be
// written; here the node stops, and the goroutine of raft's that wanted to
// vote ends without having voted.
type guardedVotes struct {
	raft.StableStore
	path  string
	files *Files
	fail  func(error) error
}

// Set implements raft.StableStore.
func (g *guardedVotes) Set(key, value []byte) error {
	return g.keep(func() error { return g.StableStore.Set(key, value) })
}

// SetUint64 implements raft.StableStore.
func (g *guardedVotes) SetUint64(key []byte, value uint64) error {
	return g.keep(func() error { return g.StableStore.SetUint64(key, value) })
}

func (g *guardedVotes) keep(set func() error) error {
	err := g.files.did(g.files.ask("write", g.path))
	if err == nil {
		err = set()
	}
	if g.fail(err) != nil {
		runtime.Goexit()
	}
	return nil
}

// Explained returns err, in other words if the disk is full.
func (d *Directory) Explained(err error) error {
	var known *kit.Error
	if errors.As(err, &known) || !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	return d.Unwritable(err)
}

// Unwritable says that the directory cannot be written because of err.
func (d *Directory) Unwritable(err error) error {
	e := &kit.Error{Fault: kit.ErrUnavailable, Err: err, Hint: "see to the disk and start the node again; what it has acknowledged is safe"}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		e.Detail = fmt.Sprintf("the disk of %s is full", d.path)
		e.Hint = "free space there and start the node again; what it has acknowledged is safe"
		return e
	}
	e.Detail = d.path + " cannot be written"
	return e
}
