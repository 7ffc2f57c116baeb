package process

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"landfall.dev/engine"
	"landfall.dev/engine/enginetest"
)

// file is the header of a regular file; those below are of other entries.
func file(name string) tar.Header { return tar.Header{Name: name, Mode: 0o644} }

func dir(name string) tar.Header {
	return tar.Header{Name: name, Mode: 0o755, Typeflag: tar.TypeDir}
}

func symlink(name, target string) tar.Header {
	return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink}
}

func link(name, target string) tar.Header {
	return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeLink}
}

func TestUnpack(t *testing.T) {
	tests := []struct {
		name   string
		layers [][]tar.Header // each file holds the number of its layer
		want   []string       // path=content, path/ or path->target
	}{
		{"upper layer replaces", [][]tar.Header{{file("a"), file("b")}, {file("./a")}}, []string{"a=1", "b=0"}},
		{"file replaces directory", [][]tar.Header{{file("a/b")}, {file("a")}}, []string{"a=1"}},
		{"directory replaces file", [][]tar.Header{{file("a")}, {dir("a"), file("a/b")}}, []string{"a/", "a/b=1"}},
		{"directory keeps what is in it", [][]tar.Header{{file("a/b")}, {dir("a")}}, []string{"a/", "a/b=0"}},
		{"whiteout", [][]tar.Header{{file("a/b"), file("a/c")}, {file("a/.wh.b")}}, []string{"a/", "a/c=0"}},
		{"whiteout of a directory", [][]tar.Header{{file("a/b"), file("c")}, {file(".wh.a")}}, []string{"c=0"}},
		{"whiteout spares its own layer", [][]tar.Header{{file("a/b"), file("a/c")}, {file("a/b"), file(".wh.a")}}, []string{"a/", "a/b=1"}},
		{"opaque directory", [][]tar.Header{{file("a/b"), file("a/d/e")}, {file("a/c"), file("a/.wh..wh..opq")}}, []string{"a/", "a/c=1"}},
		{"absolute link means the image", [][]tar.Header{{file("usr/x"), symlink("opt/bin/y", "/usr/x")}},
			[]string{"opt/", "opt/bin/", "opt/bin/y->../../usr/x", "usr/", "usr/x=0"}},
		{"entry through a linked directory", [][]tar.Header{{dir("usr/bin"), symlink("bin", "usr/bin")}, {file("bin/x")}},
			[]string{"bin->usr/bin", "usr/", "usr/bin/", "usr/bin/x=1"}},
		{"hard link", [][]tar.Header{{file("a"), link("b", "/a")}}, []string{"a=0", "b=0"}},
		{"hard link keeps the old content", [][]tar.Header{{file("a"), link("b", "a")}, {file("a")}}, []string{"a=1", "b=0"}},
		{"dots stay inside", [][]tar.Header{{file("../../x"), file("/y")}}, []string{"x=0", "y=0"}},
		{"device is left out", [][]tar.Header{{{Name: "dev/null", Typeflag: tar.TypeChar}, file("a")}}, []string{"a=0", "dev/"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := open(t, t.TempDir())
			ref, err := load(t, e, test.layers)
			if err != nil {
				t.Fatal(err)
			}
			i, err := e.image(ref)
			if err != nil {
				t.Fatal(err)
			}
			if got := tree(t, i.root); !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestImageThatReachesOutsideIsRefused(t *testing.T) {
	outside := t.TempDir()
	up := strings.Repeat("../", 20)
	tests := []struct {
		name   string
		layers [][]tar.Header
	}{
		{"file through a relative link", [][]tar.Header{{symlink("a", up+outside[1:]), file("a/x")}}},
		{"file through a relative link below", [][]tar.Header{{symlink("a", up+outside[1:])}, {file("a/x")}}},
		{"hard link through a relative link", [][]tar.Header{{symlink("a", up+"etc"), link("b", "a/hostname")}}},
		{"whiteout of the directory itself", [][]tar.Header{{file("a/.wh..")}}},
		{"whiteout of the directory above", [][]tar.Header{{file("a/.wh...")}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := open(t, t.TempDir())
			ref, err := load(t, e, test.layers)
			if err == nil || !strings.Contains(err.Error(), "layer ") {
				t.Errorf("Load: got error %v, want one that names the layer", err)
			}
			if _, err := e.image(ref); err == nil {
				t.Errorf("the refused image can be started")
			}
			if left, err := os.ReadDir(e.path("images")); err != nil || len(left) != 0 {
				t.Errorf("images: got %v, error %v; want nothing left", left, err)
			}
		})
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) != 0 {
		t.Errorf("outside: got %v, error %v; want it empty", left, err)
	}
}

func TestProgramThroughALinkOutOfTheImageIsRefused(t *testing.T) {
	e := open(t, t.TempDir())
	ref, err := load(t, e, [][]tar.Header{{symlink("app", strings.Repeat("../", 20)+"bin/busybox")}})
	if err != nil {
		t.Fatal(err)
	}
	err = e.Start(t.Context(), engine.Instance{Group: "g", Name: "0", Image: ref, Command: []string{"/app"}})
	if err == nil || !strings.Contains(err.Error(), "escapes") {
		t.Errorf("Start: got error %v, want that the path escapes", err)
	}
}

func TestLayerThatIsNotTheOneOfTheConfigurationIsRefused(t *testing.T) {
	e := open(t, t.TempDir())
	img := enginetest.NewImage(t, v1.Config{}, []tar.Header{file("a")}, []byte("good"))
	err := e.Load(t.Context(), tampered{img}, enginetest.Ref(t, "landfall.test/app", img))
	if err == nil || !strings.Contains(err.Error(), "layer 1 of 1: its content's digest is") {
		t.Errorf("Load: got error %v, want that the layer's digest differs", err)
	}
}

// tampered is an image whose layers have a byte more than they should.
type tampered struct{ v1.Image }

func (i tampered) Layers() ([]v1.Layer, error) {
	layers, err := i.Image.Layers()
	for n := range layers {
		layers[n] = tamperedLayer{layers[n]}
	}
	return layers, err
}

type tamperedLayer struct{ v1.Layer }

func (l tamperedLayer) Uncompressed() (io.ReadCloser, error) {
	r, err := l.Layer.Uncompressed()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return io.NopCloser(bytes.NewReader(append(data, 0))), err
}

// load loads an image of these layers.
func load(t *testing.T, e *Engine, layers [][]tar.Header) (string, error) {
	t.Helper()
	img := enginetest.NewImage(t, v1.Config{}, layers[0], []byte("0"))
	for n, l := range layers[1:] {
		img = enginetest.AddLayer(t, img, l, []byte(fmt.Sprint(n+1)))
	}
	ref := enginetest.Ref(t, "landfall.test/app", img)
	return ref, e.Load(t.Context(), img, ref)
}

// tree lists all that is in root, in order.
func tree(t *testing.T, root string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name, _ := filepath.Rel(root, path)
		switch {
		case d.IsDir():
			list = append(list, name+"/")
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			list = append(list, name+"->"+target)
			return err
		default:
			content, err := os.ReadFile(path)
			list = append(list, name+"="+string(content))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
