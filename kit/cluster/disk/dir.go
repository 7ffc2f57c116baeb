package disk

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
	"sync"
	"syscall"

	"landfall.dev/kit"
)

// Format is the number in VERSION. A change that an older binary would
// misread raises it.
const Format = 2

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// KeySize is the size of a cluster's key.
const KeySize = 32

// Peer is a member as peers.json and the answer to a join name it.
type Peer struct {
	ID     string `json:"id"`
	URL    string `json:"url"`
	Raft   string `json:"raft"`   // host:port
	Gossip string `json:"gossip"` // host:port
}

// Directory is a node's data directory, locked. With an empty path nothing is
// kept.
type Directory struct {
	path string
	lock *os.File

	markMu sync.Mutex
	mark   *os.File // the file "mark"
	marked uint64   // what it says
}

// Identity is what node.json says.
type Identity struct {
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
	// Restored is set on a new cluster whose snapshot comes from a backup.
	Restored bool `json:"restored,omitempty"`
}

// Open creates and locks the directory at path and checks its format.
func Open(path string) (*Directory, error) {
	d := &Directory{path: path}
	if path == "" {
		return d, nil
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	if err := d.Lock(); err != nil {
		return nil, d.Explained(err)
	}
	err := d.checkFormat()
	if err == nil {
		d.mark, err = os.OpenFile(d.file("mark"), os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		return nil, errors.Join(d.Explained(err), d.Close())
	}
	d.marked = d.readMark()
	return d, nil
}

// At returns the directory at path, as it is and not locked.
func At(path string) *Directory { return &Directory{path: path} }

// Path is where the directory is; empty if nothing is kept.
func (d *Directory) Path() string { return d.path }

func (d *Directory) file(name string) string { return filepath.Join(d.path, name) }

// Lock takes the directory for this process until Close. It is ErrConflict,
// with the other's process id, while another one has it.
func (d *Directory) Lock() error {
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

func (d *Directory) checkFormat() error {
	b, err := os.ReadFile(d.file("VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		for _, name := range []string{"node.json", "log", "snapshots"} {
			if _, err := os.Stat(d.file(name)); err == nil {
				return d.Damaged("VERSION", fmt.Errorf("it is missing, but there is %s", name))
			}
		}
		return writeFile(d.file("VERSION"), fmt.Appendln(nil, Format))
	}
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return d.Damaged("VERSION", fmt.Errorf("%q is no number", b))
	}
	if n < Format {
		// This binary reads all that older ones wrote; they do not read what it
		// writes from now on.
		return writeFile(d.file("VERSION"), fmt.Appendln(nil, Format))
	}
	if n > Format {
		return &kit.Error{
			Fault: kit.ErrConflict, Detail: fmt.Sprintf("%s was written by a newer version (format %d, this binary knows %d)", d.path, n, Format),
			Hint: "use a newer binary",
		}
	}
	return nil
}

// Identity returns what node.json says; with an empty ID the directory is new.
func (d *Directory) Identity() (Identity, error) {
	var id Identity
	if d.path == "" {
		return id, nil
	}
	b, err := os.ReadFile(d.file("node.json"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(d.file("log")); err == nil {
			return id, d.Damaged("node.json", errors.New("it is missing, but there is a log"))
		}
		return id, nil
	}
	if err != nil {
		return id, err
	}
	if id, err = parseIdentity(b); err != nil {
		return id, d.Damaged("node.json", err)
	}
	return id, nil
}

func parseIdentity(b []byte) (Identity, error) {
	var id Identity
	if err := json.Unmarshal(b, &id); err != nil {
		return Identity{}, err
	}
	if id.ID == "" || len(id.Key) != KeySize {
		return Identity{}, errors.New("the id or the key is missing")
	}
	return id, nil
}

// Peers returns the members as last seen.
func (d *Directory) Peers() ([]Peer, error) {
	var peers []Peer
	if d.path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(d.file("peers.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		peers, err = parsePeers(b)
	}
	if err != nil {
		return nil, d.Damaged("peers.json", err)
	}
	return peers, nil
}

func parsePeers(b []byte) ([]Peer, error) {
	var peers []Peer
	if err := json.Unmarshal(b, &peers); err != nil {
		return nil, err
	}
	for i, p := range peers {
		if p.ID == "" {
			return nil, fmt.Errorf("entry %d has no id", i+1)
		}
	}
	return peers, nil
}

// Save writes v to the file name, whole or not at all.
func (d *Directory) Save(name string, v any) error {
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
	return SyncDirectory(filepath.Dir(path))
}

// SyncDirectory makes durable which files are in the directory at path.
func SyncDirectory(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// The mark is the log index of the last entry that was stored and synced, and
// the CRC-32C of it: a log that ends before has lost entries that this node has
// vouched for. It is not synced when it grows: after a power failure it is old
// or unreadable, which only makes the check weaker. It is synced before the
// log's end is cut off, since an old one would then ask for more than there is.
// A node whose durability is relaxed vouches for nothing, and leaves the mark
// at what was synced before.
const markSize = 8 + 4

// Mark is the log index up to which the log must reach.
func (d *Directory) Mark() uint64 {
	d.markMu.Lock()
	defer d.markMu.Unlock()
	return d.marked
}

// cutting notes, durably, that the entries from index on are about to be
// deleted.
func (d *Directory) cutting(index uint64, files *Files) error {
	if d.mark == nil || d.Mark() < index {
		return nil
	}
	if err := d.setMark(index - 1); err != nil {
		return err
	}
	return files.sync(d.mark)
}

// setMark notes that the entries up to index are on the disk.
func (d *Directory) setMark(index uint64) error {
	if d.mark == nil {
		return nil
	}
	d.markMu.Lock()
	defer d.markMu.Unlock()
	d.marked = index
	b := binary.BigEndian.AppendUint64(nil, index)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	_, err := d.mark.WriteAt(b, 0)
	return err
}

// readMark returns the index in the file, or 0.
func (d *Directory) readMark() uint64 {
	b := make([]byte, markSize)
	if _, err := d.mark.ReadAt(b, 0); err != nil {
		return 0
	}
	return parseMark(b)
}

func parseMark(b []byte) uint64 {
	if len(b) != markSize || binary.BigEndian.Uint32(b[8:]) != crc32.Checksum(b[:8], castagnoli) {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// Close gives the directory free for another process.
func (d *Directory) Close() error {
	var errs []error
	for _, f := range []*os.File{d.mark, d.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
