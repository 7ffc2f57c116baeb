package disk

import (
	"cmp"
	"errors"
	"fmt"
	"io"
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
	// Restore is called with the newest snapshot, if there is one, by a
	// goroutine of its own while the log is checked; with nil the snapshot is
	// only checked, too. An error that comes of damage has a *snapshot.Damage.
	Restore func(io.Reader) error
	// Check tells why an entry of the log cannot be used.
	Check func(*raft.Log) error
	Log   hclog.Logger
	// Fail is told when the directory cannot be written any more. What uses the
	// storage must then end.
	Fail func(error)
}

// OpenStorage opens the log and the snapshots in d, and checks both: what is
// restored may be used only if it returns no error. If they are formed and
// missing, or do not fit together, it fails: raft would start with less than
// was acknowledged.
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
	files, err := raft.NewFileSnapshotStoreWithLogger(d.path, SnapshotsKept, o.Log)
	if err != nil {
		return nil, err
	}
	snaps := steadySnapshots{files, d}
	newest, err := d.newestSnapshot(snaps)
	if err != nil {
		return nil, err
	}
	restored := make(chan error, 1)
	go func() { restored <- d.restore(snaps, newest, o.Restore) }()
	s, err := d.openLog(o, newest.Index)
	if err = cmp.Or(err, <-restored); err == nil {
		s.Snaps = snaps
		err = SyncDirectory(d.path)
	}
	if err != nil {
		if s != nil {
			err = errors.Join(err, s.Close())
		}
		return nil, err
	}
	return s, nil
}

// openLog opens the log, which has to go on from the entry in the last
// snapshot.
func (d *Directory) openLog(o Options, snapshot uint64) (*Storage, error) {
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
	if err == nil {
		err = d.checkLog(cache, o.Check, snapshot)
	}
	if err == nil {
		err = d.checkEnd(cache, snapshot, last, sound.end)
	}
	if err != nil {
		return nil, errors.Join(err, logs.Close(), meta.Close())
	}
	return &Storage{
		Logs: cache, Stable: &guardedVotes{logs, d.file(filepath.Join("log", metadb.FileName)), o.Files, stop}, Bare: logs,
		Close: func() error { return errors.Join(logs.Close(), meta.Close()) },
	}, nil
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

// checkLog fails unless the log goes on from the entry in the last snapshot and
// all that follow it can be read. Those before it are only for slower members:
// that their bytes are sound is known.
func (d *Directory) checkLog(logs raft.LogStore, usable func(*raft.Log) error, snapshot uint64) error {
	from, err := logs.FirstIndex()
	if err != nil {
		return d.Damaged("log", err)
	}
	to, err := logs.LastIndex()
	if err != nil {
		return d.Damaged("log", err)
	}
	if from > snapshot+1 {
		return d.Damaged("snapshots", fmt.Errorf("the log starts at entry %d, the snapshot before it is missing", from))
	}
	var entry raft.Log
	for i := max(from, snapshot+1); i <= to; i++ {
		err := logs.GetLog(i, &entry)
		if err == nil {
			err = usable(&entry)
		}
		if err != nil {
			return d.Damaged("log", fmt.Errorf("entry %d: %w", i, err))
		}
	}
	return nil
}

// checkEnd fails unless the log or the snapshot reaches the mark. The last
// segment is sound up to the byte end.
func (d *Directory) checkEnd(logs raft.LogStore, snapshot uint64, segment string, end int64) error {
	to, err := logs.LastIndex()
	if err != nil {
		return d.Damaged("log", err)
	}
	if reached := max(to, snapshot); reached < d.marked {
		return d.damagedAt(segment, end, fmt.Errorf("the log ends at entry %d, but entry %d had been stored", reached, d.marked))
	}
	return nil
}

// newestSnapshot returns what is known of the newest snapshot: nothing if there
// is none.
func (d *Directory) newestSnapshot(snaps raft.SnapshotStore) (raft.SnapshotMeta, error) {
	metas, err := snaps.List()
	if err != nil {
		return raft.SnapshotMeta{}, err
	}
	known := map[string]bool{}
	for _, m := range metas {
		known[m.ID] = true
	}
	entries, err := os.ReadDir(d.file("snapshots"))
	if err != nil {
		return raft.SnapshotMeta{}, err
	}
	for _, e := range entries {
		// raft names an unfinished snapshot .tmp, and lists only what it
		// keeps, the newest first.
		if e.IsDir() && !strings.HasSuffix(e.Name(), ".tmp") && !known[e.Name()] && len(metas) < SnapshotsKept {
			return raft.SnapshotMeta{}, d.Damaged(filepath.Join("snapshots", e.Name(), "meta.json"), errors.New("it cannot be read"))
		}
	}
	if len(metas) == 0 {
		return raft.SnapshotMeta{}, nil
	}
	return *metas[0], nil
}

// restore hands the snapshot, if there is one, to restore, which reads all of
// it. Damage is said with its place.
func (d *Directory) restore(snaps raft.SnapshotStore, m raft.SnapshotMeta, restore func(io.Reader) error) error {
	if m.ID == "" {
		return nil
	}
	if restore == nil {
		restore = checkSnapshot
	}
	name := filepath.Join("snapshots", m.ID, "state.bin")
	f, err := os.Open(d.file(name))
	if err != nil {
		return d.Damaged(name, err)
	}
	defer func() { _ = f.Close() }()
	sealed, err := snapshot.Sealed(f)
	if err == nil && !sealed {
		err = compare(snaps, m.ID)
	}
	if err != nil {
		return d.Damaged(name, err)
	}
	err = restore(f)
	if where := (*snapshot.Damage)(nil); errors.As(err, &where) {
		return d.damagedAt(name, where.At, errors.New(where.Why))
	}
	return err
}

// checkSnapshot reads all of a snapshot.
func checkSnapshot(r io.Reader) error {
	in, err := snapshot.NewReader(r)
	if err == nil {
		err = in.Drain()
	}
	return err
}

// compare compares the snapshot with the checksum that raft has of it.
func compare(snaps raft.SnapshotStore, id string) error {
	_, r, err := snaps.Open(id)
	if err != nil {
		return err
	}
	return r.Close()
}
