package store

import (
	"bufio"
	"encoding/json"
	"io"
	"sync"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
)

// Snapshot is the whole state at one position. It does not change. Its methods
// may be called concurrently.
type Snapshot struct{ view view }

// Snapshot returns the state as it is now. It copies nothing.
func (s *Store) Snapshot() *Snapshot { return &Snapshot{s.frozen()} }

// Position is where the snapshot was taken.
func (s *Snapshot) Position() kit.Position { return s.view.Position() }

// WriteTo writes the snapshot to w; equal states give equal bytes.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	c := &countingWriter{w: w}
	b := buffers.Get().(*bufio.Writer)
	b.Reset(c)
	defer func() {
		b.Reset(nil) // does not keep c
		buffers.Put(b)
	}()
	err := s.write(frame.NewWriter(b))
	if err == nil {
		err = b.Flush()
	}
	return c.n, err
}

// buffers are those of snapshots that were written.
var buffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 256<<10) }}

// write writes the head and all that the memory has.
func (s *Snapshot) write(w *frame.Writer) error {
	h := s.view.head
	raw, err := json.Marshal(wireHead{
		Of: ofSnapshot, Entries: h.entries, Epoch: h.epoch, Seq: h.seq, Time: h.time, Lag: h.lag, Fence: h.fence,
		Counters: h.counters, Floors: s.view.Floors(), Cursors: h.cursors,
	})
	if err != nil {
		return err
	}
	if err := w.Write(frame.Frame{Head: raw}); err != nil {
		return err
	}
	if err := s.view.Write(w); err != nil {
		return err
	}
	return w.Close()
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
