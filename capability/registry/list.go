package registry

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"landfall.dev/api"
)

// listTags serves GET of tags/list.
func (s registry) listTags(w http.ResponseWriter, r *http.Request, t target) error {
	names, err := s.tags(r.Context(), t.repository)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		if err := s.known(r.Context(), t.repository); err != nil {
			return err
		}
	}
	if names, err = page(w, r, names); err != nil {
		return err
	}
	answer(w, http.StatusOK, "application/json", map[string]any{"name": t.repository, "tags": names})
	return nil
}

// tags returns the names of the repository's tags, in order.
func (s registry) tags(ctx context.Context, repository string) ([]string, error) {
	names := []string{}
	for tag, err := range api.Tags.All(ctx, s.client, fmt.Sprintf("repository == %q", repository), "") {
		if err != nil {
			return nil, err
		}
		names = append(names, tag.Name)
	}
	slices.SortFunc(names, compare)
	return names, nil
}

// known refuses a repository without any image.
func (s registry) known(ctx context.Context, repository string) error {
	for _, err := range api.Images.All(ctx, s.client, fmt.Sprintf("repository == %q", repository), "") {
		return err
	}
	return refuse(http.StatusNotFound, codeNameUnknown, "there is no repository %s: it begins with the first push", repository)
}

// compare is the order that the specification asks for: without regard to
// case.
func compare(a, b string) int {
	return cmp.Or(strings.Compare(strings.ToLower(a), strings.ToLower(b)), strings.Compare(a, b))
}

// listRepositories serves GET of _catalog: the repositories that the caller may
// pull from.
func (s registry) listRepositories(w http.ResponseWriter, r *http.Request) error {
	seen := map[string]bool{}
	names := []string{}
	for image, err := range api.Images.All(r.Context(), s.client, "", "") {
		if err != nil {
			return err
		}
		name := image.Repository
		if !seen[name] && may(r, verbPull, name) == nil {
			names = append(names, name)
		}
		seen[name] = true
	}
	slices.SortFunc(names, compare)
	names, err := page(w, r, names)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, "application/json", map[string]any{"repositories": names})
	return nil
}

// page returns the ?n= names after ?last=, and links to the next ones if there
// are any.
func page(w http.ResponseWriter, r *http.Request, names []string) ([]string, error) {
	q := r.URL.Query()
	if last := q.Get("last"); last != "" {
		i, found := slices.BinarySearchFunc(names, last, compare)
		if found {
			i++
		}
		names = names[i:]
	}
	if !q.Has("n") {
		return names, nil
	}
	n, err := strconv.Atoi(q.Get("n"))
	if err != nil || n < 0 {
		return nil, refuse(http.StatusBadRequest, codePageInvalid, "n=%s is not a number of entries", q.Get("n"))
	}
	if n >= len(names) || n == 0 {
		return names[:min(n, len(names))], nil
	}
	next := url.Values{"n": {q.Get("n")}, "last": {names[n-1]}}
	w.Header().Set("Link", fmt.Sprintf(`<%s?%s>; rel="next"`, r.URL.Path, next.Encode()))
	return names[:n], nil
}

// listReferrers serves GET of referrers/DIGEST: the images whose subject is the
// digest, which need not be here itself.
func (s registry) listReferrers(w http.ResponseWriter, r *http.Request, t target) error {
	digest, err := checkDigest(t.reference)
	if err != nil {
		return err
	}
	filter := fmt.Sprintf("repository == %q && subject == %q", t.repository, digest)
	artifactType := r.URL.Query().Get("artifactType")
	if artifactType != "" {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	found := []descriptor{}
	for image, err := range api.Images.All(r.Context(), s.client, filter, "") {
		if err != nil {
			return err
		}
		if artifactType != "" && image.ArtifactType != artifactType {
			continue
		}
		found = append(found, descriptor{
			MediaType: image.MediaType, Digest: image.Digest, Size: image.Size,
			ArtifactType: image.ArtifactType, Annotations: image.Annotations,
		})
	}
	answer(w, http.StatusOK, ociIndex, map[string]any{"schemaVersion": 2, "mediaType": ociIndex, "manifests": found})
	return nil
}
