package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"

	"landfall.dev/kit"
)

// startUpload serves POST: a new upload, with ?digest= a whole blob in one
// request, or with ?mount= one that another repository holds.
func (s registry) startUpload(w http.ResponseWriter, r *http.Request, t target) error {
	if t.reference != "" {
		return refuse(http.StatusMethodNotAllowed, codeUnsupported, "an upload takes PATCH, PUT, GET and DELETE, not POST")
	}
	q := r.URL.Query()
	if q.Has("mount") {
		mounted, err := s.mount(r, t.repository, kit.Digest(q.Get("mount")), q.Get("from"))
		if err != nil {
			return err
		}
		if mounted {
			created(w, t.location("blobs", q.Get("mount")), q.Get("mount"))
			return nil
		}
	}
	if q.Has("digest") {
		if _, err := checkDigest(q.Get("digest")); err != nil {
			return err
		}
	}
	id, err := s.uploads.start(t.repository)
	if err != nil {
		return err
	}
	t.reference = id
	if q.Has("digest") {
		return s.finishUpload(w, r, t)
	}
	progress(w, t, 0)
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// mount lets the repository hold a blob that it, or the one at from, holds
// already. If there is none, or the caller may not see it, the client uploads.
func (s registry) mount(r *http.Request, repository string, digest kit.Digest, from string) (bool, error) {
	if digest.Check() != nil {
		return false, nil
	}
	for _, source := range []string{repository, from} {
		if checkRepository(source) != nil || may(r, verbPull, source) != nil {
			continue
		}
		h, err := s.holding(r.Context(), source, digest)
		var missing *refusal
		if errors.As(err, &missing) {
			continue
		}
		if err == nil {
			err = s.hold(r.Context(), repository, digest, h.Size)
		}
		return err == nil, err
	}
	return false, nil
}

func (s registry) uploadStatus(w http.ResponseWriter, r *http.Request, t target) error {
	u, err := s.uploads.open(r.Context(), t.repository, t.reference)
	if err != nil {
		return err
	}
	defer u.close()
	progress(w, t, u.size)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s registry) cancelUpload(w http.ResponseWriter, r *http.Request, t target) error {
	u, err := s.uploads.open(r.Context(), t.repository, t.reference)
	if err != nil {
		return err
	}
	defer u.close()
	if err := u.remove(); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// continueUpload serves PATCH: the next part of a blob.
func (s registry) continueUpload(w http.ResponseWriter, r *http.Request, t target) error {
	u, err := s.uploads.open(r.Context(), t.repository, t.reference)
	if err != nil {
		return err
	}
	defer u.close()
	if err := receive(w, r, t, u); err != nil {
		return err
	}
	progress(w, t, u.size)
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// finishUpload serves PUT: the last part of a blob, maybe empty, and the
// digest of the whole.
func (s registry) finishUpload(w http.ResponseWriter, r *http.Request, t target) error {
	digest, err := checkDigest(r.URL.Query().Get("digest"))
	if err != nil {
		return err
	}
	u, err := s.uploads.open(r.Context(), t.repository, t.reference)
	if err != nil {
		return err
	}
	defer u.close()
	if err := receive(w, r, t, u); err != nil {
		return err
	}
	if err := s.store(r.Context(), t.repository, u, digest); err != nil {
		return err
	}
	created(w, t.location("blobs", string(digest)), string(digest))
	return nil
}

// store makes the upload a blob of the repository: first its bytes are
// durable, then the repository holds it.
func (s registry) store(ctx context.Context, repository string, u *session, digest kit.Digest) error {
	content, err := u.content()
	if err != nil {
		return err
	}
	_, size, err := s.blobs.Put(ctx, content, digest)
	if errors.Is(err, kit.ErrInvalid) {
		if err := u.remove(); err != nil {
			return err
		}
		r := refuse(http.StatusBadRequest, codeDigestInvalid, "%s", asRefusal(err).problems[0].Message)
		r.problems[0].Detail = map[string]kit.Digest{"digest": digest}
		return r
	}
	if err != nil {
		return err
	}
	if err := s.hold(ctx, repository, digest, size); err != nil {
		return err
	}
	return u.remove()
}

// contentRange is the specification's form of the header, which is not that
// of RFC 9110.
var contentRange = regexp.MustCompile(`^([0-9]{1,18})-([0-9]{1,18})$`)

// receive adds the body of r to the upload, if it is the part that comes next.
func receive(w http.ResponseWriter, r *http.Request, t target, u *session) error {
	given := r.Header.Get("Content-Range")
	if given == "" {
		return u.append(r.Body)
	}
	m := contentRange.FindStringSubmatch(given)
	if m == nil {
		progress(w, t, u.size)
		return refuse(http.StatusRequestedRangeNotSatisfiable, codeUploadInvalid,
			"Content-Range: %s is not understood: write FIRST-LAST, with the next FIRST being %d", given, u.size)
	}
	first, _ := strconv.ParseInt(m[1], 10, 64)
	last, _ := strconv.ParseInt(m[2], 10, 64)
	if first != u.size {
		progress(w, t, u.size)
		return refuse(http.StatusRequestedRangeNotSatisfiable, codeUploadInvalid,
			"the part starts at byte %d, but %d bytes have arrived: go on from there", first, u.size)
	}
	if n := last - first + 1; n < 0 || r.ContentLength >= 0 && r.ContentLength != n {
		return refuse(http.StatusBadRequest, codeSizeInvalid, "Content-Range: %s does not fit a body of %d bytes", given, r.ContentLength)
	}
	return u.append(r.Body)
}

// progress sets the headers that say how far an upload is. The range's end is
// inclusive; for nothing it is 0, as for one byte.
func progress(w http.ResponseWriter, t target, size int64) {
	h := w.Header()
	h.Set("Location", t.location("blobs", "uploads", t.reference))
	h.Set("Docker-Upload-Uuid", t.reference)
	h.Set("Range", fmt.Sprintf("0-%d", max(size-1, 0)))
}

func created(w http.ResponseWriter, location, digest string) {
	w.Header().Set("Location", location)
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}
