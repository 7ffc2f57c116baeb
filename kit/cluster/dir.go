package cluster

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"landfall.dev/kit"
)

// format is the number in VERSION. A change that an older binary would
// misread raises it.
const format = 1

// directory is a node's data directory, locked. With an empty path nothing is
// kept.
type directory struct {
	path string
	lock *os.File

	mark   *os.File // "applied"
	marked uint64   // what it says
}

// identity is what node.json says.
type identity struct {
	ID         string `json:"id"`
	Schema     string `json:"schema"`
	RaftPort   int    `json:"raftPort"`
	GossipPort int    `json:"gossipPort"`
	Key        []byte `json:"key"`
	Starts     int    `json:"starts"` // counts them
	// Founder is set on the node that made the cluster.
	Founder bool `json:"founder,omitempty"`
	// Formed is set once the log exists: from then on it must.
	Formed bool `json:"formed,omitempty"`
	// Left is set when the node is no member any more.
	Left bool `json:"left,omitempty"`
}

// openDirectory creates and locks the directory at path and checks its format.
func openDirectory(path string) (*directory, error) {
	d := &directory{path: path}
	if path == "" {
		return d, nil
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	if err := d.acquire(); err != nil {
		return nil, err
	}
	err := d.checkFormat()
	if err == nil {
		d.mark, err = os.OpenFile(d.file("applied"), os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	d.marked = d.readMark()
	return d, nil
}

func (d *directory) file(name string) string { return filepath.Join(d.path, name) }

func (d *directory) acquire() error {
	lock, err := os.OpenFile(d.file("lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		err = lock.Truncate(0)
	}
	if err == nil {
		_, err = lock.WriteString(strconv.Itoa(os.Getpid()))
	}
	if err == nil {
		d.lock = lock
		return nil
	}
	_ = lock.Close()
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	pid, _ := os.ReadFile(lock.Name())
	return &kit.Error{
		Fault: kit.ErrConflict, Detail: fmt.Sprintf("another landfall process (pid %s) uses %s", pid, d.path),
		Hint: "stop it or use another --data",
	}
}

func (d *directory) checkFormat() error {
	b, err := os.ReadFile(d.file("VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		for _, name := range []string{"node.json", "log", "snapshots"} {
			if _, err := os.Stat(d.file(name)); err == nil {
				return d.damaged("VERSION", fmt.Errorf("it is missing, but there is %s", name))
			}
		}
		return writeFile(d.file("VERSION"), fmt.Appendln(nil, format))
	}
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return d.damaged("VERSION", fmt.Errorf("%q is no number", b))
	}
	if n > format {
		return &kit.Error{
			Fault: kit.ErrConflict, Detail: fmt.Sprintf("%s was written by a newer version (format %d, this binary knows %d)", d.path, n, format),
			Hint: "use a newer binary",
		}
	}
	return nil
}

// damaged says that the file name in the directory cannot be used because of
// err.
func (d *directory) damaged(name string, err error) error {
	return &kit.Error{
		Fault: kit.ErrInternal, Detail: d.file(name) + " is damaged", Err: err,
		Hint: fmt.Sprintf("restore %s from a backup; in a cluster with other nodes alive, move it away and start with --join", d.path),
	}
}

// identity returns what node.json says; with an empty ID the directory is new.
func (d *directory) identity() (identity, error) {
	var id identity
	if d.path == "" {
		return id, nil
	}
	b, err := os.ReadFile(d.file("node.json"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(d.file("log")); err == nil {
			return id, d.damaged("node.json", errors.New("it is missing, but there is a log"))
		}
		return id, nil
	}
	if err != nil {
		return id, err
	}
	if err := json.Unmarshal(b, &id); err != nil {
		return id, d.damaged("node.json", err)
	}
	if id.ID == "" || len(id.Key) != keySize {
		return id, d.damaged("node.json", errors.New("the id or the key is missing"))
	}
	return id, nil
}

// peers returns the members as last seen.
func (d *directory) peers() ([]peer, error) {
	var peers []peer
	if d.path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(d.file("peers.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &peers)
	}
	if err != nil {
		return nil, d.damaged("peers.json", err)
	}
	return peers, nil
}

// save writes v to the file name, whole or not at all.
func (d *directory) save(name string, v any) error {
	if d.path == "" {
		return nil
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(d.file(name), append(b, '\n'))
}

// writeFile replaces the file at path by b, durably, readable by its owner.
func writeFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDirectory(filepath.Dir(path))
}

func syncDirectory(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// The mark is the log index of an entry that was applied, and the CRC-32C of
// it. It is not synced: after a power failure it is old or unreadable, which
// only makes the check weaker.
const markSize = 8 + 4

// setMark notes that the entry at index was applied. After a start less is
// applied than the mark says, until the log is caught up with.
func (d *directory) setMark(index uint64) error {
	if d.mark == nil || index <= d.marked {
		return nil
	}
	d.marked = index
	b := binary.BigEndian.AppendUint64(nil, index)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	_, err := d.mark.WriteAt(b, 0)
	return err
}

// readMark returns the index in the file, or 0.
func (d *directory) readMark() uint64 {
	b := make([]byte, markSize)
	if _, err := d.mark.ReadAt(b, 0); err != nil || binary.BigEndian.Uint32(b[8:]) != crc32.Checksum(b[:8], castagnoli) {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// close gives the directory free for another process.
func (d *directory) close() error {
	var errs []error
	for _, f := range []*os.File{d.mark, d.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
