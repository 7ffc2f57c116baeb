package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// maxManifest is the size limit of a manifest, in bytes.
const maxManifest = 4 << 20

// version is the form of tags that never move: semantic versions.
var version = regexp.MustCompile(`^v?[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)

// readManifest serves GET and HEAD of a manifest by tag or digest.
func (s registry) readManifest(w http.ResponseWriter, r *http.Request, t target) error {
	image, err := s.image(r.Context(), t.repository, t.reference)
	if err != nil {
		return err
	}
	return s.content(w, r, image.Digest, image.MediaType)
}

// image returns the image at the tag or digest.
func (s registry) image(ctx context.Context, repository, reference string) (api.Image, error) {
	if !isDigest(reference) {
		tag, err := s.tag(ctx, repository, reference)
		if err != nil {
			return api.Image{}, err
		}
		reference = string(tag.Digest)
	}
	digest, err := checkDigest(reference)
	if err != nil {
		return api.Image{}, err
	}
	image, err := api.Images.Read(ctx, s.client, api.ImageID(repository, digest))
	if errors.Is(err, kit.ErrNotFound) {
		return image, refuse(http.StatusNotFound, codeManifestUnknown, "%s: no manifest %s", repository, digest)
	}
	return image, err
}

// tag returns the tag, or an error that tells which there are.
func (s registry) tag(ctx context.Context, repository, name string) (api.Tag, error) {
	if err := checkTag(repository, name); err != nil {
		return api.Tag{}, err
	}
	tag, err := api.Tags.Read(ctx, s.client, api.TagID(repository, name))
	if !errors.Is(err, kit.ErrNotFound) {
		return tag, err
	}
	names, err := s.tags(ctx, repository)
	switch {
	case err != nil:
		return tag, err
	case len(names) == 0:
		return tag, refuse(http.StatusNotFound, codeManifestUnknown, "%s: no tag %s; it has none", repository, name)
	}
	const shown = 20
	more := ""
	if n := len(names) - shown; n > 0 {
		names, more = names[:shown], fmt.Sprintf(" and %d more", n)
	}
	return tag, refuse(http.StatusNotFound, codeManifestUnknown, "%s: no tag %s; it has: %s%s", repository, name, strings.Join(names, ", "), more)
}

func checkTag(repository, name string) error {
	if !tagName.MatchString(name) {
		return refuse(http.StatusBadRequest, codeTagInvalid,
			"%q is no tag: use up to 128 letters, digits, and . _ - but not first . or -", name)
	}
	if kit.CheckID(api.TagID(repository, name)) != nil {
		return refuse(http.StatusBadRequest, codeTagInvalid, "the repository's name and the tag have more than 199 bytes together")
	}
	return nil
}

// putManifest serves PUT of a manifest, by its digest or with a tag.
func (s registry) putManifest(w http.ResponseWriter, r *http.Request, t target) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxManifest))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return refuse(http.StatusRequestEntityTooLarge, codeManifestInvalid, "the manifest has more than %d bytes", large.Limit)
	}
	if err != nil {
		return invalid("the request broke off: send the manifest again")
	}
	m, err := parseManifest(body, r.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	image := m.image(t.repository, body)
	image.By = kit.CallerOf(r.Context()).Subject
	tag, err := tagOf(t, image.Digest)
	if err != nil {
		return err
	}
	if err := s.record(r.Context(), m, image, tag, body); err != nil {
		return err
	}
	s.log.Info("pushed", "repository", t.repository, "digest", image.Digest, "tag", tag, "by", image.By)
	if m.Subject != nil {
		w.Header().Set("OCI-Subject", string(image.Subject))
	}
	created(w, t.location("manifests", string(image.Digest)), string(image.Digest))
	return nil
}

// record makes an image known once all that it names is here and its own bytes
// are durable.
func (s registry) record(ctx context.Context, m manifest, image api.Image, tag string, body []byte) error {
	s.order.RLock()
	defer s.order.RUnlock()
	if err := s.complete(ctx, image.Repository, m); err != nil {
		return err
	}
	if _, _, err := s.blobs.Put(ctx, bytes.NewReader(body), image.Digest); err != nil {
		return err
	}
	return s.settle(ctx, func() ([]kit.Write, error) { return s.pushes(ctx, image, tag) })
}

// tagOf returns the tag that a manifest is sent for, empty if it is sent by
// its digest.
func tagOf(t target, digest kit.Digest) (string, error) {
	if !isDigest(t.reference) {
		return t.reference, checkTag(t.repository, t.reference)
	}
	want, err := checkDigest(t.reference)
	if err != nil {
		return "", err
	}
	if want != digest {
		return "", refuse(http.StatusBadRequest, codeDigestInvalid, "the manifest has the digest %s, not %s", digest, want)
	}
	return "", nil
}

// complete refuses a manifest of which the repository does not hold all parts.
// Its subject may come later, and layers with URLs live elsewhere. An index
// lists manifests, and in the case of build caches blobs.
func (s registry) complete(ctx context.Context, repository string, m manifest) error {
	missing := &refusal{status: http.StatusBadRequest}
	for _, d := range m.parts() {
		if len(d.URLs) > 0 {
			continue
		}
		id := api.ImageID(repository, d.Digest)
		_, err := api.Holdings.Read(ctx, s.client, id)
		if errors.Is(err, kit.ErrNotFound) && m.index() {
			_, err = api.Images.Read(ctx, s.client, id)
		}
		if errors.Is(err, kit.ErrNotFound) {
			missing.problems = append(missing.problems, problem{
				Code:    codeManifestBlobUnknown,
				Message: fmt.Sprintf("%s does not hold %s, which the manifest names: push it first", repository, d.Digest),
				Detail:  map[string]kit.Digest{"digest": d.Digest},
			})
		} else if err != nil {
			return err
		}
	}
	if missing.problems != nil {
		return missing
	}
	return nil
}

// maxRaces is how often writes are made anew after another push came first.
const maxRaces = 20

// settle applies the writes in one step. When a document has changed since
// they were made, they are made again.
func (s registry) settle(ctx context.Context, writes func() ([]kit.Write, error)) error {
	for attempt := 1; ; attempt++ {
		ws, err := writes()
		if err != nil || len(ws) == 0 {
			return err
		}
		_, err = s.client.Batch(ctx, ws)
		raced := errors.Is(err, kit.ErrConflict) || errors.Is(err, kit.ErrStale) || errors.Is(err, kit.ErrNotFound)
		if !raced || attempt == maxRaces {
			return err
		}
	}
}

// pushes are the writes that make the image and its tag known.
func (s registry) pushes(ctx context.Context, image api.Image, name string) ([]kit.Write, error) {
	var writes []kit.Write
	id := api.ImageID(image.Repository, image.Digest)
	_, err := api.Images.Read(ctx, s.client, id)
	if errors.Is(err, kit.ErrNotFound) {
		writes = append(writes, kit.Write{Verb: kit.VerbCreate, Link: api.Images.Link(id), Body: encode(image)})
	} else if err != nil {
		return nil, err
	}
	if name == "" {
		return writes, nil
	}
	tag := api.Tag{Repository: image.Repository, Name: name, Digest: image.Digest, By: image.By}
	w := kit.Write{Verb: kit.VerbCreate, Link: api.Tags.Link(api.TagID(image.Repository, name)), Body: encode(tag)}
	old, err := api.Tags.Read(ctx, s.client, w.Link.ID())
	switch {
	case errors.Is(err, kit.ErrNotFound):
		return append(writes, w), nil
	case err != nil:
		return nil, err
	case old.Digest == image.Digest:
		return writes, nil
	case version.MatchString(name):
		return nil, refuse(http.StatusConflict, codeDenied,
			"%s: the tag %s is a version and stays at %s: push under another tag", image.Repository, name, old.Digest)
	}
	w.Verb, w.IfMatch = kit.VerbUpdate, old.Version
	return append(writes, w), nil
}

func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("registry: " + err.Error()) // documents have a JSON form
	}
	return b
}

// deleteManifest serves DELETE of a tag, or of an image with its tags.
func (s registry) deleteManifest(w http.ResponseWriter, r *http.Request, t target) error {
	deletes := func() ([]kit.Write, error) { return s.untags(r.Context(), t.repository, t.reference) }
	if isDigest(t.reference) {
		deletes = func() ([]kit.Write, error) { return s.removes(r.Context(), t.repository, t.reference) }
	}
	s.order.Lock()
	err := s.settle(r.Context(), deletes)
	s.order.Unlock()
	if err != nil {
		return err
	}
	s.log.Info("deleted", "repository", t.repository, "reference", t.reference, "by", kit.CallerOf(r.Context()).Subject)
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func (s registry) untags(ctx context.Context, repository, name string) ([]kit.Write, error) {
	tag, err := s.tag(ctx, repository, name)
	if err != nil {
		return nil, err
	}
	if version.MatchString(name) {
		return nil, refuse(http.StatusConflict, codeDenied, "%s: the tag %s is a version and stays", repository, name)
	}
	return []kit.Write{{Verb: kit.VerbDelete, Link: tag.Link, IfMatch: tag.Version}}, nil
}

// removes are the writes that delete an image and its tags.
func (s registry) removes(ctx context.Context, repository, digest string) ([]kit.Write, error) {
	image, err := s.image(ctx, repository, digest)
	if err != nil {
		return nil, err
	}
	if err := s.unused(ctx, repository, image.Digest); err != nil {
		return nil, err
	}
	var writes []kit.Write
	for tag, err := range api.Tags.All(ctx, s.client, fmt.Sprintf("repository == %q && digest == %q", repository, image.Digest), "") {
		if err != nil {
			return nil, err
		}
		if version.MatchString(tag.Name) {
			return nil, refuse(http.StatusConflict, codeDenied, "%s: %s is the version %s and stays", repository, image.Digest, tag.Name)
		}
		writes = append(writes, kit.Write{Verb: kit.VerbDelete, Link: tag.Link, IfMatch: tag.Version})
	}
	return append(writes, kit.Write{Verb: kit.VerbDelete, Link: image.Link, IfMatch: image.Version}), nil
}

// unused refuses to delete what an image in the repository is made of.
func (s registry) unused(ctx context.Context, repository string, digest kit.Digest) error {
	filter := fmt.Sprintf("repository == %q && %q in blobs", repository, digest)
	for image, err := range api.Images.All(ctx, s.client, filter, "") {
		if err != nil {
			return err
		}
		return refuse(http.StatusConflict, codeDenied, "%s: %s is part of %s: delete that first", repository, digest, image.Digest)
	}
	return nil
}
