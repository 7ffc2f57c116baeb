package registry_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

// exchange is a request and what has to come of it.
type exchange struct {
	name, request, body string
	header              []string
	status              int
	want                string   // in the body
	headers             []string // of the answer; an empty one is not there
}

// try runs the exchanges in their order.
func (h *hub) try(t *testing.T, exchanges []exchange) {
	for _, c := range exchanges {
		t.Run(c.name, func(t *testing.T) {
			method, path, _ := strings.Cut(c.request, " ")
			a := h.do(method, path, c.body, c.header...)
			if a.status != c.status || !strings.Contains(a.body, c.want) {
				t.Errorf("got %d %s, want %d with %s", a.status, a.body, c.status, c.want)
			}
			for _, header := range c.headers {
				name, want, _ := strings.Cut(header, ": ")
				if got := a.header.Get(name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
		})
	}
}

// What the tests of the specification speak of.
var (
	layer  = kit.DigestOf([]byte("layer one"))
	config = kit.DigestOf([]byte("{}"))
	absent = kit.DigestOf([]byte("absent"))
	sha512 = "sha512:" + strings.Repeat("a", 128)
)

// pushLedger pushes an image of the layer to team/ledger, with three tags.
func (h *hub) pushLedger() (manifest string, digest kit.Digest) {
	h.t.Helper()
	manifest, digest = h.pushImage("team/ledger", "1.0.0", "layer one")
	h.must(201, "PUT", "/v2/team/ledger/manifests/Latest", manifest, "Content-Type: "+ociManifest)
	h.must(201, "PUT", "/v2/team/ledger/manifests/dev", manifest)
	return manifest, digest
}

func TestPull(t *testing.T) {
	h := start(t, t.TempDir())
	manifest, digest := h.pushLedger()
	h.try(t, []exchange{
		{"base", "GET /v2/", "", nil, 200, "{}", []string{"Docker-Distribution-Api-Version: registry/2.0"}},
		{"unknown path", "GET /v2/team", "", nil, 404, "UNSUPPORTED", nil},
		{"name with capitals", "GET /v2/Team/tags/list", "", nil, 400, "NAME_INVALID", nil},
		{"name that ends badly", "GET /v2/team-/tags/list", "", nil, 400, "NAME_INVALID", nil},
		{"name too long", "GET /v2/" + strings.Repeat("a", 129) + "/tags/list", "", nil, 400, "NAME_INVALID", nil},
		{"method that there is not", "POST /v2/team/ledger/tags/list", "", nil, 405, "UNSUPPORTED", []string{"Allow: GET"}},

		{"manifest by tag", "GET /v2/team/ledger/manifests/1.0.0", "", nil, 200, manifest,
			[]string{"Content-Type: " + ociManifest, "Docker-Content-Digest: " + string(digest), fmt.Sprintf("Content-Length: %d", len(manifest))}},
		{"manifest by digest", "GET /v2/team/ledger/manifests/" + string(digest), "", nil, 200, manifest, nil},
		{"head of a manifest", "HEAD /v2/team/ledger/manifests/1.0.0", "", nil, 200, "",
			[]string{"Docker-Content-Digest: " + string(digest), fmt.Sprintf("Content-Length: %d", len(manifest))}},
		{"tag that there is not", "GET /v2/team/ledger/manifests/9.9", "", nil, 404, "team/ledger: no tag 9.9; it has: 1.0.0, dev, Latest", nil},
		{"head of a tag that there is not", "HEAD /v2/team/ledger/manifests/9.9", "", nil, 404, "", nil},
		{"tag of an unknown repository", "GET /v2/nobody/manifests/1", "", nil, 404, "MANIFEST_UNKNOWN", nil},
		{"manifest that there is not", "GET /v2/team/ledger/manifests/" + string(absent), "", nil, 404, "MANIFEST_UNKNOWN", nil},
		{"manifest of another repository", "GET /v2/team/manifests/" + string(digest), "", nil, 404, "MANIFEST_UNKNOWN", nil},
		{"manifest by a bad digest", "GET /v2/team/ledger/manifests/sha256:baddigest", "", nil, 400, "DIGEST_INVALID", nil},
		{"bad tag", "GET /v2/team/ledger/manifests/-x", "", nil, 400, "TAG_INVALID", nil},

		{"blob", "GET /v2/team/ledger/blobs/" + string(layer), "", nil, 200, "layer one", []string{"Docker-Content-Digest: " + string(layer), "Content-Length: 9"}},
		{"head of a blob", "HEAD /v2/team/ledger/blobs/" + string(layer), "", nil, 200, "", []string{"Docker-Content-Digest: " + string(layer), "Content-Length: 9"}},
		{"range", "GET /v2/team/ledger/blobs/" + string(layer), "", []string{"Range: bytes=6-"}, 206, "one", []string{"Content-Range: bytes 6-8/9"}},
		{"range of a known version", "GET /v2/team/ledger/blobs/" + string(layer), "", []string{"Range: bytes=6-", `If-Range: "` + string(layer) + `"`}, 206, "one", nil},
		{"range beyond the end", "GET /v2/team/ledger/blobs/" + string(layer), "", []string{"Range: bytes=9-"}, 416, "", nil},
		{"blob that there is not", "GET /v2/team/ledger/blobs/" + string(absent), "", nil, 404, "BLOB_UNKNOWN", nil},
		{"blob of another repository", "GET /v2/team/blobs/" + string(layer), "", nil, 404, "BLOB_UNKNOWN", nil},
		{"digest of another algorithm", "GET /v2/team/ledger/blobs/" + sha512, "", nil, 400, `\"sha512\" are not supported`, nil},
	})
}

func TestPushOfBlobs(t *testing.T) {
	h := start(t, t.TempDir())
	h.pushLedger()
	h.try(t, []exchange{
		{"upload with another algorithm", "POST /v2/team/ledger/blobs/uploads/?digest=" + sha512, "x", nil, 400, "DIGEST_INVALID", nil},
		{"upload with a wrong digest", "POST /v2/team/ledger/blobs/uploads/?digest=" + string(absent), "x", nil, 400, "DIGEST_INVALID", nil},
		{"upload that there is not", "GET /v2/team/ledger/blobs/uploads/aaaa", "", nil, 404, "BLOB_UPLOAD_UNKNOWN", nil},
		{"upload outside of the directory", "GET /v2/team/ledger/blobs/uploads/..%2f..%2fx", "", nil, 404, "UNSUPPORTED", nil},
		{"mount", "POST /v2/copy/blobs/uploads/?mount=" + string(layer) + "&from=team/ledger", "", nil, 201, "",
			[]string{"Location: /v2/copy/blobs/" + string(layer), "Docker-Content-Digest: " + string(layer)}},
		{"mounted blob", "GET /v2/copy/blobs/" + string(layer), "", nil, 200, "layer one", nil},
		{"mount of what is there", "POST /v2/copy/blobs/uploads/?mount=" + string(layer), "", nil, 201, "", nil},
		{"mount of an absent blob", "POST /v2/copy/blobs/uploads/?mount=" + string(absent) + "&from=team/ledger", "", nil, 202, "", nil},
		{"mount without from", "POST /v2/copy/blobs/uploads/?mount=" + string(config), "", nil, 202, "", nil},
		{"mount of no digest", "POST /v2/copy/blobs/uploads/?mount=x&from=team/ledger", "", nil, 202, "", nil},
	})
}

func TestPushOfManifests(t *testing.T) {
	h := start(t, t.TempDir())
	manifest, digest := h.pushLedger()
	other, otherDigest := h.pushImage("team/ledger", "tmp", "layer two")
	list := fmt.Sprintf(`{"schemaVersion":2,"manifests":[%s]}`, encoded(described(ociManifest, digest)))
	elsewhere := described("application/vnd.oci.image.layer.nondistributable.v1.tar", absent)
	elsewhere["urls"] = []string{"https://example.com/layer"}
	foreign := manifestOf(config, nil, map[string]any{"layers": []any{elsewhere}})
	h.try(t, []exchange{
		{"manifest by its digest", "PUT /v2/team/ledger/manifests/" + string(digest), manifest, []string{"Content-Type: " + ociManifest}, 201, "",
			[]string{"Location: /v2/team/ledger/manifests/" + string(digest), "Docker-Content-Digest: " + string(digest)}},
		{"manifest by another digest", "PUT /v2/team/ledger/manifests/" + string(absent), manifest, nil, 400, "DIGEST_INVALID", nil},
		{"manifest whose layer is elsewhere", "PUT /v2/team/manifests/1", manifest, nil, 400, "MANIFEST_BLOB_UNKNOWN", nil},
		{"manifest with another type", "PUT /v2/team/ledger/manifests/x", manifest, []string{"Content-Type: " + ociIndex}, 400, "MANIFEST_INVALID", nil},
		{"manifest too large", "PUT /v2/team/ledger/manifests/x", strings.Repeat(" ", 4<<20+1), nil, 413, "MANIFEST_INVALID", nil},
		{"layer that lives elsewhere", "PUT /v2/team/ledger/manifests/windows", foreign, nil, 201, "", nil},
		{"index", "PUT /v2/team/ledger/manifests/index", list, []string{"Content-Type: " + ociIndex}, 201, "", nil},
		{"index of absent manifests", "PUT /v2/copy/manifests/index", list, []string{"Content-Type: " + ociIndex}, 400, string(digest), nil},
		{"version with other content", "PUT /v2/team/ledger/manifests/1.0.0", other, nil, 409, "the tag 1.0.0 is a version and stays at " + string(digest), nil},
		{"version with the same content", "PUT /v2/team/ledger/manifests/1.0.0", manifest, nil, 201, "", nil},
		{"tag that moves", "PUT /v2/team/ledger/manifests/dev", other, nil, 201, "", nil},
		{"tag that has moved", "HEAD /v2/team/ledger/manifests/dev", "", nil, 200, "", []string{"Docker-Content-Digest: " + string(otherDigest)}},
	})
}

func TestLists(t *testing.T) {
	h := start(t, t.TempDir())
	h.pushLedger()
	h.pushImage("team/ledger", "tmp", "layer two")
	h.try(t, []exchange{
		{"tags", "GET /v2/team/ledger/tags/list", "", nil, 200, `{"name":"team/ledger","tags":["1.0.0","dev","Latest","tmp"]}`, nil},
		{"first tags", "GET /v2/team/ledger/tags/list?n=2", "", nil, 200, `["1.0.0","dev"]`, []string{`Link: </v2/team/ledger/tags/list?last=dev&n=2>; rel="next"`}},
		{"next tags", "GET /v2/team/ledger/tags/list?n=3&last=dev", "", nil, 200, `["Latest","tmp"]`, []string{"Link: "}},
		{"tags after one that there is not", "GET /v2/team/ledger/tags/list?last=k", "", nil, 200, `["Latest","tmp"]`, nil},
		{"no tags wanted", "GET /v2/team/ledger/tags/list?n=0", "", nil, 200, `"tags":[]`, []string{"Link: "}},
		{"bad number of tags", "GET /v2/team/ledger/tags/list?n=-1", "", nil, 400, "PAGINATION_NUMBER_INVALID", nil},
		{"tags of an unknown repository", "GET /v2/nobody/tags/list", "", nil, 404, "NAME_UNKNOWN", nil},
		{"catalog", "GET /v2/_catalog", "", nil, 200, `{"repositories":["team/ledger"]}`, nil},
	})
}

func TestDelete(t *testing.T) {
	h := start(t, t.TempDir())
	_, digest := h.pushLedger()
	other, otherDigest := h.pushImage("team/ledger", "tmp", "layer two")
	h.must(201, "PUT", "/v2/team/ledger/manifests/dev", other)
	h.must(201, "POST", "/v2/copy/blobs/uploads/?from=team/ledger&mount="+string(layer), "")
	list := fmt.Sprintf(`{"schemaVersion":2,"manifests":[%s]}`, encoded(described(ociManifest, otherDigest)))
	h.must(201, "PUT", "/v2/team/ledger/manifests/index", list, "Content-Type: "+ociIndex)
	h.try(t, []exchange{
		{"delete of a version", "DELETE /v2/team/ledger/manifests/1.0.0", "", nil, 409, "DENIED", nil},
		{"delete of a version's manifest", "DELETE /v2/team/ledger/manifests/" + string(digest), "", nil, 409, "DENIED", nil},
		{"delete of a blob in use", "DELETE /v2/team/ledger/blobs/" + string(layer), "", nil, 409, "DENIED", nil},
		{"delete of a tag", "DELETE /v2/team/ledger/manifests/tmp", "", nil, 202, "", nil},
		{"deleted tag", "GET /v2/team/ledger/manifests/tmp", "", nil, 404, "MANIFEST_UNKNOWN", nil},
		{"delete of a deleted tag", "DELETE /v2/team/ledger/manifests/tmp", "", nil, 404, "MANIFEST_UNKNOWN", nil},
		{"delete of a manifest that an index lists", "DELETE /v2/team/ledger/manifests/" + string(otherDigest), "", nil, 409, "DENIED", nil},
		{"delete of a manifest that is not there", "DELETE /v2/team/ledger/manifests/" + string(absent), "", nil, 404, "MANIFEST_UNKNOWN", nil},
		{"delete of an index", "DELETE /v2/team/ledger/manifests/" + string(kit.DigestOf([]byte(list))), "", nil, 202, "", nil},
		{"delete of a manifest", "DELETE /v2/team/ledger/manifests/" + string(otherDigest), "", nil, 202, "", nil},
		{"deleted manifest", "HEAD /v2/team/ledger/manifests/" + string(otherDigest), "", nil, 404, "", nil},
		{"tag of a deleted manifest", "HEAD /v2/team/ledger/manifests/dev", "", nil, 404, "", nil},
		{"delete of a blob", "DELETE /v2/copy/blobs/" + string(layer), "", nil, 202, "", nil},
		{"deleted blob", "GET /v2/copy/blobs/" + string(layer), "", nil, 404, "BLOB_UNKNOWN", nil},
		{"blob that another repository deleted", "GET /v2/team/ledger/blobs/" + string(layer), "", nil, 200, "layer one", nil},
	})
}

func TestManifestsThatAreRefused(t *testing.T) {
	h := start(t, t.TempDir())
	config := h.pushBlob("ledger", "{}")
	for _, c := range []struct{ name, body, mediaType, want string }{
		{"no JSON", "{", ociManifest, "not valid JSON"},
		{"no type", `{"schemaVersion":2}`, "", "has no type"},
		{"broken type", manifestOf(config, nil, nil), "a/b/c", "is not understood"},
		{"another type", `{"schemaVersion":2}`, "text/plain", "are not accepted"},
		{"schema 1", `{"schemaVersion":1}`, "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1 are not accepted"},
		{"schema version 1", manifestOf(config, nil, map[string]any{"schemaVersion": 1}), "", "has to be 2"},
		{"type that differs", manifestOf(config, nil, nil), dockerManifest, "says that it is"},
		{"no config", `{"schemaVersion":2}`, ociManifest, "needs a config"},
		{"image that lists manifests", manifestOf(config, nil, map[string]any{"manifests": []any{}}), "", "lists no manifests"},
		{"index with layers", `{"schemaVersion":2,"layers":[]}`, ociIndex, "no layers"},
		{"layer without a digest", manifestOf(config, []kit.Digest{"x"}, nil), "", "is no digest"},
		{"subject without a digest", manifestOf(config, nil, map[string]any{"subject": described(ociManifest, "y")}), "", "is no digest"},
		{"config of a negative size", strings.Replace(manifestOf(config, nil, nil), `"size":2`, `"size":-1`, 1), "", "has -1 bytes"},
		{"layer of an absurd size", strings.Replace(manifestOf(config, []kit.Digest{config}, map[string]any{"config": described("a/b", config)}), `"size":2}]`, `"size":4611686018427387904}]`, 1), "", "has 4611686018427387904 bytes"},
		{"build that is none", manifestOf(config, nil, map[string]any{"annotations": map[string]string{"dev.landfall.build": "builds"}}), "", "no link of a build"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var headers []string
			if c.mediaType != "" {
				headers = []string{"Content-Type: " + c.mediaType}
			}
			a := h.do("PUT", "/v2/ledger/manifests/x", c.body, headers...)
			if a.status != 400 || !strings.Contains(a.body, c.want) {
				t.Errorf("got %d %s, want 400 with %q", a.status, a.body, c.want)
			}
		})
	}
}

func TestReferrersAreListedByTypeBeforeAndAfterTheirSubject(t *testing.T) {
	h := start(t, t.TempDir())
	config := h.pushBlob("ledger", "{}")
	image := manifestOf(config, nil, nil)
	subject := kit.DigestOf([]byte(image))
	for _, artifact := range []map[string]any{
		{"subject": described(ociManifest, subject), "artifactType": "text/sbom", "annotations": map[string]string{"a": "b"}},
		{"subject": described(ociManifest, subject)},
	} {
		body := manifestOf(config, nil, artifact)
		a := h.must(201, "PUT", "/v2/ledger/manifests/"+string(kit.DigestOf([]byte(body))), body)
		if got := a.header.Get("OCI-Subject"); got != string(subject) {
			t.Errorf("OCI-Subject: got %q, want %s", got, subject)
		}
	}
	h.must(201, "PUT", "/v2/ledger/manifests/1.0.0", image)

	path := "/v2/ledger/referrers/" + string(subject)
	for _, c := range []struct {
		name, path string
		status     int
		want       []string
		count      int
		filters    string
	}{
		{"all", path, 200, []string{`"artifactType":"text/sbom","annotations":{"a":"b"}`, `"artifactType":"application/vnd.oci.image.config.v1+json"`}, 2, ""},
		{"one type", path + "?artifactType=text/sbom", 200, []string{"text/sbom"}, 1, "artifactType"},
		{"a type that there is not", path + "?artifactType=text/x", 200, []string{`"manifests":[]`}, 0, "artifactType"},
		{"unknown repository", "/v2/nobody/referrers/" + string(subject), 200, []string{`"manifests":[]`}, 0, ""},
		{"bad digest", "/v2/ledger/referrers/x", 400, []string{"DIGEST_INVALID"}, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := h.do("GET", c.path, "")
			if a.status != c.status || strings.Count(a.body, `"size"`) != c.count {
				t.Errorf("got %d %s, want %d with %d images", a.status, a.body, c.status, c.count)
			}
			for _, want := range c.want {
				if !strings.Contains(a.body, want) {
					t.Errorf("got %s, want it to have %s", a.body, want)
				}
			}
			if c.status == 200 && (a.header.Get("Content-Type") != ociIndex || a.header.Get("OCI-Filters-Applied") != c.filters) {
				t.Errorf("headers: %v", a.header)
			}
		})
	}
}

