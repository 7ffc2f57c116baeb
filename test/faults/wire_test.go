package faults_test

import (
	"net"
	"sync"
	"testing"
	"time"
)

// wire leads connections on to a port on loopback. It can be slow, and cut:
// then nothing gets through, and nobody is told.
type wire struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	delay time.Duration // of each piece that gets through
	whole chan struct{} // closed unless the wire is cut
	ends  []net.Conn
}

// newWire returns a wire to the address.
func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, to: to, whole: make(chan struct{})}
	close(w.whole)
	go w.serve()
	t.Cleanup(w.remove)
	return w
}

func (w *wire) port() int { return w.listener.Addr().(*net.TCPAddr).Port }

func (w *wire) serve() {
	for {
		in, err := w.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", w.to)
		if err != nil {
			_ = in.Close() // as if nobody had listened
			continue
		}
		w.mu.Lock()
		w.ends = append(w.ends, in, out)
		w.mu.Unlock()
		go w.lead(in, out)
		go w.lead(out, in)
	}
}

// lead copies what comes from a to b.
func (w *wire) lead(a, b net.Conn) {
	defer b.Close()
	piece := make([]byte, 16<<10)
	for {
		n, err := a.Read(piece)
		w.mu.Lock()
		delay, whole := w.delay, w.whole
		w.mu.Unlock()
		<-whole
		if delay > 0 {
			<-time.After(delay)
		}
		if _, failed := b.Write(piece[:n]); failed != nil || err != nil {
			return
		}
	}
}

// slow delays each piece.
func (w *wire) slow(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay = by
}

// cut lets nothing through until mend.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.whole = make(chan struct{})
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.whole:
	default:
		close(w.whole)
	}
}

// remove ends the wire and what goes over it.
func (w *wire) remove() {
	w.mend()
	_ = w.listener.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.ends {
		_ = c.Close()
	}
}
