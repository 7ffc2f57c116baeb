package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"

	"landfall.dev/kit/cluster/snapshot"
)

// Storage is where raft keeps the log and snapshots.
type Storage struct {
	Logs   raft.LogStore
	Stable raft.StableStore // ends the goroutine that cannot write to it
	Bare   raft.StableStore // the same, but it returns the error
	Snaps  raft.SnapshotStore
	Close  func() error
}

const (
	SnapshotsKept = 2  // how many snapshots stay on the disk
	logCache      = 64 // how many entries are kept in memory for slower members
)

// Options are what OpenStorage takes.
type Options struct {
	// Formed tells that there must be a log.
	Formed bool
	Files  *Files
	// Check tells why an entry of the log cannot be used.
	Check func(*raft.Log) error
	Log   hclog.Logger
	// Fail is told when the directory cannot be written any more. What uses the
	// storage must then end.
	Fail func(error)
}

// OpenStorage opens the log and the snapshots in d, and checks both. If they
// are formed and missing, or do not fit together, it fails: raft would start
// with less than was acknowledged.
func (d *Directory) OpenStorage(o Options) (*Storage, error) {
	if d.path == "" {
		mem := raft.NewInmemStore()
		return &Storage{mem, mem, mem, raft.NewInmemSnapshotStore(), func() error { return nil }}, nil
	}
	if o.Formed {
		if err := checkPresent(d); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(d.file("log"), 0o700); err != nil {
		return nil, err
	}
	meta := &metadb.BoltMetaDB{}
	segs := segments{segment.NewFiler(d.file("log"), o.Files)}
	last, sound, err := scanLog(d)
	if err != nil {
		return nil, err
	}
	if err := o.Files.settle(d.file("log")); err != nil {
		return nil, d.Unwritable(err)
	}
	logs, err := wal.Open(d.file("log"), wal.WithLogger(o.Log), wal.WithMetaStore(meta), wal.WithSegmentFiler(segs))
	if err != nil {
		return nil, errors.Join(d.unopened(last, sound, err), meta.Close())
	}
	stop := func(err error) error {
		if err != nil {
			o.Fail(d.Unwritable(o.Files.trouble(err)))
		}
		return err
	}
	cache, err := raft.NewLogCache(logCache, &guardedLog{logs, d, o.Files, stop})
	if err != nil {
		return nil, errors.Join(err, logs.Close(), meta.Close())
	}
	s := &Storage{
		Logs: cache, Stable: &guardedVotes{logs, stop}, Bare: logs,
		Close: func() error { return errors.Join(logs.Close(), meta.Close()) },
	}
	s.Snaps, err = raft.NewFileSnapshotStoreWithLogger(d.path, SnapshotsKept, o.Log)
	if err == nil {
		err = s.check(d, o.Check, last, sound.end)
	}
	if err == nil {
		err = SyncDirectory(d.path)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// segments opens the log's files. When a new leader has a follower cut the end
// of its log off, raft-wal v0.4.0 seals the file without the index that it
// needs to read it after a restart (its issue 31, mended in v0.4.1). Such a
// file is scanned instead, as the unsealed last one always is.
type segments struct{ *segment.Filer }

// Open opens a sealed segment.
func (s segments) Open(info types.SegmentInfo) (types.SegmentReader, error) {
	if info.IndexStart == 0 {
		return s.RecoverTail(info)
	}
	return s.Filer.Open(info)
}

// checkPresent fails if files of the log are missing that raft-wal would
// silently make anew.
func checkPresent(d *Directory) error {
	if _, err := os.Stat(d.file(filepath.Join("log", metadb.FileName))); err != nil {
		return d.Damaged("log", err)
	}
	files, err := filepath.Glob(d.file(filepath.Join("log", "*.wal")))
	if err == nil && len(files) == 0 {
		err = errors.New("its segments (*.wal) are missing")
	}
	if err != nil {
		return d.Damaged("log", err)
	}
	return nil
}

// unopened says why raft-wal did not open the log: the disk, or damage, most
// likely behind what is sound of the last segment.
func (d *Directory) unopened(last string, sound soundness, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, fs.ErrPermission) {
		return d.Unwritable(err)
	}
	if last == "" || !errors.Is(err, types.ErrCorrupt) {
		return d.Damaged(filepath.Join("log", metadb.FileName), err)
	}
	return d.damagedAt(last, sound.end, err)
}

// check reads the newest snapshot and the whole log and fails unless each is
// sound, they meet, and they reach the mark. The last segment is sound up to
// the byte end.
func (s *Storage) check(d *Directory, usable func(*raft.Log) error, segment string, end int64) error {
	last, err := s.checkSnapshots(d)
	if err != nil {
		return err
	}
	from, err := s.Logs.FirstIndex()
	if err != nil {
		return d.Damaged("log", err)
	}
	to, err := s.Logs.LastIndex()
	if err != nil {
		return d.Damaged("log", err)
	}
	if from > last+1 {
		return d.Damaged("snapshots", fmt.Errorf("the log starts at entry %d, the snapshot before it is missing", from))
	}
	var entry raft.Log
	for i := from; to > 0 && i <= to; i++ {
		err := s.Logs.GetLog(i, &entry)
		if err == nil {
			err = usable(&entry)
		}
		if err != nil {
			return d.Damaged("log", fmt.Errorf("entry %d: %w", i, err))
		}
	}
	if reached := max(to, last); reached < d.marked {
		return d.damagedAt(segment, end, fmt.Errorf("the log ends at entry %d, but entry %d had been stored", reached, d.marked))
	}
	return nil
}

// checkSnapshots returns the log index of the newest snapshot, 0 if there is
// none.
func (s *Storage) checkSnapshots(d *Directory) (uint64, error) {
	metas, err := s.Snaps.List()
	if err != nil {
		return 0, err
	}
	known := map[string]bool{}
	for _, m := range metas {
		known[m.ID] = true
	}
	entries, err := os.ReadDir(d.file("snapshots"))
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		// raft names an unfinished snapshot .tmp, and lists only what it
		// keeps, the newest first.
		if e.IsDir() && !strings.HasSuffix(e.Name(), ".tmp") && !known[e.Name()] && len(metas) < SnapshotsKept {
			return 0, d.Damaged(filepath.Join("snapshots", e.Name(), "meta.json"), errors.New("it cannot be read"))
		}
	}
	if len(metas) == 0 {
		return 0, nil
	}
	name := filepath.Join("snapshots", metas[0].ID, "state.bin")
	_, r, err := s.Snaps.Open(metas[0].ID) // compares the checksum
	if err != nil {
		return 0, d.damagedSnapshot(name, err)
	}
	return metas[0].Index, r.Close()
}

// damagedSnapshot finds out where the snapshot is damaged that raft does not
// open because of err.
func (d *Directory) damagedSnapshot(name string, err error) error {
	f, open := os.Open(d.file(name))
	if open != nil {
		return d.Damaged(name, open)
	}
	defer func() { _ = f.Close() }()
	in, broken := snapshot.NewReader(f)
	if broken == nil {
		broken = in.Drain()
	}
	var where *snapshot.Damage
	if errors.As(broken, &where) {
		return d.damagedAt(name, where.At, errors.New(where.Why))
	}
	return d.Damaged(name, err)
}
