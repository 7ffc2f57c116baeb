package registry_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func (h *hub) reference(path string) name.Reference {
	h.t.Helper()
	r, err := name.ParseReference(h.host() + "/" + path)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *hub) auth() remote.Option {
	return remote.WithAuth(&authn.Basic{Username: "ada", Password: h.token})
}

// randomImage returns an OCI image of three layers.
func randomImage(t *testing.T) v1.Image {
	t.Helper()
	i := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for range 3 {
		layer, err := random.Layer(64<<10, types.OCILayer)
		if err == nil {
			i, err = mutate.AppendLayers(i, layer)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return i
}

func digestOf(t *testing.T, i interface{ Digest() (v1.Hash, error) }) v1.Hash {
	t.Helper()
	d, err := i.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// read reads all of an image; the client checks the digests.
func read(i v1.Image) error {
	if _, err := i.ConfigFile(); err != nil {
		return err
	}
	layers, err := i.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	return nil
}

func TestGoClientPushesAndPulls(t *testing.T) {
	h := start(t, t.TempDir())
	image := randomImage(t)
	if err := remote.Write(h.reference("team/ledger:dev"), image, h.auth()); err != nil {
		t.Fatal(err)
	}
	// A promotion: all layers are mounted.
	if err := remote.Write(h.reference("release/ledger:1.0.0"), image, h.auth()); err != nil {
		t.Fatal(err)
	}
	index, err := random.Index(1024, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(h.reference("team/ledger:all"), index, h.auth()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"team/ledger:dev", "release/ledger:1.0.0", "team/ledger@" + digestOf(t, image).String()} {
		got, err := remote.Image(h.reference(path), h.auth())
		if err == nil {
			err = read(got)
		}
		if err != nil || digestOf(t, got) != digestOf(t, image) {
			t.Errorf("pull %s: %v", path, err)
		}
	}
	got, err := remote.Index(h.reference("team/ledger:all"), h.auth())
	if err != nil || digestOf(t, got) != digestOf(t, index) {
		t.Errorf("pull of the index: %v", err)
	}
	m, err := got.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range m.Manifests {
		part, err := got.Image(d.Digest)
		if err == nil {
			err = read(part)
		}
		if err != nil {
			t.Errorf("pull of %s: %v", d.Digest, err)
		}
	}
	tags, err := remote.List(h.reference("team/ledger").Context(), h.auth(), remote.WithPageSize(1))
	if err != nil || !slices.Equal(tags, []string{"all", "dev"}) {
		t.Errorf("tags: %v, %v", tags, err)
	}
	repositories, err := remote.Catalog(t.Context(), h.reference("x").Context().Registry, h.auth())
	if err != nil || !slices.Equal(repositories, []string{"release/ledger", "team/ledger"}) {
		t.Errorf("catalog: %v, %v", repositories, err)
	}
	if err := remote.Write(h.reference("release/ledger:1.0.0"), randomImage(t), h.auth()); err == nil || !strings.Contains(err.Error(), "is a version and stays") {
		t.Errorf("push over a version: %v", err)
	}
}

func TestGoClientFindsReferrers(t *testing.T) {
	h := start(t, t.TempDir())
	image := randomImage(t)
	if err := remote.Write(h.reference("ledger:dev"), image, h.auth()); err != nil {
		t.Fatal(err)
	}
	subject, err := remote.Head(h.reference("ledger:dev"), h.auth())
	if err != nil {
		t.Fatal(err)
	}
	signature := mutate.Subject(mutate.ConfigMediaType(randomImage(t), "application/vnd.example.signature"), *subject).(v1.Image)
	if err := remote.Write(h.reference("ledger@"+digestOf(t, signature).String()), signature, h.auth()); err != nil {
		t.Fatal(err)
	}
	index, err := remote.Referrers(h.reference("ledger").Context().Digest(subject.Digest.String()), h.auth(), remote.WithFilter("artifactType", "application/vnd.example.signature"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil || len(m.Manifests) != 1 || m.Manifests[0].Digest != digestOf(t, signature) {
		t.Errorf("referrers: %+v, %v", m, err)
	}
	if tags, err := remote.List(h.reference("ledger").Context(), h.auth()); err != nil || !slices.Equal(tags, []string{"dev"}) {
		t.Errorf("tags: %v, %v: the client has fallen back to a tag of referrers", tags, err)
	}
}

// run runs a program and returns what it wrote.
func run(t *testing.T, env []string, program string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is needed by this test: install it", program)
	}
	c := exec.CommandContext(t.Context(), path, args...)
	c.Env = append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

func mustRun(t *testing.T, env []string, program string, args ...string) string {
	t.Helper()
	out, err := run(t, env, program, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, args[0], err, out)
	}
	return strings.TrimSpace(out)
}

func TestSkopeoPushesAndPulls(t *testing.T) {
	h := start(t, t.TempDir())
	dir := t.TempDir()
	env := []string{"HOME=" + dir, "TMPDIR=" + dir, "XDG_RUNTIME_DIR=" + dir}
	image := randomImage(t)
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image})
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if _, err := layout.Write(from, index); err != nil {
		t.Fatal(err)
	}
	creds := "ada:" + h.token
	ledger := "docker://" + h.host() + "/team/ledger:dev"
	mustRun(t, env, "skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", "--dest-creds", creds, "oci:"+from, ledger)
	mustRun(t, env, "skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--src-creds", creds, ledger, "oci:"+to)
	p, err := layout.FromPath(to)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Image(digestOf(t, image))
	if err == nil {
		err = read(got)
	}
	if err != nil {
		t.Errorf("the image that came back: %v", err)
	}
	promoted := "docker://" + h.host() + "/release/ledger:1.0.0"
	mustRun(t, env, "skopeo", "--insecure-policy", "copy", "--format", "v2s2", "--src-tls-verify=false", "--src-creds", creds, "--dest-tls-verify=false", "--dest-creds", creds, ledger, promoted)
	if out := mustRun(t, env, "skopeo", "inspect", "--raw", "--tls-verify=false", "--creds", creds, promoted); !strings.Contains(out, dockerManifest) {
		t.Errorf("the image in docker's form: %s", out)
	}
	mustRun(t, env, "skopeo", "delete", "--tls-verify=false", "--creds", creds, ledger)
	if out, err := run(t, env, "skopeo", "inspect", "--tls-verify=false", "--creds", creds, ledger); err == nil || !strings.Contains(out, "team/ledger: no tag dev; it has none") {
		t.Errorf("inspect of the deleted image: %v, %s", err, out)
	}
	if out, err := run(t, env, "skopeo", "inspect", "--tls-verify=false", "--creds", "ada:lf_x_y", promoted); err == nil || !strings.Contains(out, "unauthorized") {
		t.Errorf("inspect with a wrong token: %v, %s", err, out)
	}
}

func TestPodmanPushesAndPulls(t *testing.T) {
	h := start(t, t.TempDir())
	dir := t.TempDir()
	env := []string{"HOME=" + dir, "TMPDIR=" + dir}
	podman := func(args ...string) []string {
		return append([]string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--storage-driver", "vfs"}, args...)
	}
	creds := "ada:" + h.token
	ref := h.host() + "/team/ledger:dev"
	mustRun(t, env, "podman", podman("import", busybox(t), ref)...)
	mustRun(t, env, "podman", podman("push", "--tls-verify=false", "--creds", creds, ref)...)
	digest := h.must(200, "HEAD", "/v2/team/ledger/manifests/dev", "").header.Get("Docker-Content-Digest")
	mustRun(t, env, "podman", podman("rmi", ref)...)
	pulled := h.host() + "/team/ledger@" + digest
	mustRun(t, env, "podman", podman("pull", "--tls-verify=false", "--creds", creds, pulled)...)
	if out, err := run(t, env, "podman", podman("pull", "--tls-verify=false", "--creds", "ada:lf_x_y", ref)...); err == nil || !strings.Contains(out, "unauthorized") {
		t.Errorf("pull with a wrong token: %v, %s", err, out)
	}
}

func TestDockerPushesAndPulls(t *testing.T) {
	h := start(t, t.TempDir())
	env := []string{"DOCKER_CONFIG=" + t.TempDir()}
	ref := h.host() + "/team/ledger:dev"
	id := mustRun(t, env, "docker", "import", "--change", `CMD ["/bin/busybox","echo","from the registry"]`, busybox(t), ref)
	t.Cleanup(func() { forget(t, env, ref) })

	if out, err := run(t, env, "docker", "push", ref); err == nil || !strings.Contains(out, "no basic auth credentials") {
		t.Errorf("push without a login: %v, %s", err, out)
	}
	if out, err := run(t, env, "docker", "login", "-u", "ada", "-p", "wrong", h.host()); err == nil || !strings.Contains(out, "401") {
		t.Errorf("login with a wrong token: %v, %s", err, out)
	}
	mustRun(t, env, "docker", "login", "-u", "ada", "-p", h.token, h.host())
	mustRun(t, env, "docker", "push", ref)
	digest := h.must(200, "HEAD", "/v2/team/ledger/manifests/dev", "").header.Get("Docker-Content-Digest")

	forget(t, env, ref)
	pulled := h.host() + "/team/ledger@" + digest
	mustRun(t, env, "docker", "pull", pulled)
	t.Cleanup(func() { forget(t, env, pulled) })
	if got := mustRun(t, env, "docker", "image", "inspect", "--format", "{{.Id}}", pulled); got != id {
		t.Errorf("pulled %s, want %s", got, id)
	}
	if out, err := run(t, env, "docker", "pull", h.host()+"/team/ledger:9.9"); err == nil || !strings.Contains(out, "team/ledger: no tag 9.9; it has: dev") {
		t.Errorf("pull of a tag that there is not: %v, %s", err, out)
	}
	version := h.host() + "/team/ledger:v1.0.0"
	mustRun(t, env, "docker", "tag", pulled, version)
	t.Cleanup(func() { forget(t, env, version) })
	mustRun(t, env, "docker", "push", version)
	other := h.host() + "/team/ledger:other"
	mustRun(t, env, "docker", "import", busybox(t), other)
	t.Cleanup(func() { forget(t, env, other) })
	mustRun(t, env, "docker", "tag", other, version)
	if out, err := run(t, env, "docker", "push", version); err == nil || !strings.Contains(out, "the tag v1.0.0 is a version and stays at "+digest) {
		t.Errorf("push over a version: %v, %s", err, out)
	}
}

// busybox returns a tar file with a root that has nothing but busybox and one
// small file of its own.
func busybox(t *testing.T) string {
	t.Helper()
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("install busybox-static: %v", err)
	}
	path := filepath.Join(t.TempDir(), "root.tar")
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range map[string][]byte{"bin/busybox": program, "name": []byte(path)} {
		err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))})
		if err == nil {
			_, err = w.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// forget removes an image from docker, if it is there.
func forget(t *testing.T, env []string, ref string) {
	t.Helper()
	if _, err := exec.Command("docker", "image", "rm", "--force", ref).CombinedOutput(); err != nil {
		t.Errorf("docker image rm %s: %v", ref, err)
	}
}
