package cluster

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"landfall.dev/kit"
)

// Machine is the state that a cluster replicates. Its methods are never called
// concurrently, but a snapshot is written while they are.
type Machine interface {
	// Decide is called on the leader only, one batch at a time, after all
	// earlier entries were applied here. It changes nothing. It returns the
	// entry that carries the batch, nil if there is nothing to log, and one
	// outcome for each proposal. Now never goes back, not even when the leader
	// changes, and moves at the rate of time.
	Decide(proposals []any, now time.Time) (entry []byte, outcomes []Outcome)

	// Apply applies the next entry, on every node in the same order. An error
	// stops the node. The entry is the machine's to keep.
	Apply(entry []byte) error

	// Snapshot returns the present state at once; it is written later, maybe
	// never.
	Snapshot() io.WriterTo

	// Restore replaces the state by one that was written by a Snapshot. An
	// error stops the node.
	Restore(r io.Reader) error
}

// Outcome is what became of a proposal. With an error the proposal was
// refused, and the entry carries nothing of it.
type Outcome struct {
	Value any
	Err   error
}

// An entry in the log is the CRC-32C of all that follows, the time at which
// it was decided (nanoseconds since 1970), both big-endian, and the machine's
// bytes.
const entryHeader = 4 + 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeEntry(data []byte, now time.Time) []byte {
	b := make([]byte, entryHeader, entryHeader+len(data))
	b = append(b, data...)
	binary.BigEndian.PutUint64(b[4:], uint64(now.UnixNano()))
	binary.BigEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

func decodeEntry(b []byte) (data []byte, at int64, err error) {
	if len(b) < entryHeader || binary.BigEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) {
		return nil, 0, errors.New("the checksum is wrong")
	}
	return b[entryHeader:], int64(binary.BigEndian.Uint64(b[4:])), nil
}

// replica makes a machine follow raft's log.
type replica struct {
	fail func(error)

	mu      sync.Mutex // raft applies while a leadership that ends still decides
	machine Machine
	broken  error // the reason why nothing is applied any more

	applied atomic.Uint64 // the log index of the last entry applied
	decided atomic.Int64  // the newest time in the log, in Unix nanoseconds
}

// decide has the machine decide proposals.
func (r *replica) decide(proposals []any, now time.Time) ([]byte, []Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.Decide(proposals, now)
}

// Apply applies an entry. What it returns other than nil is an error.
func (r *replica) Apply(l *raft.Log) any {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return r.broken
	}
	data, at, err := decodeEntry(l.Data)
	if err == nil {
		err = r.machine.Apply(data)
	}
	if err != nil {
		return r.broke(&kit.Error{
			Fault: kit.ErrInternal, Op: "cluster.apply", Err: err,
			Detail: fmt.Sprintf("log entry %d cannot be applied", l.Index),
			Hint:   "the node stops so that its documents do not part from the log: start a binary that knows the entry, or move the data directory away and join again",
		})
	}
	r.applied.Store(l.Index)
	r.decided.Store(max(at, r.decided.Load()))
	return nil
}

// broke notes that the machine cannot go on. The caller holds mu.
func (r *replica) broke(err error) error {
	r.broken = err
	r.fail(err)
	return err
}

// snapshotMagic starts a snapshot; the log index of the last entry in it and
// the newest time follow, as big-endian integers of 64 bits, then the
// machine's bytes.
const snapshotMagic = "landfall snapshot 1\n"

type snapshot struct {
	applied uint64
	decided int64
	state   io.WriterTo
}

// Snapshot captures the state.
func (r *replica) Snapshot() (raft.FSMSnapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return nil, r.broken
	}
	return &snapshot{r.applied.Load(), r.decided.Load(), r.machine.Snapshot()}, nil
}

// Persist writes the snapshot to sink and closes it.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	w := bufio.NewWriterSize(sink, 1<<16)
	_, _ = w.WriteString(snapshotMagic)
	_ = binary.Write(w, binary.BigEndian, s.applied)
	_ = binary.Write(w, binary.BigEndian, s.decided)
	_, err := s.state.WriteTo(w)
	if err == nil {
		err = w.Flush() // reports the errors of the writes above, too
	}
	if err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release does nothing: the machine's snapshot is garbage by now.
func (s *snapshot) Release() {}

// Restore replaces the state by a snapshot.
func (r *replica) Restore(from io.ReadCloser) error {
	defer func() { _ = from.Close() }()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return r.broken
	}
	var s snapshot
	in := bufio.NewReaderSize(from, 1<<16)
	magic := make([]byte, len(snapshotMagic))
	_, err := io.ReadFull(in, magic)
	if err == nil && string(magic) != snapshotMagic {
		err = fmt.Errorf("it starts with %q, not %q", magic, snapshotMagic)
	}
	if err == nil {
		err = errors.Join(binary.Read(in, binary.BigEndian, &s.applied), binary.Read(in, binary.BigEndian, &s.decided))
	}
	if err == nil {
		err = r.machine.Restore(in)
	}
	if err != nil {
		return r.broke(&kit.Error{
			Fault: kit.ErrInternal, Op: "cluster.restore", Err: err,
			Detail: "the snapshot cannot be read",
			Hint:   "start a binary that knows its format, or move the data directory away and join again",
		})
	}
	r.applied.Store(s.applied)
	r.decided.Store(s.decided)
	return nil
}

// clock is the leader's: it starts at the wall clock, or at the newest time
// in the log if that is later, and then moves at the rate of time, whatever
// happens to the wall clock.
type clock struct {
	start  time.Time // with its monotonic reading
	offset time.Duration
}

func newClock(newest int64) clock {
	start := time.Now()
	return clock{start, max(0, time.Unix(0, newest).Sub(start))}
}

func (c clock) now() time.Time {
	return c.start.Add(time.Since(c.start) + c.offset).Round(0).UTC()
}
