package trust

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"landfall.dev/kit"
)

// Keys are the public halves of the hub's keys, as GET /tuf/keys answers.
type Keys struct {
	Snapshot  ed25519.PublicKey `json:"snapshot"`
	Timestamp ed25519.PublicKey `json:"timestamp"`
	Channels  ed25519.PublicKey `json:"channels"`
}

// check reports a key of the wrong size.
func (k Keys) check() error {
	for name, key := range map[string]ed25519.PublicKey{"snapshot": k.Snapshot, "timestamp": k.Timestamp, "channels": k.Channels} {
		if len(key) != ed25519.PublicKeySize {
			return kit.Errorf(kit.ErrInvalid, "", "the hub's %s key has %d bytes, not %d: take the keys from GET /tuf/keys", name, len(key), ed25519.PublicKeySize)
		}
	}
	return nil
}

// Online are the keys that the hub signs with by itself.
type Online struct {
	snapshot, timestamp, channels ed25519.PrivateKey
}

// OpenOnline reads the hub's keys from dir, and makes those that are missing.
func OpenOnline(dir string) (Online, error) {
	var o Online
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return o, err
	}
	for name, key := range map[string]*ed25519.PrivateKey{"snapshot": &o.snapshot, "timestamp": &o.timestamp, "channels": &o.channels} {
		file := filepath.Join(dir, name+".key")
		k, err := readKey(file)
		if errors.Is(err, fs.ErrNotExist) {
			k, err = makeKey(file)
		}
		if err != nil {
			return o, err
		}
		*key = k
	}
	return o, nil
}

// Public returns the public halves of o.
func (o Online) Public() Keys {
	return Keys{Snapshot: public(o.snapshot), Timestamp: public(o.timestamp), Channels: public(o.channels)}
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

const keyBlock = "PRIVATE KEY" // PKCS #8, RFC 5208

// readKey reads a private key in PEM from file, which nobody but its owner may
// read.
func readKey(file string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, kit.Errorf(kit.ErrInvalid, "", "%s can be read by others: run chmod 600 %s", file, file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != keyBlock {
		return nil, kit.Errorf(kit.ErrInvalid, "", "%s holds no private key in PEM", file)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, kit.Errorf(kit.ErrInvalid, "", "%s holds no key that can be read: %v", file, err)
	}
	key, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, kit.Errorf(kit.ErrInvalid, "", "%s holds a %T: an ed25519 key is needed", file, k)
	}
	return key, nil
}

// makeKey writes a new private key to file, which must not exist.
func makeKey(file string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	err = pem.Encode(f, &pem.Block{Type: keyBlock, Bytes: der})
	return key, errors.Join(err, f.Sync(), f.Close())
}

// tufKey returns k in the form of the metadata.
func tufKey(k crypto.PublicKey) (*metadata.Key, error) {
	key, err := metadata.KeyFromPublicKey(k)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return key, nil
}

// sign signs m with keys alone, and returns its file.
func sign[T metadata.Roles](m *metadata.Metadata[T], keys ...ed25519.PrivateKey) ([]byte, error) {
	m.ClearSignatures()
	for _, k := range keys {
		s, err := signature.LoadED25519Signer(k)
		if err != nil {
			return nil, err
		}
		if _, err := m.Sign(s); err != nil {
			return nil, err
		}
	}
	return m.ToBytes(false)
}
