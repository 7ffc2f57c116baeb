package wire

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"landfall.dev/kit/cluster/authority"
)

// What a connection between members is for, as its ends agree in the TLS
// handshake.
const (
	forRaft = "landfall-raft"
	forAsks = "landfall-ask"
)

// DialLimit is the longest wait for a member to answer a connection.
const DialLimit = 2 * time.Second

// acceptPause is the wait after a connection could not be accepted.
const acceptPause = 100 * time.Millisecond

// streams carries the connections between members. Raft addresses a member by
// its id.
type streams struct {
	Config
	accepted chan net.Conn // for raft
	closed   chan struct{}
	open     sync.WaitGroup // of the goroutines

	mu    sync.Mutex
	conns map[*stream]bool // nil once closed
}

// newStreams returns streams that accept connections at once.
func newStreams(c Config) *streams {
	s := &streams{Config: c, accepted: make(chan net.Conn), closed: make(chan struct{}), conns: map[*stream]bool{}}
	s.open.Go(s.accept)
	return s
}

// nodeAddr is a node's id in the place of a network address.
type nodeAddr string

func (a nodeAddr) Network() string { return "landfall" }
func (a nodeAddr) String() string  { return string(a) }

// Addr returns the node's id.
func (s *streams) Addr() net.Addr { return nodeAddr(s.Pass.ID) }

// Dial connects raft to the member whose id is to.
func (s *streams) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return s.dial(string(to), forRaft, timeout)
}

func (s *streams) dial(id, purpose string, timeout time.Duration) (net.Conn, error) {
	addr, err := s.Locate(id)
	if err != nil {
		return nil, err
	}
	conn, err := dialMember(s.Pass, id, addr, purpose, timeout)
	if err != nil {
		return nil, err
	}
	c := &stream{conn, s}
	if !s.keep(c) {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	return c, nil
}

// dialMember connects to the node id at addr.
func dialMember(p *authority.Pass, id, addr, purpose string, timeout time.Duration) (net.Conn, error) {
	config := p.Between(func(other string) error {
		if other != id {
			return fmt.Errorf("%s is node %s, not %s", addr, other, id)
		}
		return nil
	})
	config.NextProtos = []string{purpose}
	ctx, cancel := context.WithTimeout(context.Background(), min(timeout, DialLimit))
	defer cancel()
	return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", addr)
}

// accept takes connections until the listener is closed.
func (s *streams) accept() {
	config := s.Pass.Between(s.Admit)
	config.NextProtos = []string{forRaft, forAsks}
	for {
		raw, err := s.Listener.Accept()
		if err != nil {
			select {
			case <-s.closed:
				return
			case <-time.After(acceptPause): // out of files: it passes
				continue
			}
		}
		conn := tls.Server(raw, config)
		c := &stream{conn, s}
		if !s.keep(c) {
			_ = raw.Close()
			return
		}
		s.open.Go(func() { s.greet(c, conn) })
	}
}

// keep notes the connection so that it is closed with s. It returns false if s
// is closed.
func (s *streams) keep(c *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		return false
	}
	s.conns[c] = true
	return true
}

// greet hands a new connection to whom it is for.
func (s *streams) greet(c *stream, conn *tls.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), DialLimit)
	err := conn.HandshakeContext(ctx)
	cancel()
	switch {
	case err != nil:
		_ = c.Close() // no member: it is told by the handshake
	case conn.ConnectionState().NegotiatedProtocol == forAsks:
		id := conn.ConnectionState().PeerCertificates[0].Subject.CommonName // see authority
		answer(c, func(kind byte, number uint64) (uint64, error) { return s.Answer(id, kind, number) })
	default:
		select {
		case s.accepted <- c:
		case <-s.closed:
			_ = c.Close()
		}
	}
}

// Accept returns the next connection of a member for raft.
func (s *streams) Accept() (net.Conn, error) {
	select {
	case c := <-s.accepted:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

// stream is a connection, forgotten when it is closed.
type stream struct {
	net.Conn
	of *streams
}

// Close closes the connection.
func (c *stream) Close() error {
	c.of.mu.Lock()
	delete(c.of.conns, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// Close stops listening, cuts all connections and waits for those who served
// them. It may be called again.
func (s *streams) Close() error {
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	if conns == nil {
		return nil
	}
	close(s.closed)
	err := s.Listener.Close()
	for c := range conns {
		cut(c.Conn)
	}
	s.open.Wait()
	return err
}

// cut closes the connection at once: TLS would first say good-bye, which takes
// 5 seconds where the other end does not read.
func cut(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	_ = c.Close()
}

// Listen returns a listener on host with port, or with a free port if that is
// 0 or taken.
func Listen(host string, port int) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil && port != 0 {
		l, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return nil, fmt.Errorf("raft: %w", err)
	}
	return l, nil
}

// Port returns the port of l, 0 if it has none.
func Port(l net.Listener) int {
	if t, ok := l.Addr().(*net.TCPAddr); ok {
		return t.Port
	}
	return 0
}

// Dial connects the node with the pass p to the node id at addr, for questions.
func Dial(p *authority.Pass, id, addr string) (net.Conn, error) {
	return dialMember(p, id, addr, forAsks, DialLimit)
}

// Occupied tells whether a node with this one's certificate answers at addr.
func Occupied(p *authority.Pass, addr string) bool {
	c, err := Dial(p, p.ID, addr)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}
