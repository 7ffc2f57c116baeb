package runner

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	ggcr "github.com/google/go-containerregistry/pkg/v1/remote"

	"landfall.dev/api"
	"landfall.dev/engine/enginetest"
)

// packJob makes files in an order that it is told, and packs them.
func packJob(pack api.PackSpec, script ...string) api.JobSpec {
	pack.Repository = "demo/ledger"
	pack.Entrypoint = []string{"/bin/ledger"}
	return api.JobSpec{Script: script, Pack: &pack}
}

// pull returns the image that the hub's registry has as ref.
func (h *hub) pull(ref string) v1.Image {
	h.t.Helper()
	parsed, err := name.ParseReference(h.registry + "/" + ref)
	if err != nil {
		h.t.Fatal(err)
	}
	img, err := ggcr.Image(parsed)
	if err != nil {
		h.t.Fatal(err)
	}
	return img
}

// contents lists the files of the image as "mode name size or link".
func contents(t *testing.T, img v1.Image) []string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil || len(layers) == 0 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	r, err := layers[len(layers)-1].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var list []string
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != 0 || h.Uid != 0 || h.Gid != 0 || h.Uname != "" {
			t.Errorf("%s has the time %s and owner %d:%d", h.Name, h.ModTime, h.Uid, h.Gid)
		}
		list = append(list, fmt.Sprintf("%o %s %d%s", h.Mode, h.Name, h.Size, h.Linkname))
	}
}

