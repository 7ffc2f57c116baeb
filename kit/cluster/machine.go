package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster/seal"
	"landfall.dev/kit/cluster/snapshot"
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

// replica makes a machine follow raft's log.
type replica struct {
	fail     func(error)
	schema   string
	banished func(ids []string) // told whenever expelled grows

	mu       sync.Mutex // raft applies while a leadership that ends still decides
	machine  Machine
	broken   error         // the reason why nothing is applied any more
	expelled []string      // the nodes that were removed on purpose, the oldest first
	waiting  chan struct{} // closed when more is applied, if somebody waits

	grown atomic.Int64 // bytes of the entries since the last snapshot
	kept  atomic.Int64 // bytes of that

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
	data, at, err := seal.Open(l.Data)
	switch {
	case err != nil:
	case len(l.Extensions) > 0:
		err = r.obey(l)
	default:
		err = r.machine.Apply(data)
	}
	if err != nil {
		return r.broke(&kit.Error{
			Fault: kit.ErrInternal, Op: "cluster.apply", Err: err,
			Detail: fmt.Sprintf("log entry %d cannot be applied", l.Index),
			Hint:   "the node stops so that its documents do not part from the log: start a binary that knows the entry, or move the data directory away and join again",
		})
	}
	r.decided.Store(max(at, r.decided.Load()))
	r.grown.Add(int64(len(l.Data)))
	r.advance(l.Index)
	return nil
}

// broke notes that the machine cannot go on. The caller holds mu.
func (r *replica) broke(err error) error {
	r.broken = err
	r.fail(err)
	return err
}

// Snapshot captures the state.
func (r *replica) Snapshot() (raft.FSMSnapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return nil, r.broken
	}
	c := r.freeze()
	grown := r.grown.Load()
	c.written = func(size int64) {
		r.grown.Add(-grown)
		r.kept.Store(size)
	}
	return c, nil
}

// capture is the state at one entry, to be written later.
type capture struct {
	head    snapshot.Head
	state   io.WriterTo
	written func(size int64)
}

// freeze returns the state as it is. The caller holds mu.
func (r *replica) freeze() *capture {
	head := snapshot.Head{
		Applied: r.applied.Load(), Decided: r.decided.Load(), Schema: r.schema, Expelled: slices.Clone(r.expelled),
	}
	return &capture{head: head, state: r.machine.Snapshot()}
}

// writeTo writes the snapshot to w.
func (s *capture) writeTo(w io.Writer) error {
	b, err := snapshot.NewWriter(w, s.head)
	if err == nil {
		_, err = s.state.WriteTo(b)
	}
	if err != nil {
		return err
	}
	return b.Close()
}

// Persist writes the snapshot to sink and closes it.
func (s *capture) Persist(sink raft.SnapshotSink) error {
	var size snapshot.Tally
	if err := s.writeTo(io.MultiWriter(sink, &size)); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return err
	}
	s.written(int64(size))
	return nil
}

// Release does nothing: the machine's snapshot is garbage by now.
func (s *capture) Release() {}

// Restore replaces the state by a snapshot. An error stops the node.
func (r *replica) Restore(from io.ReadCloser) error {
	defer func() { _ = from.Close() }()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return r.broken
	}
	if err := r.take(from); err != nil {
		return r.broke(err)
	}
	return nil
}

// begin is Restore of the snapshot that the node starts with.
func (r *replica) begin(from io.Reader) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.take(from)
}

// take replaces the state by a snapshot. After an error the state is of no
// use: the damage may be at the snapshot's end. The caller holds mu.
func (r *replica) take(from io.Reader) error {
	var size snapshot.Tally
	in, err := snapshot.NewReader(io.TeeReader(from, &size))
	if err == nil {
		ahead := snapshot.NewAhead(in)
		if err = r.machine.Restore(ahead); err == nil {
			_, err = io.Copy(io.Discard, ahead) // so that the end is checked
		}
		ahead.Close()
	}
	if err != nil {
		return &kit.Error{
			Fault: kit.ErrInternal, Op: "cluster.restore", Err: err,
			Detail: "the snapshot cannot be read",
			Hint:   "start a binary that knows its disk.Format, or move the data directory away and join again",
		}
	}
	r.grown.Store(0)
	r.kept.Store(int64(size))
	r.expelled = nil
	r.banish(in.Head.Expelled)
	r.decided.Store(in.Head.Decided)
	r.advance(in.Head.Applied)
	return nil
}

// advance notes that all up to index is applied. The caller holds mu.
func (r *replica) advance(index uint64) {
	r.applied.Store(index)
	if r.waiting != nil {
		close(r.waiting)
		r.waiting = nil
	}
}

// changes returns a channel that is closed when more is applied. Take it
// before looking.
func (r *replica) changes() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == nil {
		r.waiting = make(chan struct{})
	}
	return r.waiting
}

// maxExpelled is how many nodes are remembered that were removed on purpose. One
// that as many others have followed may join again with its old directory.
const maxExpelled = 4096

// banish notes nodes that were removed on purpose. The caller holds mu.
func (r *replica) banish(ids []string) {
	for _, id := range ids {
		if !slices.Contains(r.expelled, id) {
			r.expelled = append(r.expelled, id)
		}
	}
	r.expelled = slices.Clone(r.expelled[max(0, len(r.expelled)-maxExpelled):])
	if len(ids) > 0 && r.banished != nil {
		r.banished(slices.Clone(r.expelled))
	}
}

// control is what the cluster itself tells its members in the log. It is in an
// entry's extensions; the machine does not see it.
type control struct {
	Expel []string `json:"expel,omitempty"`
}

// obey carries out a control entry. The caller holds mu.
func (r *replica) obey(l *raft.Log) error {
	var c control
	if err := json.Unmarshal(l.Extensions, &c); err != nil {
		return err
	}
	r.banish(c.Expel)
	return nil
}

// clock is the leader's: it starts at the wall clock, or at the newest time
// in the log if that is later, and then moves at the rate of time, whatever
// happens to the wall clock.
type clock struct {
	began  time.Time // with its monotonic reading
	offset time.Duration
	behind time.Duration // of the wall clock, at the beginning
}

func newClock(wall time.Time, newest int64) clock {
	behind := max(0, time.Unix(0, newest).Sub(wall))
	began := time.Now()
	return clock{began, wall.Sub(began.Round(0)) + behind, behind}
}

func (c clock) now() time.Time {
	return c.began.Add(time.Since(c.began) + c.offset).Round(0).UTC()
}
