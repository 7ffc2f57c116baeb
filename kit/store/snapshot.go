package store

import (
	"bufio"
	"encoding/json"
	"io"

	"github.com/google/btree"

	"landfall.dev/kit"
)

// Snapshot is the whole state at one position. It does not change. Its methods
// may be called concurrently.
type Snapshot struct{ state *state }

// Snapshot returns the state as it is now. It copies nothing.
func (s *Store) Snapshot() *Snapshot { return &Snapshot{s.frozen()} }

// Position is where the snapshot was taken.
func (s *Snapshot) Position() kit.Position { return s.state.position() }

// WriteTo writes the snapshot to w; equal states give equal bytes.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	c := &countingWriter{w: w}
	b := bufio.NewWriterSize(c, 256<<10)
	err := s.write(NewFrameWriter(b))
	if err == nil {
		err = b.Flush()
	}
	return c.n, err
}

func (s *Snapshot) write(w *FrameWriter) error {
	h := s.state.head
	raw, err := json.Marshal(wireHead{
		Of: ofSnapshot, Entries: h.entries, Epoch: h.epoch, Seq: h.seq, Time: h.time, Fence: h.fence,
		Counters: h.counters, Floors: h.floors, Cursors: h.cursors,
	})
	if err != nil {
		return err
	}
	if err := w.Write(Frame{Head: raw}); err != nil {
		return err
	}
	for _, tree := range []*btree.BTreeG[*doc]{s.state.live, s.state.dead} {
		tree.Ascend(func(d *doc) bool {
			err = w.Write(Frame{Record: d.rec, Origin: d.origin})
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	return w.Close()
}

// Restore replaces the state by the snapshot that r yields. On an error the
// state is as it was.
func (s *Store) Restore(r io.Reader) error {
	fr := NewFrameReader(r)
	h, err := readHead(fr, ofSnapshot)
	if err != nil {
		return restoring(err)
	}
	n := New(s.kinds)
	err = readDocuments(fr, func(d *doc) { n.count(n.state.put(d), d) })
	if err != nil {
		return restoring(err)
	}
	n.state.advance(h)
	n.state.floors = h.Floors
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.counts, s.own, s.origin = n.state, n.counts, n.own, n.origin
	s.tell()
	return nil
}

func restoring(err error) error { return &kit.Error{Op: "restore", Fault: kit.FaultOf(err), Err: err} }

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
