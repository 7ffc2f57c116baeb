package platform

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"landfall.dev/kit/cluster/authority"
)

// authorityFile is where clients find the certificate to trust.
const authorityFile = "ca.pem"

// certWait is how long a handshake waits for a node that is starting, and has
// no certificate yet.
const certWait = 3 * time.Second

// secure returns the listener's address as a URL with its scheme, and how to
// serve it; without TLS that is nil.
func (n *Node) secure(ip net.IP, host string) (scheme string, t *tls.Config, err error) {
	switch {
	case n.config.Cert != "":
		pair, err := tls.LoadX509KeyPair(n.config.Cert, n.config.Key)
		if err != nil {
			return "", nil, fmt.Errorf("the certificate %s with its key %s cannot be used: %w", n.config.Cert, n.config.Key, err)
		}
		return "https", &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}, nil
	case !n.config.tlsOnLoopback && (host == "localhost" || ip != nil && ip.IsLoopback()):
		return "http", nil, nil
	case ip == nil || ip.IsUnspecified():
		return "", nil, fmt.Errorf("%s does not say at which address others reach this node: write its IP address", n.config.Listen)
	}
	return "https", &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: n.certificate, NextProtos: []string{"h2", "http/1.1"}}, nil
}

// certificate returns this node's certificate of the cluster's authority.
func (n *Node) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	wait := time.NewTimer(certWait)
	defer wait.Stop()
	select {
	case <-n.opened:
		return n.member.p.Load().Certificate()
	case <-wait.C:
		return nil, errors.New("the node is starting")
	}
}

// publishAuthority writes the certificate that clients have to trust.
func (n *Node) publishAuthority(a *authority.Authority) error {
	if n.tls == nil || n.config.Cert != "" {
		return nil
	}
	path := n.config.path(authorityFile)
	if err := os.WriteFile(path, a.PEM(), 0o644); err != nil {
		return err
	}
	n.log.Info("served with a certificate of the cluster's authority", "url", n.url, "authority", a.Digest(), "clients", "SSL_CERT_FILE="+path)
	return nil
}

// peerTransport carries requests to other nodes of the cluster.
type peerTransport struct {
	node *Node
	once sync.Once
	via  *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (p *peerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	member := p.node.member.p.Load()
	if member == nil {
		return nil, errStarting
	}
	p.once.Do(func() { p.via = authority.Transport(member.Authority().Digest()) })
	return p.via.RoundTrip(r)
}
