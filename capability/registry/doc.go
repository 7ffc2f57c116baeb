// Package registry keeps container images: an OCI registry that docker,
// skopeo and podman push to and pull from (OCI Distribution Specification 1.1).
//
// It owns images (manifests), tags and holdings, which hold what is pushed and
// have no life of their own. It watches nothing, and serves /v2/. Bytes are
// blobs by digest; a repository shows only those that it holds, so that who
// may pull from one sees nothing of another. A push is acknowledged when its
// blob is durable and its documents are in the log, in this order: whatever a
// client was told about can be pulled. A tag that is named like a version
// never moves.
//
// It never deletes a blob's bytes, of which other repositories may hold the
// same, and never judges what is in an image.
package registry

import (
	"context"
	"log/slog"
	"net/http"
	"sync"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// The verbs on images that callers need. An "images" rule for one repository
// has the ID "NAME~*", with ~ for each slash in the name.
const (
	verbPull kit.Verb = "pull"
	verbPush kit.Verb = "push"
)

// Service declares all that registry may touch; c acts as services/registry.
// What has arrived of unfinished uploads is kept in the directory uploads.
func Service(c kit.Client, blobs kit.Blobs, uploads string, log *slog.Logger) kit.Service {
	s := registry{client: c, blobs: blobs, uploads: newSessions(uploads), log: log, order: new(sync.RWMutex)}
	return kit.Service{
		Name: "registry",
		Owns: []kit.Owned{
			kit.Own[api.Image](api.Images, nil),
			kit.Own[api.Tag](api.Tags, nil),
			kit.Own[api.Holding](api.Holdings, nil),
		},
		Serves: []kit.Route{{Pattern: "/v2/", Handler: http.HandlerFunc(s.serve)}},
		Runs:   []func(context.Context) error{s.uploads.run},
	}
}

// registry serves /v2/.
type registry struct {
	client  kit.Client
	blobs   kit.Blobs
	uploads *sessions
	log     *slog.Logger

	// order is held for reading while a manifest is checked and recorded, and
	// for writing while something is deleted, so that on one node no manifest is
	// accepted whose parts are just going.
	order *sync.RWMutex
}
