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

// SharedBlobs keeps bytes by digest for all nodes of a cluster. They are kept as
// long as a document names them in a field of type Digest, and a day longer. Its
// methods may be called concurrently.
type SharedBlobs interface {
	// Put stores what r yields, durably at a majority of the voters, and returns
	// its digest and size. With a want other than "" it is ErrInvalid if the digest
	// differs, and ErrFull if there is no room: then nothing is kept. After
	// ErrUnavailable some nodes have it; storing it again does no harm.
	Put(ctx context.Context, r io.Reader, want Digest) (Digest, int64, error)
	// Open returns the blob, which it takes from another node where this one does
	// not have it, or ErrNotFound, or ErrUnavailable if a node that may have it does
	// not answer. The caller closes it.
	Open(ctx context.Context, d Digest) (Blob, error)
	// Has tells whether the blob is there, and sees to it that a majority of the
	// voters keeps it for another day, as if it were put again. Who names a blob
	// that it has not put asks first.
	Has(ctx context.Context, d Digest) (bool, error)
}