func TestPackedImage(t *testing.T) {
	h := newHub(t)
	start(t, newRunner(t, h.config()))
	h.submit("pack", packJob(api.PackSpec{
		Files: map[string]string{"ledger": "bin/ledger", "web": "/srv/www/", "README": "/README"},
		Env:   map[string]string{"B": "2", "A": "1"},
	}, "umask 022; echo program > ledger; chmod 755 ledger; mkdir -p web/css; echo x > web/css/a.css; ln -s css/a.css web/a.css"))
	b := h.ended("pack")
	if b.State != api.BuildPassed || !strings.HasPrefix(b.Image, "demo/ledger@sha256:") {
		t.Fatalf("the build is %s, %q, with the image %q", b.State, b.Error, b.Image)
	}
	img := h.pull(b.Image)
	want := []string{"644 README 6", "755 bin/ledger 8", "755 srv/www/ 0", "777 srv/www/a.css 0css/a.css", "755 srv/www/css/ 0", "644 srv/www/css/a.css 2"}
	if got := contents(t, img); !slices.Equal(got, want) {
		t.Errorf("the image has %q, want %q", got, want)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := config.Config
	if config.Architecture != runtime.GOARCH || config.OS != "linux" || !slices.Equal(c.Entrypoint, []string{"/bin/ledger"}) ||
		!slices.Equal(c.Env, []string{"A=1", "B=2"}) || c.Labels["org.opencontainers.image.revision"] != b.Commit {
		t.Errorf("the configuration is %+v", config)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if m.Annotations["org.opencontainers.image.revision"] != b.Commit || m.Annotations["dev.landfall.build"] != "builds/pack" {
		t.Errorf("the annotations are %v", m.Annotations)
	}
	if tagged, err := h.pull("demo/ledger:c0ffee012345").Digest(); err != nil || "demo/ledger@"+tagged.String() != b.Image {
		t.Errorf("the tag is of %s, %v; want %s", tagged, err, b.Image)
	}
}

func TestEqualInputsMakeAnEqualImage(t *testing.T) {
	files := map[string]string{"a": "/a", "b": "/b", "dir": "/dir"}
	var images []string
	for _, script := range []string{
		"umask 022; echo a > a; echo b > b; mkdir dir; echo 1 > dir/1; echo 2 > dir/2",
		"umask 022; mkdir dir; echo 2 > dir/2; echo 1 > dir/1; touch -d 2001-01-01 dir/1; echo b > b; echo a > a",
	} {
		h := newHub(t)
		start(t, newRunner(t, h.config()))
		h.submit("same", packJob(api.PackSpec{Files: files}, script))
		images = append(images, h.ended("same").Image)
	}
	if images[0] == "" || images[0] != images[1] {
		t.Errorf("the images are %q, want one", images)
	}
}

func TestImageOnABase(t *testing.T) {
	h := newHub(t)
	base := enginetest.NewImage(t, v1.Config{Env: []string{"PATH=/base", "A=0"}, Cmd: []string{"sh"}, User: "nobody"},
		[]tar.Header{{Name: "bin/base", Mode: 0o755}}, []byte("base"))
	base, err := mutate.Canonical(base)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewTag(h.registry + "/base:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := ggcr.Write(ref, base); err != nil {
		t.Fatal(err)
	}
	start(t, newRunner(t, h.config()))
	pack := api.PackSpec{Files: map[string]string{"README": "/README"}, Env: map[string]string{"A": "1"}}
	var images []string
	for _, name := range []string{"base:1", enginetest.Ref(t, "base", base)} {
		pack.Base = name
		id := fmt.Sprintf("on-%d", len(images))
		h.submit(id, packJob(pack, "true"))
		b := h.ended(id)
		if b.State != api.BuildPassed {
			t.Fatalf("the build on %s is %s, %q", name, b.State, b.Error)
		}
		img := h.pull(b.Image)
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		c := config.Config
		if layers, err := img.Layers(); len(layers) != 2 || !slices.Equal(c.Env, []string{"PATH=/base", "A=1"}) || c.User != "nobody" || c.Cmd != nil {
			t.Errorf("on %s: %d layers, %v, configuration %+v", name, len(layers), err, c)
		}
		images = append(images, b.Image)
	}
}

func TestImagesThatCannotBePacked(t *testing.T) {
	h := newHub(t)
	start(t, newRunner(t, h.config()))
	secret := filepath.Join(t.TempDir(), "secret")
	touch(t, secret)
	readme := map[string]string{"README": "/README"}
	for name, c := range map[string]struct {
		pack  api.PackSpec
		state api.BuildState
		want  string
	}{
		"missing file":      {api.PackSpec{Files: map[string]string{"out/bin/ledger": "/l"}}, "failed", "pack demo/ledger: out/bin/ledger is not there; out/ has app, lib/, x"},
		"missing directory": {api.PackSpec{Files: map[string]string{"dist/ledger": "/l"}}, "failed", "dist/ledger is not there; the workspace has README, out/"},
		"a path out":        {api.PackSpec{Files: map[string]string{"../log": "/l"}}, "failed", "../log cannot be read in the workspace"},
		"a link out":        {api.PackSpec{Files: map[string]string{"out/x": "/l"}}, "failed", "out/x cannot be read in the workspace"},
		"one name for two":  {api.PackSpec{Files: map[string]string{"README": "/l", "out/app": "l"}}, "failed", "README and out/app would both become /l"},
		"unknown base":      {api.PackSpec{Files: readme, Base: "none:1"}, "error", "the base image none:1 is not in the registry: push it there first"},
		"a wrong base":      {api.PackSpec{Files: readme, Base: "No Name"}, "failed", `"No Name" is no name of an image`},
	} {
		t.Run(name, func(t *testing.T) {
			id := strings.ReplaceAll(name, " ", "-")
			h.submit(id, packJob(c.pack, "mkdir -p out/lib; : > out/app; ln -s "+secret+" out/x"))
			b := h.ended(id)
			if b.State != c.state || !strings.Contains(b.Error, c.want) || b.Image != "" {
				t.Errorf("the build is %s, %q; want %s, %q", b.State, b.Error, c.state, c.want)
			}
		})
	}
}

func TestMissingFileInALargeDirectoryIsToldBriefly(t *testing.T) {
	dir := t.TempDir()
	for i := range 30 {
		touch(t, filepath.Join(dir, fmt.Sprintf("%02d", i)))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	_, err = collect(root, map[string]string{"x": "/x"})
	var f *failure
	if !errors.As(err, &f) || !strings.HasSuffix(f.text, "18, 19 and 10 more") {
		t.Errorf("got %v", err)
	}
}
