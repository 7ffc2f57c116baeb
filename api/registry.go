package api

import "landfall.dev/kit"

// Images are the manifests in the registry. The id is ImageID's.
var Images = kit.Define[Image]("images")

// Image is a manifest and what it is known to come from.
type Image struct {
	kit.Meta
	Repository string     `json:"repository"`
	Digest     kit.Digest `json:"digest"`
	MediaType  string     `json:"mediaType"`
	Size       int64      `json:"size"` // of the manifest, bytes
	// Blobs are the digests that the manifest names: config and layers, or the
	// manifests of an index.
	Blobs   []kit.Digest `json:"blobs"`
	Subject kit.Digest   `json:"subject,omitempty"`
	// ArtifactType is the manifest's own, or the type of its config if it names
	// none. Annotations are its own.
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	// Commit and Build are taken from the annotations
	// org.opencontainers.image.revision and dev.landfall.build.
	Commit string   `json:"commit,omitempty"`
	Build  kit.Link `json:"build,omitempty"`
	By     string   `json:"by,omitempty"` // subject: who pushed it first
}

// ImageID returns the id of the manifest d in repository.
func ImageID(repository string, d kit.Digest) string {
	return flat(repository) + "~" + d.Hex()
}

// Tags are names of manifests. The id is TagID's.
var Tags = kit.Define[Tag]("tags")

// Tag is a name of a manifest in a repository.
type Tag struct {
	kit.Meta
	Repository string     `json:"repository"`
	Name       string     `json:"name"`
	Digest     kit.Digest `json:"digest"`
	By         string     `json:"by,omitempty"` // subject: who set it last
}

// TagID returns the id of the tag name in repository.
func TagID(repository, name string) string { return flat(repository) + "~" + name }

// Holdings say that a repository holds a blob; it can be read only through
// one that does. The id is ImageID's.
var Holdings = kit.Define[Holding]("holdings")

// Holding is a blob in a repository.
type Holding struct {
	kit.Meta
	Repository string     `json:"repository"`
	Digest     kit.Digest `json:"digest"`
	Size       int64      `json:"size"`
}
