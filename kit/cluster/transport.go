package cluster

import (
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// derive returns the 32 bytes that serve use in place of the cluster's key.
func derive(key []byte, use string) ([]byte, error) {
	return hkdf.Key(sha256.New, key, nil, "landfall cluster "+use, 32)
}

// mutualTLS returns a configuration for both ends of a connection between
// members. All members hold one key pair, derived from the cluster's key; an
// end is trusted if it proves to hold it.
func mutualTLS(key []byte) (*tls.Config, error) {
	seed, err := derive(key, "raft")
	if err != nil {
		return nil, err
	}
	pair := ed25519.NewKeyFromSeed(seed)
	public := pair.Public().(ed25519.PublicKey)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(100, 0, 0)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, public, pair)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		Certificates:       []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: pair}},
		ClientAuth:         tls.RequireAnyClientCert,
		InsecureSkipVerify: true, // names and chains say nothing here; the key does:
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 || !public.Equal(s.PeerCertificates[0].PublicKey) {
				return errors.New("the other side does not hold the cluster's key")
			}
			return nil
		},
	}, nil
}

// streams carries raft's connections. Raft addresses a member by its id;
// where that is now, the roster knows.
type streams struct {
	net.Listener
	self   string
	config *tls.Config
	locate func(id string) (string, error)

	mu     sync.Mutex
	conns  map[net.Conn]bool // accepted and open
	closed bool
}

// nodeAddr is a node's id in the place of a network address.
type nodeAddr string

func (a nodeAddr) Network() string { return "landfall" }
func (a nodeAddr) String() string  { return string(a) }

// Addr returns the node's id.
func (s *streams) Addr() net.Addr { return nodeAddr(s.self) }

// Dial connects to the member whose id is to.
func (s *streams) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	addr, err := s.locate(string(to))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(timeout, dialLimit))
	defer cancel()
	return (&tls.Dialer{Config: s.config}).DialContext(ctx, "tcp", addr)
}

// Accept returns the next connection of a member.
func (s *streams) Accept() (net.Conn, error) {
	raw, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &stream{tls.Server(raw, s.config), s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.Join(net.ErrClosed, raw.Close())
	}
	s.conns[c] = true
	return c, nil
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

// Close stops listening and cuts the accepted connections.
func (s *streams) Close() error {
	s.mu.Lock()
	s.closed = true
	open := s.conns
	s.conns = map[net.Conn]bool{}
	s.mu.Unlock()
	for c := range open {
		_ = c.Close()
	}
	return s.Listener.Close()
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
