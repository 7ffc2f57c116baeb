package authority

import (
	"bytes"
	"crypto/x509"
	"strings"
	"testing"
)

func TestMembersOfOneClusterShareAnAuthority(t *testing.T) {
	make := func(seed byte) *Authority {
		a, err := New(bytes.Repeat([]byte{seed}, 32))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	here, there, other := make(1), make(1), make(2)
	if here.Digest() != there.Digest() || here.Digest() == other.Digest() {
		t.Errorf("the digests are %s, %s and of another cluster %s", here.Digest(), there.Digest(), other.Digest())
	}
	cert, err := here.issue("n1", []string{"127.0.0.1", "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	var chain []*x509.Certificate
	for _, der := range cert.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, c)
	}
	if id, err := there.verify(chain); err != nil || id != "n1" {
		t.Errorf("another member takes it for %q (%v), want n1", id, err)
	}
	if _, err := other.verify(chain); err == nil || !strings.Contains(err.Error(), "no node of this cluster") {
		t.Errorf("another cluster says %v", err)
	}
	if err := verifyPinned(chain, here.Digest(), "elsewhere"); err != nil {
		t.Errorf("who knows the digest does not trust it: %v", err)
	}
	for _, digest := range []string{"", other.Digest()} {
		if err := verifyPinned(chain, digest, "localhost"); err == nil {
			t.Errorf("it is trusted with the digest %q", digest)
		}
	}
	if err := verifyPinned(chain[1:], here.Digest(), "localhost"); err == nil {
		t.Error("the authority's own certificate, which everybody has, is trusted")
	}
}
