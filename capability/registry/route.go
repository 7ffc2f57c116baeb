package registry

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// target is what a path below /v2/ names.
type target struct {
	repository string
	resource   string // blobs, uploads, manifests, tags or referrers
	reference  string // a digest, a tag, or the id of an upload
}

// location returns the path of another resource in the same repository.
func (t target) location(parts ...string) string {
	return "/v2/" + t.repository + "/" + strings.Join(parts, "/")
}

// maxRepository is the longest name of a repository. With a digest it has to
// fit into a document's id.
const maxRepository = 128

// repositoryName and tagName are the grammars of the specification.
var (
	repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagName        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// parse reads a path below /v2/. A repository's name has slashes, so the path
// is read from its end.
func parse(path string) (target, error) {
	segments := strings.Split(path, "/")
	n := len(segments)
	var t target
	var name []string
	switch {
	case n > 3 && segments[n-3] == "blobs" && segments[n-2] == "uploads":
		t.resource, t.reference, name = "uploads", segments[n-1], segments[:n-3]
	case n > 2 && segments[n-2] == "blobs" && segments[n-1] == "uploads":
		t.resource, name = "uploads", segments[:n-2]
	case n > 2 && segments[n-2] == "tags" && segments[n-1] == "list":
		t.resource, name = "tags", segments[:n-2]
	case n > 2 && slices.Contains([]string{"blobs", "manifests", "referrers"}, segments[n-2]):
		t.resource, t.reference, name = segments[n-2], segments[n-1], segments[:n-2]
	default:
		return t, refuse(http.StatusNotFound, codeUnsupported, "there is nothing at /v2/%s", path)
	}
	t.repository = strings.Join(name, "/")
	return t, checkRepository(t.repository)
}

func checkRepository(name string) error {
	if !repositoryName.MatchString(name) {
		return refuse(http.StatusBadRequest, codeNameInvalid,
			"%q is no name of a repository: use a to z, 0 to 9, and between them single . _ - or /", name)
	}
	if len(name) > maxRepository {
		return refuse(http.StatusBadRequest, codeNameInvalid,
			"the repository's name has %d bytes, the limit is %d", len(name), maxRepository)
	}
	return nil
}

// checkDigest refuses what is no digest, or one that is not supported.
func checkDigest(d string) (kit.Digest, error) {
	if kit.Digest(d).Check() == nil {
		return kit.Digest(d), nil
	}
	r := refuse(http.StatusBadRequest, codeDigestInvalid, "%q is no digest: it is sha256: and 64 lower-case hex digits", d)
	if algorithm, _, ok := strings.Cut(d, ":"); ok && algorithm != "sha256" {
		r = refuse(http.StatusBadRequest, codeDigestInvalid, "digests of the algorithm %q are not supported: use sha256", algorithm)
	}
	r.problems[0].Detail = map[string]string{"digest": d}
	return "", r
}

// isDigest tells digests from tags, which have no colon.
func isDigest(reference string) bool { return strings.Contains(reference, ":") }

// action serves one method of a resource to callers who may do verb.
type action struct {
	verb kit.Verb
	do   func(http.ResponseWriter, *http.Request, target) error
}

// actions are the methods of a resource, nil if there is no such resource.
func (s registry) actions(resource string) map[string]action {
	switch resource {
	case "blobs":
		return map[string]action{
			http.MethodGet:    {verbPull, s.readBlob},
			http.MethodHead:   {verbPull, s.readBlob},
			http.MethodDelete: {kit.VerbDelete, s.deleteBlob},
		}
	case "uploads":
		return map[string]action{
			http.MethodPost:   {verbPush, s.startUpload},
			http.MethodGet:    {verbPush, s.uploadStatus},
			http.MethodPatch:  {verbPush, s.continueUpload},
			http.MethodPut:    {verbPush, s.finishUpload},
			http.MethodDelete: {verbPush, s.cancelUpload},
		}
	case "manifests":
		return map[string]action{
			http.MethodGet:    {verbPull, s.readManifest},
			http.MethodHead:   {verbPull, s.readManifest},
			http.MethodPut:    {verbPush, s.putManifest},
			http.MethodDelete: {kit.VerbDelete, s.deleteManifest},
		}
	case "tags":
		return map[string]action{http.MethodGet: {verbPull, s.listTags}}
	case "referrers":
		return map[string]action{http.MethodGet: {verbPull, s.listReferrers}}
	}
	return nil
}

// serve answers everything at /v2/.
func (s registry) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	if err := s.dispatch(w, r); err != nil {
		s.fail(w, r, err)
	}
}

func (s registry) dispatch(w http.ResponseWriter, r *http.Request) error {
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case path == "" && reads:
		answer(w, http.StatusOK, "application/json", struct{}{})
		return nil
	case path == "_catalog" && reads:
		return s.listRepositories(w, r)
	}
	t, err := parse(path)
	if err != nil {
		return err
	}
	methods := s.actions(t.resource)
	a, ok := methods[r.Method]
	if !ok {
		allowed := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
		w.Header().Set("Allow", allowed)
		return refuse(http.StatusMethodNotAllowed, codeUnsupported, "%s takes %s, not %s", t.resource, allowed, r.Method)
	}
	if err := may(r, a.verb, t.repository); err != nil {
		return err
	}
	return a.do(w, r, t)
}

// may returns an error unless the caller of r may do v in the repository.
func may(r *http.Request, v kit.Verb, repository string) error {
	caller := kit.CallerOf(r.Context())
	err := caller.May(v, api.Images.Link(api.ImageID(repository, "")))
	if kit.FaultOf(err) == kit.ErrForbidden {
		return refuse(http.StatusForbidden, codeDenied,
			"%s may not %s in %s: ask an administrator for a role that allows it", caller.Subject, v, repository)
	}
	return err
}
