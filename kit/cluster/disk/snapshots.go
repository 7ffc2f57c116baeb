package disk

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// syncedPiece is how many bytes of a snapshot may wait to be written to the
// disk.
const syncedPiece = 4 << 20

// steadySnapshots syncs the snapshots that it makes piece by piece. If all of
// one were left to the end, an entry of the log, which is synced beside it,
// would have to wait for the whole.
type steadySnapshots struct {
	*raft.FileSnapshotStore
	dir *Directory
}

// Create implements raft.SnapshotStore.
func (s steadySnapshots) Create(version raft.SnapshotVersion, index, term uint64, members raft.Configuration, since uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.FileSnapshotStore.Create(version, index, term, members, since, trans)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(s.dir.file(filepath.Join("snapshots", sink.ID()+".tmp", "state.bin")))
	if err != nil {
		return nil, errors.Join(err, sink.Cancel())
	}
	return &steadySink{SnapshotSink: sink, file: f}, nil
}

// steadySink is where one snapshot is written to.
type steadySink struct {
	raft.SnapshotSink
	file     *os.File
	unsynced int
	ended    bool
}

// Write implements io.Writer.
func (s *steadySink) Write(b []byte) (int, error) {
	n, err := s.SnapshotSink.Write(b)
	if s.unsynced += n; err == nil && s.unsynced >= syncedPiece {
		s.unsynced, err = 0, syncData(s.file)
	}
	return n, err
}

// Close implements io.Closer. Raft closes a sink more than once.
func (s *steadySink) Close() error { return s.end(s.SnapshotSink.Close) }

// Cancel implements raft.SnapshotSink.
func (s *steadySink) Cancel() error { return s.end(s.SnapshotSink.Cancel) }

func (s *steadySink) end(how func() error) error {
	err := how()
	if !s.ended {
		s.ended = true
		err = errors.Join(err, s.file.Close())
	}
	return err
}
