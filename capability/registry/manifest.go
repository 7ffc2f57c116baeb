package registry

import (
	"encoding/json"
	"mime"
	"net/http"
	"slices"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// The media types of manifests that are accepted: those of the OCI Image
// Specification 1.1, and of docker's version 2, schema 2.
const (
	ociManifest    = "application/vnd.oci.image.manifest.v1+json"
	ociIndex       = "application/vnd.oci.image.index.v1+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// maxSize is the size limit of what a manifest names, in bytes: what agents pull
// at most.
const maxSize = 1 << 40

// docker's schema 1, which is not accepted: its images have no digests.
var schema1 = []string{
	"application/vnd.docker.distribution.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.v1+prettyjws",
}

// The annotations that an image's origin is taken from.
const (
	annotationRevision = "org.opencontainers.image.revision"
	annotationBuild    = "dev.landfall.build"
)

// manifest is what the registry reads of a manifest or an index.
type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        *descriptor       `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Manifests     []descriptor      `json:"manifests"`
	Subject       *descriptor       `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
}

// descriptor names content.
type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       kit.Digest        `json:"digest"`
	Size         int64             `json:"size"`
	URLs         []string          `json:"urls,omitempty"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

// index tells whether m lists manifests.
func (m manifest) index() bool { return m.MediaType == ociIndex || m.MediaType == dockerList }

// parts are what m is made of, in its order.
func (m manifest) parts() []descriptor {
	if m.index() {
		return m.Manifests
	}
	return append([]descriptor{*m.Config}, m.Layers...)
}

// parseManifest reads a manifest that was sent with the Content-Type given. In
// what it returns the media type is set.
func parseManifest(body []byte, given string) (manifest, error) {
	var m manifest
	if err := json.Unmarshal(body, &m); err != nil {
		return m, invalid("the manifest is not valid JSON of its type: %v", err)
	}
	t, err := mediaType(given, m.MediaType)
	if err != nil {
		return m, err
	}
	m.MediaType = t
	if err := m.check(); err != nil {
		return m, err
	}
	return m, nil
}

// mediaType returns the type of a manifest from the request's header and its
// own field, either of which may be missing.
func mediaType(header, field string) (string, error) {
	t := field
	if header != "" {
		var err error
		if t, _, err = mime.ParseMediaType(header); err != nil {
			return "", invalid("Content-Type: %s is not understood", header)
		}
	}
	switch {
	case slices.Contains(schema1, t):
		return "", invalid("manifests of docker's schema 1 are not accepted: push with a client that sends schema 2 or OCI")
	case t == "":
		return "", invalid("the manifest has no type: set the Content-Type")
	case t != ociManifest && t != ociIndex && t != dockerManifest && t != dockerList:
		return "", invalid("manifests of type %s are not accepted: send %s, %s, %s or %s", t, ociManifest, ociIndex, dockerManifest, dockerList)
	case field != "" && field != t:
		return "", invalid("the manifest says that it is %s, but the Content-Type is %s", field, t)
	}
	return t, nil
}

func (m manifest) check() error {
	switch {
	case m.SchemaVersion != 2:
		return invalid("the manifest has schemaVersion %d, it has to be 2", m.SchemaVersion)
	case m.index() && (m.Config != nil || m.Layers != nil):
		return invalid("an index has no config and no layers")
	case !m.index() && m.Manifests != nil:
		return invalid("an image's manifest lists no manifests; an index does")
	case !m.index() && m.Config == nil:
		return invalid("an image's manifest needs a config")
	}
	all := m.parts()
	if m.Subject != nil {
		all = append(slices.Clone(all), *m.Subject)
	}
	for _, d := range all {
		if _, err := checkDigest(string(d.Digest)); err != nil {
			return err
		}
		if d.Size < 0 || d.Size > maxSize {
			return invalid("the manifest says that %s has %d bytes: 0 to %d are possible", d.Digest, d.Size, int64(maxSize))
		}
	}
	if b := kit.Link(m.Annotations[annotationBuild]); b != "" && (b.Kind() != api.Builds.Name || b.Check() != nil) {
		return invalid("the annotation %s is %q, which is no link of a build: write %s", annotationBuild, b, api.Builds.Link("ID"))
	}
	return nil
}

// image returns the document for m, whose bytes are body.
func (m manifest) image(repository string, body []byte) api.Image {
	build := kit.Link(m.Annotations[annotationBuild])
	i := api.Image{
		Meta:         kit.Meta{Source: build},
		Repository:   repository,
		Digest:       kit.DigestOf(body),
		MediaType:    m.MediaType,
		Size:         int64(len(body)),
		Blobs:        []kit.Digest{},
		ArtifactType: m.ArtifactType,
		Annotations:  m.Annotations,
		Commit:       m.Annotations[annotationRevision],
		Build:        build,
	}
	for _, d := range m.parts() {
		if !slices.Contains(i.Blobs, d.Digest) {
			i.Blobs = append(i.Blobs, d.Digest)
		}
	}
	if m.Subject != nil {
		i.Subject = m.Subject.Digest
	}
	if i.ArtifactType == "" && m.Config != nil {
		i.ArtifactType = m.Config.MediaType
	}
	return i
}

func invalid(format string, args ...any) *refusal {
	return refuse(http.StatusBadRequest, codeManifestInvalid, format, args...)
}
