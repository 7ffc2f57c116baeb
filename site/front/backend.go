package front

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	dialTimeout = 3 * time.Second

	// probeAfter is how long a backend that accepted no connection is left
	// alone. Then one request tries it.
	probeAfter = time.Second

	// keepIdle is how long an unused connection is kept.
	keepIdle = time.Minute
)

// target is a route with the connections to its backends.
type target struct {
	Route
	named    []string // its side, as a header's values
	backends []*backend
	turn     atomic.Uint32
}

// connect returns a connection to the next backend in turn that accepts one:
// those that are known to be down come last. If none does, that is errNoBackend.
func (to *target) connect(ctx context.Context, stream bool) (*conn, error) {
	n := len(to.backends)
	first := int(to.turn.Add(1)) % n
	var down []*backend
	for i := range n {
		b := to.backends[(first+i)%n]
		if !b.mayTry(time.Now()) {
			down = append(down, b)
			continue
		}
		c, err := b.get(ctx, stream)
		if err == nil || ctx.Err() != nil {
			return c, err
		}
	}
	for _, b := range down {
		c, err := b.get(ctx, stream)
		if err == nil || ctx.Err() != nil {
			return c, err
		}
	}
	return nil, errNoBackend
}

// backend is one instance of a side, and the connections to it.
type backend struct {
	addr  string
	log   *slog.Logger
	slots chan struct{} // one element for each connection in use

	// probe is when a backend that is down may be tried again, in Unix
	// nanoseconds; 0 means that it is up.
	probe atomic.Int64

	mu     sync.Mutex
	idle   []*conn // the one used last is at the end
	closed bool    // keep no connections
}

func newBackend(addr string, conns int, log *slog.Logger) *backend {
	return &backend{addr: addr, log: log, slots: make(chan struct{}, conns)}
}

// mayTry says whether b is up, or else whether the caller is the one who
// should find out.
func (b *backend) mayTry(now time.Time) bool {
	at := b.probe.Load()
	if at == 0 {
		return true
	}
	return now.UnixNano() >= at && b.probe.CompareAndSwap(at, now.Add(probeAfter).UnixNano())
}

// get returns a connection that is idle or new. It waits for one of b's slots,
// unless the connection is for a stream.
func (b *backend) get(ctx context.Context, stream bool) (*conn, error) {
	if stream {
		return b.dial(ctx)
	}
	select {
	case b.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for c := b.pop(); c != nil; c = b.pop() {
		if c.probe.alive() {
			return c, nil
		}
		c.Close()
	}
	c, err := b.dial(ctx)
	if err != nil {
		<-b.slots
		return nil, err
	}
	c.pooled = true
	return c, nil
}

func (b *backend) dial(ctx context.Context) (*conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	nc, err := dialer.DialContext(ctx, "tcp", b.addr)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if b.probe.Swap(time.Now().Add(probeAfter).UnixNano()) == 0 {
			b.log.Warn("lost a backend", "backend", b.addr, "error", err)
		}
		return nil, fmt.Errorf("connect: %w", err)
	}
	if b.probe.Load() != 0 && b.probe.Swap(0) != 0 {
		b.log.Info("reached a backend again", "backend", b.addr)
	}
	return newConn(nc, b), nil
}

func (b *backend) pop() *conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.idle) == 0 {
		return nil
	}
	last := len(b.idle) - 1
	c := b.idle[last]
	b.idle = b.idle[:last]
	return c
}

// put takes back a connection that get returned. If it is clean, it can carry
// another request; else it is closed.
func (b *backend) put(c *conn, clean bool) {
	if !c.pooled {
		c.Close()
		return
	}
	defer func() { <-b.slots }()
	if !clean {
		c.Close()
		return
	}
	c.unused = time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		c.Close()
		return
	}
	b.idle = append(b.idle, c)
	if oldest := b.idle[0]; c.unused.Sub(oldest.unused) > keepIdle {
		oldest.Close()
		b.idle = b.idle[1:]
	}
}

// close closes the connections that nobody uses; the others are when they are
// put back. Requests that were sent here before still may use b.
func (b *backend) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, c := range b.idle {
		c.Close()
	}
	b.idle = nil
}
