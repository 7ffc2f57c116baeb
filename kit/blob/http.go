package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"time"

	"landfall.dev/kit"
)

// Source is what Handler serves; see kit.Blobs.
type Source interface {
	Put(ctx context.Context, r io.Reader, want kit.Digest) (kit.Digest, int64, error)
	Open(ctx context.Context, d kit.Digest) (kit.Blob, error)
}

// Handler serves the blobs under their digest, which is the last element of
// the path: GET and HEAD with ranges (RFC 9110, 14), and PUT, which checks the
// bytes against the digest. Who may do what is decided before it; the size of
// an upload is limited by a http.MaxBytesReader before it.
func Handler(b Source) http.Handler {
	return kit.Handler(func(w http.ResponseWriter, r *http.Request) error {
		digest := kit.Digest(path.Base(r.URL.Path))
		if err := digest.Check(); err != nil {
			return err
		}
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			return serve(w, r, b, digest)
		case http.MethodPut:
			return upload(w, r, b, digest)
		}
		w.Header().Set("Allow", "GET, HEAD, PUT")
		return kit.Errorf(http.StatusMethodNotAllowed, "", "a blob takes GET, HEAD and PUT, not %s", r.Method)
	})
}

func serve(w http.ResponseWriter, r *http.Request, b Source, digest kit.Digest) error {
	blob, err := b.Open(r.Context(), digest)
	if err != nil {
		return err
	}
	defer blob.Close()
	h := w.Header()
	h.Set("ETag", strconv.Quote(string(digest)))
	h.Set("Cache-Control", "private, max-age=31536000, immutable")
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, blob)
	return nil
}

func upload(w http.ResponseWriter, r *http.Request, b Source, digest kit.Digest) error {
	_, size, err := b.Put(r.Context(), r.Body, digest)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		err = kit.Errorf(kit.ErrTooLarge, "", "the blob is larger than the limit of %d bytes", large.Limit)
	}
	if err != nil {
		return err
	}
	w.Header().Set("ETag", strconv.Quote(string(digest)))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, "{\"digest\":%q,\"size\":%d}\n", digest, size)
	return nil
}