func TestImageKnowsItsOrigin(t *testing.T) {
	h := start(t, t.TempDir())
	layer := h.pushBlob("ledger", "layer")
	body := manifestOf(h.pushBlob("ledger", "{}"), []kit.Digest{layer, layer}, map[string]any{"annotations": map[string]string{
		"org.opencontainers.image.revision": "abc123", "dev.landfall.build": "builds/change-1-1.gate.1",
	}})
	h.must(201, "PUT", "/v2/ledger/manifests/dev", body)
	digest := kit.DigestOf([]byte(body))
	i, err := api.Images.Read(t.Context(), h.Admin(), api.ImageID("ledger", digest))
	if err != nil {
		t.Fatal(err)
	}
	if i.Commit != "abc123" || i.Build != "builds/change-1-1.gate.1" || i.Source != i.Build || i.By != "users/ada" || len(i.Blobs) != 2 || i.Size != int64(len(body)) {
		t.Errorf("image: %+v", i)
	}
	tag, err := api.Tags.Read(t.Context(), h.Admin(), api.TagID("ledger", "dev"))
	if err != nil || tag.Digest != digest || tag.By != "users/ada" {
		t.Errorf("tag: %+v, %v", tag, err)
	}
}

func TestCallersSeeOnlyWhatTheyMay(t *testing.T) {
	h := start(t, t.TempDir())
	manifest, _ := h.pushImage("ledger", "1.0.0", "public")
	h.pushImage("vault", "1.0.0", "secret")
	h.Allow("users/bob", rest.Rule{Kinds: []string{"images"}, Verbs: []kit.Verb{"pull"}, IDs: []string{"ledger~*"}},
		rest.Rule{Kinds: []string{"images"}, Verbs: []kit.Verb{"pull", "push"}, IDs: []string{"bob~*"}})
	bob := h.as("users/bob")
	secret := kit.DigestOf([]byte("secret"))
	for _, c := range []struct {
		name, request string
		status        int
		want          string
	}{
		{"pull", "GET /v2/ledger/manifests/1.0.0", 200, manifest},
		{"push", "POST /v2/ledger/blobs/uploads/", 403, "users/bob may not push in ledger"},
		{"pull from another", "GET /v2/vault/manifests/1.0.0", 403, "DENIED"},
		{"another's blob through the own repository", "GET /v2/ledger/blobs/" + string(secret), 404, "BLOB_UNKNOWN"},
		{"mount of another's blob", "POST /v2/bob/blobs/uploads/?mount=" + string(secret) + "&from=vault", 202, ""},
		{"delete", "DELETE /v2/bob/manifests/x", 403, "DENIED"},
		{"catalog", "GET /v2/_catalog", 200, `{"repositories":["ledger"]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			method, path, _ := strings.Cut(c.request, " ")
			if a := bob.do(method, path, ""); a.status != c.status || !strings.Contains(a.body, c.want) {
				t.Errorf("got %d %s, want %d with %s", a.status, a.body, c.status, c.want)
			}
		})
	}
	res, err := http.Get(h.URL() + "/v2/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 401 || !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("without a token: got %d, %v", res.StatusCode, res.Header)
	}
}
