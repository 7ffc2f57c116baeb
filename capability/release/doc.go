// Package release decides which versions may leave the house, and which one
// each channel offers.
//
// It owns releases, channels and the metadata that agents believe (see the
// package trust). It reads commits for the notes over the hub's raw routes. It
// moves no bytes of images, and never holds the key that signs a release: a
// release manager does that elsewhere, and posts the result.
//
//	release:  draft ──notes.done──▶ unsigned ──signed──▶ signed
//	            └─────notes.failed─▶ failed: not deployed before, with contents that are denied, or no notes
//	channel:  promote ──publish.done──▶ Release and History
//	                  └─publish.failed─▶ Error; what it offered stays
package release

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/release/trust"
	"landfall.dev/kit"
)

// Service declares all that release may touch. c acts as services/release, and
// so does h, an HTTP client for the hub's raw routes at base. Keys are this
// node's; all nodes that are to sign have the same. An image can be released
// once a deployment of it, by its digest, has passed in each environment of
// after; without any, in one that is bluegreen.
func Service(c kit.Client, h *http.Client, base string, keys trust.Online, after []string, log *slog.Logger) kit.Service {
	r := &repository{client: c, keys: keys, now: time.Now, log: log}
	n := notes{client: c, http: h, base: base, after: after}
	return service(r, n)
}

func service(r *repository, n notes) kit.Service {
	return kit.Service{
		Name: "release",
		Owns: []kit.Owned{
			kit.Own(api.Releases, nextRelease),
			kit.Own(api.Channels, nextChannel, "promote"),
			kit.Own[api.Metadata](api.TrustMetadata, nil),
		},
		Reads: []string{api.Projects.Name, api.Deployments.Name, api.Environments.Name, api.Inventories.Name, api.Policies.Name},
		Does:  kit.Does{"notes": n.notes, "publish": r.offer},
		Serves: []kit.Route{
			{Pattern: "GET /tuf/keys", Handler: handler(r.serveKeys)},
			{Pattern: "GET /tuf/roles", Handler: handler(r.serveRoles)},
			{Pattern: "GET /tuf/metadata/{file}", Handler: handler(r.serveMetadata)},
			{Pattern: "GET /tuf/targets/{path...}", Handler: handler(r.serveTarget)},
			{Pattern: "POST /tuf/init", Handler: handler(r.found)},
			{Pattern: "POST /tuf/renewal", Handler: handler(r.takeRenewal)},
			{Pattern: "POST /tuf/releases", Handler: handler(r.sign)},
		},
		Runs: []func(context.Context) error{r.keepFresh},
	}
}
