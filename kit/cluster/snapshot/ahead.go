package snapshot

import (
	"io"
	"sync"
)

// ahead is how many buffers there are between the two sides of an Ahead.
const ahead = 4

// Ahead yields what another reader does. That is read, and checked as far as
// the other does, by a goroutine of its own while the bytes before are used.
type Ahead struct {
	filled chan []byte // closed at the end
	empty  chan []byte
	block  []byte // that rest is in
	rest   []byte
	end    error // set before filled is closed
	stop   chan struct{}
	ended  sync.WaitGroup
}

// NewAhead starts to read from r. It must be closed.
func NewAhead(r io.Reader) *Ahead {
	a := &Ahead{filled: make(chan []byte, ahead), empty: make(chan []byte, ahead), stop: make(chan struct{})}
	for range ahead {
		a.empty <- make([]byte, maxBlock)
	}
	a.ended.Go(func() {
		defer close(a.filled)
		for a.end == nil {
			select {
			case b := <-a.empty:
				var n int
				n, a.end = io.ReadFull(r, b)
				if a.end == io.ErrUnexpectedEOF { // of ReadFull: the last one is not full
					a.end = io.EOF
				}
				a.filled <- b[:n]
			case <-a.stop:
				a.end = io.ErrClosedPipe
			}
		}
	})
	return a
}

// Read implements io.Reader.
func (a *Ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.block != nil {
			a.empty <- a.block[:maxBlock]
		}
		var ok bool
		if a.block, ok = <-a.filled; !ok {
			return 0, a.end
		}
		a.rest = a.block
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// Close ends the reading. It does not close the other reader.
func (a *Ahead) Close() {
	close(a.stop)
	a.ended.Wait()
}
