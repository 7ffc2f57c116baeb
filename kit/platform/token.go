package platform

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"strings"

	"landfall.dev/kit/cluster"
)

// The token of a cluster, which nodes join with, is the digest of the
// cluster's certificate authority and a secret, both in hexadecimal: the first
// tells a joining node whom it may show the second. A token that somebody made
// up is only a secret: then nodes with https can be joined only if the system
// trusts their certificates.
const secretSize = 32

// tokenFile is where the token is kept in the data directory.
const tokenFile = "cluster.token"

// authorityOf returns the digest in a token, or nothing.
func authorityOf(token string) string {
	if len(token) != 2*sha256.Size+2*secretSize {
		return ""
	}
	if _, err := hex.DecodeString(token); err != nil {
		return ""
	}
	return token[:2*sha256.Size]
}

// vouchSecret is what the cluster's nodes know each other's requests by.
func vouchSecret(token string) []byte {
	m := hmac.New(sha256.New, []byte(token))
	m.Write([]byte("landfall: between nodes"))
	return m.Sum(nil)
}

// token returns the token of the cluster: that of the Config, the one in the
// data directory, or where a cluster is new, one that is made.
func (c Config) token() (string, error) {
	if c.Token != "" {
		return c.Token, nil
	}
	path := c.path(tokenFile)
	b, err := os.ReadFile(path)
	switch {
	case err == nil:
		return strings.TrimSpace(string(b)), nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	case len(c.Join) > 0:
		return "", errors.New("to join a cluster takes its token: pass the content of cluster.token in a member's data directory by --cluster-token")
	}
	authority, err := cluster.Found(c.path(logDirectory), c.Schema)
	if err != nil {
		return "", err
	}
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails
	token := authority.Digest() + hex.EncodeToString(secret)
	return token, writeFile(path, token+"\n")
}

// keepToken writes the token that this node has joined with, so that a later
// start needs none.
func (c Config) keepToken() error {
	path := c.path(tokenFile)
	if b, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(b)) == c.Token {
		return nil
	}
	return writeFile(path, c.Token+"\n")
}
