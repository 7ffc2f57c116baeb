package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster/disk"
	"landfall.dev/kit/cluster/snapshot"
)

// Backup writes a backup to w: the machine's state at one position that has
// every write that was acknowledged before the call. Writes go on meanwhile.
func (n *Node) Backup(ctx context.Context, w io.Writer) error {
	if err := n.CatchUp(ctx); err != nil {
		return err
	}
	n.replica.mu.Lock()
	s := n.replica.freeze()
	n.replica.mu.Unlock()
	return s.writeTo(w)
}

// CheckBackup reads a whole backup and returns the schema of its cluster. A
// backup that is damaged or not whole is ErrInvalid with the byte offset.
func CheckBackup(r io.Reader) (schema string, err error) {
	in, err := snapshot.NewReader(r)
	if err == nil {
		err = in.Drain()
	}
	if err != nil {
		return "", err
	}
	return in.Head.Schema, nil
}

// CheckBackupFile is CheckBackup of the file at path, which errors name.
func CheckBackupFile(path string) (schema string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	schema, err = CheckBackup(f)
	return schema, backupFault(path, err)
}

// backupFault says what is wrong with the backup at path.
func backupFault(path string, err error) error {
	var where *snapshot.Damage
	if errors.As(err, &where) {
		return &kit.Error{Fault: kit.ErrInvalid, Detail: fmt.Sprintf("%s is no sound backup: %v", path, where), Hint: "take another one"}
	}
	return err
}

// RestoreBackup makes dir the data directory of the only node of a new cluster
// with the state of the backup at path. Dir must not exist yet; it appears
// whole or not at all. Other nodes can then join.
func RestoreBackup(dir, path string) error {
	if _, err := os.Stat(dir); err == nil {
		return &kit.Error{Fault: kit.ErrConflict, Op: "cluster.restore", Detail: dir + " exists already", Hint: "restore into an empty --data: nothing is ever overwritten"}
	}
	if _, err := CheckBackupFile(path); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	unfinished, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-")
	if err != nil {
		return err
	}
	err = restoreInto(unfinished, path)
	if err == nil {
		err = os.Rename(unfinished, dir)
	}
	if err != nil {
		return errors.Join(backupFault(path, err), os.RemoveAll(unfinished))
	}
	return disk.SyncDirectory(filepath.Dir(dir))
}

func restoreInto(dir, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	in, err := snapshot.NewReader(f)
	if err != nil {
		return err
	}
	d, err := disk.Open(dir)
	if err != nil {
		return err
	}
	id := found(newIdentity(in.Head.Schema))
	id.Restored = true
	err = placeSnapshot(d, id.ID, in.Head.Applied, f)
	if err == nil {
		err = d.Save("node.json", id)
	}
	return errors.Join(err, d.Close())
}

// placeSnapshot copies f to where raft finds it as the snapshot at index, of a
// group whose only voter is the node id.
func placeSnapshot(d *disk.Directory, id string, index uint64, f *os.File) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	snaps, err := raft.NewFileSnapshotStore(d.Path(), disk.SnapshotsKept, io.Discard)
	if err != nil {
		return err
	}
	index = max(index, 1)
	self := raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(id), Address: raft.ServerAddress(id)}}}
	_, codec := raft.NewInmemTransport("") // raft asks for one, to encode addresses of long ago
	sink, err := snaps.Create(raft.SnapshotVersionMax, index, 1, self, index, codec)
	if err != nil {
		return err
	}
	if _, err := io.Copy(sink, f); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Restored tells whether this is a new cluster that was made from a backup and
// has not led yet: whoever knew the old one must be told that its positions
// are void. Settled ends it.
func (n *Node) Restored() bool {
	n.idMu.Lock()
	defer n.idMu.Unlock()
	return n.id.Restored
}

// Settled notes that what Restored asks for is done.
func (n *Node) Settled() error {
	return n.setIdentity(func(id *disk.Identity) { id.Restored = false })
}
