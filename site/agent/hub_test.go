package agent

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"landfall.dev/api"
	"landfall.dev/engine/enginetest"
	"landfall.dev/kit"
	"landfall.dev/kit/blob"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
)

// account is whom the agent's token belongs to, and environmentName what for.
const (
	account         = "accounts/agent-staging"
	environmentName = "staging"
)

// testHub is a hub as an agent sees it.
type testHub struct {
	*kittest.Cluster
	t     *testing.T
	blobs *blob.Disk
	token string

	mu    sync.Mutex
	files map[string][]byte // below /tuf/
}

func newTestHub(t *testing.T) *testHub {
	t.Helper()
	blobs, err := blob.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h := &testHub{t: t, blobs: blobs, files: map[string][]byte{}}
	h.Cluster = kittest.Start(t, kit.Service{
		Name: "hub",
		Owns: []kit.Owned{
			kit.Own[api.Environment](api.Environments, nil), kit.Own[api.Deployment](api.Deployments, nil),
			kit.Own[api.Status](api.Statuses, nil), kit.Own[api.Upgrade](api.Upgrades, nil),
			kit.Own[api.Channel](api.Channels, nil), kit.Own[api.Release](api.Releases, nil),
		},
		Serves: []kit.Route{
			{Pattern: "GET /identity/self", Handler: http.HandlerFunc(serveSelf)},
			{Pattern: "GET /v2/", Handler: blob.Handler(blobs)}, // manifests are blobs too
			{Pattern: "GET /tuf/{path...}", Handler: http.HandlerFunc(h.serveTrust)},
		},
	})
	look := []kit.Verb{kit.VerbRead, kit.VerbList, kit.VerbWatch}
	h.Allow(account,
		rest.Rule{Kinds: []string{"environments"}, Verbs: look, IDs: []string{environmentName}},
		rest.Rule{Kinds: []string{"deployments", "channels", "releases"}, Verbs: look},
		rest.Rule{Kinds: []string{"statuses", "upgrades"}, Verbs: []kit.Verb{"*"}, IDs: []string{environmentName + "~*"}},
	)
	h.token = h.Token(account)
	return h
}

func serveSelf(w http.ResponseWriter, r *http.Request) {
	_ = json.NewEncoder(w).Encode(map[string]string{"subject": kit.CallerOf(r.Context()).Subject})
}

func (h *testHub) serveTrust(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, ok := h.files[r.PathValue("path")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(b)
}

// environment makes the agent's environment.
func (h *testHub) environment(e api.Environment) {
	h.t.Helper()
	if _, err := api.Environments.Create(h.t.Context(), h.Admin(), environmentName, e); err != nil {
		h.t.Fatal(err)
	}
}

// push puts img into the hub's registry and returns its reference.
func (h *testHub) push(img v1.Image) string {
	h.t.Helper()
	put := func(r io.Reader, err error) {
		h.t.Helper()
		if err == nil {
			_, _, err = h.blobs.Put(h.t.Context(), r, "")
		}
		if err != nil {
			h.t.Fatal(err)
		}
	}
	config, err := img.RawConfigFile()
	put(bytes.NewReader(config), err)
	manifest, err := img.RawManifest()
	put(bytes.NewReader(manifest), err)
	layers, err := img.Layers()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, l := range layers {
		r, err := l.Compressed()
		put(r, err)
	}
	return enginetest.Ref(h.t, "team/program", img)
}

// deploy orders a deployment to the agent's environment.
func (h *testHub) deploy(id, image string, tests ...string) {
	h.t.Helper()
	d := api.Deployment{Environment: environmentName, Project: "program", Image: image, Tests: tests, State: api.DeploymentQueued}
	if _, err := api.Deployments.Create(h.t.Context(), h.Admin(), id, d); err != nil {
		h.t.Fatal(err)
	}
}

// await returns the status of the deployment or release once done says so.
func (h *testHub) await(id string, done func(api.Status) bool) api.Status {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 2*enginetest.Deadline)
	defer cancel()
	var last api.Status
	s, err := api.Statuses.Await(ctx, h.Admin(), reportID(environmentName, id), func(s api.Status) bool {
		last = s
		return done(s)
	})
	if err != nil {
		h.t.Fatalf("waited for %s: %v; the last status is %+v", id, err, last)
	}
	return s
}

func ended(s api.Status) bool { return s.State.Done() }

// passes waits for the end of id, which must be a success.
func (h *testHub) passes(id string) api.Status {
	h.t.Helper()
	s := h.await(id, ended)
	if s.State != api.DeploymentPassed {
		h.t.Fatalf("%s: %s, %s; want it passed", id, s.State, s.Error)
	}
	return s
}

// binaries are the programs below testdata, compiled.
var binaries struct {
	sync.Mutex
	built map[string][]byte
}

// imageOf is an image of a program below testdata. Its version is told in
// VERSION.
func imageOf(t *testing.T, name, version string) v1.Image {
	t.Helper()
	binaries.Lock()
	defer binaries.Unlock()
	binary := binaries.built[name]
	if binary == nil {
		file := filepath.Join(t.TempDir(), name)
		build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", file, "./testdata/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
		var err error
		if binary, err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
		if binaries.built == nil {
			binaries.built = map[string][]byte{}
		}
		binaries.built[name] = binary
	}
	return enginetest.NewImage(t, v1.Config{Entrypoint: []string{"/bin/" + name}, Env: []string{"VERSION=" + version, "PATH=/bin"}},
		[]tar.Header{{Name: "bin/" + name, Mode: 0o755}}, binary)
}

// programImage is an image of testdata/program.
func programImage(t *testing.T, version string) v1.Image {
	t.Helper()
	return imageOf(t, "program", version)
}

// version asks the program behind url for its version.
func version(url string) (string, error) {
	client := http.Client{Timeout: 20 * time.Second}
	res, err := client.Post(url+"/version", "text/plain", strings.NewReader("x"))
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, b)
	}
	return string(b), err
}
