package registry_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"landfall.dev/capability/registry"
	"landfall.dev/kit"
	"landfall.dev/kit/blob"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
)

const (
	ociManifest    = "application/vnd.oci.image.manifest.v1+json"
	ociIndex       = "application/vnd.oci.image.index.v1+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
)

// hub is a running registry and a client of it.
type hub struct {
	*kittest.Cluster
	t     testing.TB
	token string
}

// start runs a registry with its files in dir; wrap may change what it is made
// of. The client is ada, who may do everything with images.
func start(t testing.TB, dir string, wrap ...func(kit.Client, kit.Blobs) (kit.Client, kit.Blobs)) *hub {
	t.Helper()
	disk, err := blob.Open(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	c := kittest.Serve(t)
	client, blobs := c.Client("services/registry"), kit.Blobs(disk)
	for _, w := range wrap {
		client, blobs = w(client, blobs)
	}
	log := kittest.Log(t, slog.LevelInfo)
	s := registry.Service(client, blobs, filepath.Join(dir, "uploads"), log)
	c.Server.Add(s)
	c.Run(s)
	c.Allow("users/ada", rest.Rule{Kinds: []string{"images"}, Verbs: []kit.Verb{"*"}})
	return &hub{Cluster: c, t: t, token: c.Token("users/ada")}
}

// host returns the address that image references start with.
func (h *hub) host() string { return strings.TrimPrefix(h.URL(), "http://") }

// as returns the hub for another caller.
func (h *hub) as(subject string) *hub {
	return &hub{Cluster: h.Cluster, t: h.t, token: h.Token(subject)}
}

// answer is what a request came to.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request, with headers as "Name: value".
func (h *hub) do(method, path, body string, headers ...string) answer {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.URL()+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	r.SetBasicAuth("ada", h.token)
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatalf("%s %s: reading the answer: %v", method, path, err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

// must fails the test unless the answer has the status.
func (h *hub) must(status int, method, path, body string, headers ...string) answer {
	h.t.Helper()
	a := h.do(method, path, body, headers...)
	if a.status != status {
		h.t.Fatalf("%s %s: got %d %s, want %d", method, path, a.status, a.body, status)
	}
	return a
}

// pushBlob uploads text in one request.
func (h *hub) pushBlob(repository, text string) kit.Digest {
	h.t.Helper()
	d := kit.DigestOf([]byte(text))
	h.must(201, "POST", "/v2/"+repository+"/blobs/uploads/?digest="+url.QueryEscape(string(d)), text)
	return d
}

// manifestOf returns a manifest with the config and layers, and more fields.
func manifestOf(config kit.Digest, layers []kit.Digest, more map[string]any) string {
	m := map[string]any{
		"schemaVersion": 2, "mediaType": ociManifest,
		"config": described("application/vnd.oci.image.config.v1+json", config),
		"layers": []any{},
	}
	for _, l := range layers {
		m["layers"] = append(m["layers"].([]any), described("application/vnd.oci.image.layer.v1.tar", l))
	}
	for k, v := range more {
		m[k] = v
	}
	return encoded(m)
}

func described(mediaType string, d kit.Digest) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": d, "size": 2}
}

func encoded(v any) string {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		panic(err)
	}
	return b.String()
}

// pushImage pushes an image of one layer with the text as the tag.
func (h *hub) pushImage(repository, tag, text string) (manifest string, digest kit.Digest) {
	h.t.Helper()
	manifest = manifestOf(h.pushBlob(repository, "{}"), []kit.Digest{h.pushBlob(repository, text)}, nil)
	h.must(201, "PUT", "/v2/"+repository+"/manifests/"+tag, manifest, "Content-Type: "+ociManifest)
	return manifest, kit.DigestOf([]byte(manifest))
}

// code returns the code of the first error in the answer.
func (a answer) code() string {
	var e struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(a.body), &e); err != nil || len(e.Errors) == 0 {
		return fmt.Sprintf("no error in %q", a.body)
	}
	return e.Errors[0].Code
}
