// Package packed carries exports that may be compressed on their way.
//
// It owns which encodings there are, and never what is in them.
package packed

import (
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/zstd"

	"landfall.dev/kit"
)

// Encoding is the one that an export can have on its way.
const Encoding = "zstd"

// maxWindow bounds the memory that decompression takes, in bytes.
const maxWindow = 8 << 20

// Writer returns what the answer to r is written to, compressed if that asks for
// it, and what ends it. Nothing must have been written to w before.
func Writer(w http.ResponseWriter, r *http.Request) (body io.Writer, end func() error, err error) {
	if !strings.Contains(r.Header.Get("Accept-Encoding"), Encoding) {
		return w, func() error { return nil }, nil
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, nil, err
	}
	w.Header().Set("Content-Encoding", Encoding)
	return z, z.Close, nil
}

// Reader is the body of an answer as it was before it was compressed.
type Reader struct {
	in     io.Reader
	body   io.ReadCloser
	came   int64
	unpack func() // ends the decompression
}

// NewReader returns the reader of the answer, whose body it takes if there is no
// error.
func NewReader(res *http.Response) (*Reader, error) {
	r := &Reader{body: res.Body, unpack: func() {}}
	switch form := res.Header.Get("Content-Encoding"); form {
	case "":
		r.in = (*counted)(r)
	case Encoding:
		z, err := zstd.NewReader((*counted)(r), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		r.in, r.unpack = z, z.Close
	default:
		return nil, kit.Errorf(kit.ErrInvalid, "", "it sends the export in the unknown encoding %q", form)
	}
	return r, nil
}

// Read reads what was compressed.
func (r *Reader) Read(p []byte) (int, error) { return r.in.Read(p) }

// Came returns how many bytes have come so far, as they came.
func (r *Reader) Came() int64 { return r.came }

// Close closes the body.
func (r *Reader) Close() error {
	r.unpack()
	return r.body.Close()
}

// counted reads the body of a Reader as it comes.
type counted Reader

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.body.Read(p)
	c.came += int64(n)
	return n, err
}
