// Package authority issues and checks the certificates by which the nodes of a
// cluster know each other, and clients their servers.
package authority

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"
)

// Authority is the certificate authority of one cluster. Its key pair is
// derived from the cluster's key, so each member can issue certificates, and
// no member holds more than the others.
type Authority struct {
	key    *ecdsa.PrivateKey
	cert   *x509.Certificate
	digest string
}

// certAge is how long a certificate holds, to either side of now: members'
// clocks may be wrong. Half of it before the end a new one is issued.
const certAge = 365 * 24 * time.Hour

// Derive returns the 32 bytes that serve use in place of the cluster's key.
func Derive(key []byte, use string) ([]byte, error) {
	return hkdf.Key(sha256.New, key, nil, "landfall cluster "+use, 32)
}

// New returns the authority of the cluster that has the key.
func New(key []byte) (*Authority, error) {
	pair, err := derivePair(key)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(pair.Public())
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(public)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: fmt.Sprintf("Landfall cluster %x", digest[:4])},
		NotBefore:    time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA:         true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pair.Public(), pair)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Authority{key: pair, cert: cert, digest: hex.EncodeToString(digest[:])}, nil
}

// derivePair returns a key pair on P-256, which browsers know. Of the numbers
// of 32 bytes a few are too large for it: then the next one is taken.
func derivePair(key []byte) (*ecdsa.PrivateKey, error) {
	for i := 0; ; i++ {
		seed, err := Derive(key, fmt.Sprintf("authority %d", i))
		if err != nil {
			return nil, err
		}
		if pair, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed); err == nil {
			return pair, nil
		}
	}
}

// Digest is the SHA-256 of the authority's public key, in hexadecimal: what
// tells this cluster from any other.
func (a *Authority) Digest() string { return a.digest }

// PEM is the authority's certificate, for clients to trust.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// pool returns the authority as the only one to trust.
func (a *Authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// verify tells why chain is no certificate of this authority, or returns the
// id of the node that has it.
func (a *Authority) verify(chain []*x509.Certificate) (id string, err error) {
	if len(chain) == 0 {
		return "", errors.New("the other side shows no certificate")
	}
	_, err = chain[0].Verify(x509.VerifyOptions{Roots: a.pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return "", fmt.Errorf("the other side is no node of this cluster: %w", err)
	}
	return chain[0].Subject.CommonName, nil
}

// issue returns a new certificate for the node id at the hosts: names and IP
// addresses.
func (a *Authority) issue(id string, hosts []string) (*tls.Certificate, error) {
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: id},
		NotBefore: now.Add(-certAge), NotAfter: now.Add(certAge),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if h != "" {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, pair.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: pair, Leaf: leaf}, err
}

// Pass is a node's certificate, made anew in time.
type Pass struct {
	Authority *Authority
	// ID is the node's, Hosts the names and IP addresses at which it is reached.
	ID    string
	Hosts []string

	mu   sync.Mutex
	cert *tls.Certificate
}

// Certificate returns the node's certificate, a new one where the last is half
// as old as it may get.
func (p *Pass) Certificate() (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cert == nil || time.Until(p.cert.Leaf.NotAfter) < certAge/2 {
		cert, err := p.Authority.issue(p.ID, p.Hosts)
		if err != nil {
			return nil, err
		}
		p.cert = cert
	}
	return p.cert, nil
}

// Between returns the configuration of a connection between members: both
// ends show a certificate of the authority, and admit says whether the node
// with the other one's id may take part.
func (p *Pass) Between(admit func(id string) error) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return p.Certificate()
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return p.Certificate()
		},
		ClientAuth:         tls.RequireAnyClientCert,
		InsecureSkipVerify: true, // the name to expect is an id, which is checked here:
		VerifyConnection: func(s tls.ConnectionState) error {
			id, err := p.Authority.verify(s.PeerCertificates)
			if err != nil {
				return err
			}
			return admit(id)
		},
	}
}

// Pinned returns the configuration of a client that sends secrets to host: it
// trusts the authority with the digest, wherever a node of its cluster is, and
// what the system trusts at that name.
func Pinned(digest, host string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: host,
		InsecureSkipVerify: true, // an authority that is known by its digest only is checked here:
		VerifyConnection: func(s tls.ConnectionState) error {
			if err := verifyPinned(s.PeerCertificates, digest, host); err != nil {
				return Untrusted{err}
			}
			return nil
		},
	}
}

// Transport returns a transport to servers that the system trusts, and to nodes
// of the cluster whose authority has the digest, wherever they are. With an
// empty digest it is to the former only.
func Transport(digest string) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ForceAttemptHTTP2, t.MaxIdleConnsPerHost = false, 128
	t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return (&tls.Dialer{Config: Pinned(digest, host)}).DialContext(ctx, network, addr)
	}
	return t
}

// Untrusted is why a server is not sent a secret.
type Untrusted struct{ error }

func (u Untrusted) Unwrap() error { return u.error }

func verifyPinned(chain []*x509.Certificate, digest, host string) error {
	if len(chain) == 0 {
		return errors.New("it shows no certificate")
	}
	o := x509.VerifyOptions{DNSName: host, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
		if hex.EncodeToString(sum[:]) == digest {
			o.Roots, o.DNSName = x509.NewCertPool(), ""
			o.Roots.AddCert(c)
		}
		o.Intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(o)
	switch {
	case err == nil:
		return nil
	case o.Roots == nil && digest == "":
		return fmt.Errorf("its certificate is not known here, and the token does not tell the cluster's: take the token in cluster.token of the first node: %w", err)
	case o.Roots == nil:
		return fmt.Errorf("its certificate is not of the cluster that the token is for: %w", err)
	}
	return err
}
