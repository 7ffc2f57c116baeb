package cluster

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

// streams carries the connections between members. Raft addresses a member by
// its id; where that is now, the roster knows.
type streams struct {
	listener net.Listener
	self     string
	pass     *authority.Pass
	locate   func(id string) (string, error)
	admit    func(id string) error // whether the node may take part
	answer   func(net.Conn)        // serves a connection for asks, and closes it

	accepted chan net.Conn // for raft
	closed   chan struct{}
	open     sync.WaitGroup // of the goroutines

	mu    sync.Mutex
	conns map[net.Conn]bool // nil once closed
}

// newStreams returns streams that accept connections at once.
func newStreams(l net.Listener, p *authority.Pass, locate func(string) (string, error), admit func(string) error, answer func(net.Conn)) *streams {
	s := &streams{
		listener: l, self: p.ID, pass: p, locate: locate, admit: admit, answer: answer,
		accepted: make(chan net.Conn), closed: make(chan struct{}), conns: map[net.Conn]bool{},
	}
	s.open.Go(s.accept)
	return s
}

// nodeAddr is a node's id in the place of a network address.
type nodeAddr string

func (a nodeAddr) Network() string { return "landfall" }
func (a nodeAddr) String() string  { return string(a) }

// Addr returns the node's id.
func (s *streams) Addr() net.Addr { return nodeAddr(s.self) }

// Dial connects raft to the member whose id is to.
func (s *streams) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return s.dial(string(to), forRaft, timeout)
}

func (s *streams) dial(id, purpose string, timeout time.Duration) (net.Conn, error) {
	addr, err := s.locate(id)
	if err != nil {
		return nil, err
	}
	return dialMember(s.pass, id, addr, purpose, timeout)
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
	ctx, cancel := context.WithTimeout(context.Background(), min(timeout, dialLimit))
	defer cancel()
	return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", addr)
}

// accept takes connections until the listener is closed.
func (s *streams) accept() {
	config := s.pass.Between(s.admit)
	config.NextProtos = []string{forRaft, forAsks}
	for {
		raw, err := s.listener.Accept()
		if err != nil {
			select {
			case <-s.closed:
				return
			case <-time.After(tick): // out of files: it passes
				continue
			}
		}
		c := &stream{tls.Server(raw, config), s}
		if !s.keep(c) {
			_ = raw.Close()
			return
		}
		s.open.Go(func() { s.greet(c) })
	}
}

// keep notes the connection so that it is closed with s. It returns false if s
// is closed.
func (s *streams) keep(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		return false
	}
	s.conns[c] = true
	return true
}

// greet hands a new connection to whom it is for.
func (s *streams) greet(c *stream) {
	conn := c.Conn.(*tls.Conn)
	ctx, cancel := context.WithTimeout(context.Background(), dialLimit)
	err := conn.HandshakeContext(ctx)
	cancel()
	switch {
	case err != nil:
		_ = c.Close() // no member: it is told by the handshake
	case conn.ConnectionState().NegotiatedProtocol == forAsks:
		s.answer(c)
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

// stream is an accepted connection, forgotten when it is closed.
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

// Close stops listening, cuts the accepted connections and waits for those
// who served them. It may be called again.
func (s *streams) Close() error {
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	if conns == nil {
		return nil
	}
	close(s.closed)
	err := s.listener.Close()
	for c := range conns {
		_ = c.(*stream).Conn.Close()
	}
	s.open.Wait()
	return err
}

// listen returns a listener on host with port, or with a free port if that is
// 0 or taken.
func listen(host string, port int) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil && port != 0 {
		l, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return nil, fmt.Errorf("raft: %w", err)
	}
	return l, nil
}

func portOf(a net.Addr) int {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.Port
	}
	return 0
}

// occupied tells whether a node with this one's certificate answers at addr.
func occupied(p *authority.Pass, addr string) bool {
	c, err := dialMember(p, p.ID, addr, forAsks, dialLimit)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}
