package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// Keeper seals secrets with a key in a file. Its methods may be called
// concurrently.
type Keeper struct {
	sealed cipher.AEAD
}

// keyFile has the key: 32 random bytes. Who loses it has lost the secrets.
const keyFile = "secrets.key"

// OpenKeeper reads the key in dir, or makes one.
func OpenKeeper(dir string) (*Keeper, error) {
	file := filepath.Join(dir, keyFile)
	key, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, 32)
		_, _ = rand.Read(key) // it never fails
		if err = os.MkdirAll(dir, 0o700); err == nil {
			err = writeNew(file, key)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the key of the secrets: %w", err)
	}
	if len(key) != 32 {
		return nil, fmt.Errorf("%s has %d bytes, a key has 32: put it back from a backup", file, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	sealed, err := cipher.NewGCMWithRandomNonce(block)
	return &Keeper{sealed: sealed}, err
}

// writeNew writes a file that is whole and on the disk once it is there.
func writeNew(file string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file))
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Seal returns the parts for the document link: they open for no other.
func (k *Keeper) Seal(link kit.Link, parts api.SecretParts) ([]byte, error) {
	data, err := json.Marshal(parts)
	if err != nil {
		return nil, err
	}
	return k.sealed.Seal(nil, nil, data, []byte(link)), nil
}

// Open returns the parts that Seal has sealed.
func (k *Keeper) Open(link kit.Link, sealed []byte) (api.SecretParts, error) {
	data, err := k.sealed.Open(nil, nil, sealed, []byte(link))
	if err != nil {
		return nil, kit.Errorf(kit.ErrInvalid, link, "it does not open with this hub's key: set it again")
	}
	var parts api.SecretParts
	return parts, json.Unmarshal(data, &parts)
}
