package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// storage is where raft keeps the log and snapshots.
type storage struct {
	logs   raft.LogStore
	stable raft.StableStore
	snaps  raft.SnapshotStore
	close  func() error
}

// snapshotsKept is how many snapshots stay on the disk.
const snapshotsKept = 2

// openStorage opens the log and the snapshots in d, and checks both. If they
// are formed and missing, or do not fit together, it fails: raft would start
// with less than was acknowledged.
func openStorage(d *directory, formed bool, log hclog.Logger) (*storage, error) {
	if d.path == "" {
		mem := raft.NewInmemStore()
		return &storage{mem, mem, raft.NewInmemSnapshotStore(), func() error { return nil }}, nil
	}
	if formed {
		if err := checkPresent(d); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(d.file("log"), 0o700); err != nil {
		return nil, err
	}
	meta := &metadb.BoltMetaDB{}
	files := segments{segment.NewFiler(d.file("log"), walfs.New())}
	logs, err := wal.Open(d.file("log"), wal.WithLogger(log), wal.WithMetaStore(meta), wal.WithSegmentFiler(files))
	if err != nil {
		return nil, errors.Join(d.damaged("log", err), meta.Close())
	}
	s := &storage{logs: logs, stable: logs, close: func() error { return errors.Join(logs.Close(), meta.Close()) }}
	s.snaps, err = raft.NewFileSnapshotStoreWithLogger(d.path, snapshotsKept, log)
	if err == nil {
		err = s.check(d)
	}
	if err == nil {
		err = syncDirectory(d.path)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
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
func checkPresent(d *directory) error {
	if _, err := os.Stat(d.file(filepath.Join("log", metadb.FileName))); err != nil {
		return d.damaged("log", err)
	}
	files, err := filepath.Glob(d.file(filepath.Join("log", "*.wal")))
	if err == nil && len(files) == 0 {
		err = errors.New("its segments (*.wal) are missing")
	}
	if err != nil {
		return d.damaged("log", err)
	}
	return nil
}

// check reads the newest snapshot and the whole log and fails unless each is
// sound, they meet, and they reach the mark.
func (s *storage) check(d *directory) error {
	last, err := s.checkSnapshots(d)
	if err != nil {
		return err
	}
	from, err := s.logs.FirstIndex()
	if err != nil {
		return d.damaged("log", err)
	}
	to, err := s.logs.LastIndex()
	if err != nil {
		return d.damaged("log", err)
	}
	if from > last+1 {
		return d.damaged("snapshots", fmt.Errorf("the log starts at entry %d, the snapshot before it is missing", from))
	}
	var entry raft.Log
	for i := from; to > 0 && i <= to; i++ {
		err := s.logs.GetLog(i, &entry)
		if err == nil && entry.Type == raft.LogCommand {
			_, _, err = decodeEntry(entry.Data)
		}
		if err != nil {
			return d.damaged("log", fmt.Errorf("entry %d: %w", i, err))
		}
	}
	if end := max(to, last); end < d.marked {
		return d.damaged("log", fmt.Errorf("it ends at entry %d, but entry %d had been applied", end, d.marked))
	}
	return nil
}

// checkSnapshots returns the log index of the newest snapshot, 0 if there is
// none.
func (s *storage) checkSnapshots(d *directory) (uint64, error) {
	metas, err := s.snaps.List()
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
		if e.IsDir() && !strings.HasSuffix(e.Name(), ".tmp") && !known[e.Name()] && len(metas) < snapshotsKept {
			return 0, d.damaged(filepath.Join("snapshots", e.Name()), errors.New("its meta.json cannot be read"))
		}
	}
	if len(metas) == 0 {
		return 0, nil
	}
	_, r, err := s.snaps.Open(metas[0].ID) // compares the checksum
	if err != nil {
		return 0, d.damaged(filepath.Join("snapshots", metas[0].ID), err)
	}
	return metas[0].Index, r.Close()
}
