package kit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
)

// Digest names bytes by their hash, as OCI writes it: "sha256:" and 64 hex
// digits.
type Digest string

// DigestOf returns the SHA-256 digest of b.
func DigestOf(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest("sha256:" + hex.EncodeToString(sum[:]))
}

// Check returns an ErrInvalid error unless d is a well-formed SHA-256 digest.
func (d Digest) Check() error {
	const prefix = "sha256:"
	if len(d) == len(prefix)+64 && d[:len(prefix)] == prefix {
		if b, err := hex.DecodeString(string(d[len(prefix):])); err == nil && hex.EncodeToString(b) == string(d[len(prefix):]) {
			return nil
		}
	}
	return Errorf(ErrInvalid, "", "%q is no digest: it is sha256: and 64 lower-case hex digits", string(d))
}

// Hex returns d without its algorithm.
func (d Digest) Hex() string {
	if i := len("sha256:"); len(d) > i {
		return string(d[i:])
	}
	return ""
}

// Blob is an open blob. Its reads and seeks are not checked against the
// digest; what is stored was.
type Blob interface {
	io.ReadSeekCloser
	Size() int64
}

// Blobs keeps bytes by digest. Its methods may be called concurrently.
type Blobs interface {
	// Put stores what r yields, durably, and returns its digest and size. With a
	// want other than "" it is ErrInvalid if the digest differs, and nothing is
	// kept. Storing bytes again changes nothing.
	Put(ctx context.Context, r io.Reader, want Digest) (Digest, int64, error)
	// Open returns the blob, or ErrNotFound. The caller closes it.
	Open(ctx context.Context, d Digest) (Blob, error)
	// Remove deletes the blob; one that is not there is no error.
	Remove(ctx context.Context, d Digest) error
}
