package registry

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// readBlob serves GET and HEAD of a blob, with ranges (RFC 9110, 14).
func (s registry) readBlob(w http.ResponseWriter, r *http.Request, t target) error {
	digest, err := checkDigest(t.reference)
	if err != nil {
		return err
	}
	if _, err := s.holding(r.Context(), t.repository, digest); err != nil {
		return err
	}
	return s.content(w, r, digest, "application/octet-stream")
}

// content answers with the bytes of a blob.
func (s registry) content(w http.ResponseWriter, r *http.Request, digest kit.Digest, mediaType string) error {
	b, err := s.blobs.Open(r.Context(), digest)
	if err != nil {
		return &kit.Error{Fault: kit.ErrInternal, Op: "open " + string(digest), Err: err}
	}
	defer b.Close()
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Docker-Content-Digest", string(digest))
	h.Set("ETag", strconv.Quote(string(digest)))
	h.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, b)
	return nil
}

// holding returns the proof that the repository holds the blob.
func (s registry) holding(ctx context.Context, repository string, digest kit.Digest) (api.Holding, error) {
	h, err := api.Holdings.Read(ctx, s.client, api.ImageID(repository, digest))
	if errors.Is(err, kit.ErrNotFound) {
		r := refuse(http.StatusNotFound, codeBlobUnknown, "%s: no blob %s", repository, digest)
		r.problems[0].Detail = map[string]kit.Digest{"digest": digest}
		return h, r
	}
	return h, err
}

// hold makes a blob, which is durable, readable through the repository.
func (s registry) hold(ctx context.Context, repository string, digest kit.Digest, size int64) error {
	_, err := api.Holdings.Create(ctx, s.client, api.ImageID(repository, digest),
		api.Holding{Repository: repository, Digest: digest, Size: size})
	if errors.Is(err, kit.ErrConflict) {
		return nil
	}
	return err
}

// deleteBlob takes a blob out of the repository, unless an image needs it.
func (s registry) deleteBlob(w http.ResponseWriter, r *http.Request, t target) error {
	digest, err := checkDigest(t.reference)
	if err != nil {
		return err
	}
	s.order.Lock()
	defer s.order.Unlock()
	h, err := s.holding(r.Context(), t.repository, digest)
	if err != nil {
		return err
	}
	if err := s.unused(r.Context(), t.repository, digest); err != nil {
		return err
	}
	if err := s.client.Delete(r.Context(), h.Link, 0); err != nil && !errors.Is(err, kit.ErrNotFound) {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}
