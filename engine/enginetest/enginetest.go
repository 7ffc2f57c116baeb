// Package enginetest is the contract suite that every engine passes.
package enginetest

import (
	"archive/tar"
	"bytes"
	"cmp"
	_ "embed"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"landfall.dev/engine"
)

// Repository is the name of the images that this process loads.
var Repository = "landfall.test/program-" + strconv.Itoa(os.Getpid())

// Deadline is how long the suite waits for anything.
const Deadline = 30 * time.Second

// Subject is an engine under test.
type Subject struct {
	// Open returns a new Engine value. All values that it returns share their
	// state, so that a later one stands for the engine after a restart.
	Open func() engine.Engine

	// Tools is the reference of a loaded image with sh, sleep, echo, printf,
	// cat and test, for tasks. An engine that ignores Task.Image needs none.
	Tools string
}

// Contract runs the whole suite. The groups and tasks that it starts are named
// after t and stopped at its end.
func Contract(t *testing.T, s Subject) {
	t.Run("tasks", func(t *testing.T) { Tasks(t, s) })
	t.Run("instances", func(t *testing.T) { instances(t, s) })
}

//go:embed testdata/main.go
var program []byte

// Image is an image of one layer whose entrypoint is the suite's program,
// compiled here. It needs the go command.
func Image(t testing.TB) v1.Image {
	t.Helper()
	dir := t.TempDir()
	source, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "main")
	if err := os.WriteFile(source, program, 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", binary, source)
	build.Dir = dir
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the test program: %v\n%s", err, out)
	}
	data, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	return NewImage(t, v1.Config{Entrypoint: []string{"/bin/main"}, Env: []string{"IMAGE_SAYS=hello"}},
		[]tar.Header{{Name: "bin/main", Mode: 0o755}}, data)
}

// busybox names a static busybox other than /bin/busybox.
const busybox = "LANDFALL_TEST_BUSYBOX"

// tools are those of ToolsImage.
var tools = []string{"cat", "cp", "dd", "echo", "env", "grep", "httpd", "id", "ln", "ls", "mkdir", "mv", "printf", "rm", "sh",
	"sleep", "sort", "tail", "tr", "true", "wget", "yes"}

// ToolsImage is an image with a shell and tools. Those with another mark, which is
// in the environment, have another digest.
func ToolsImage(t testing.TB, mark string) v1.Image {
	t.Helper()
	data, err := os.ReadFile(cmp.Or(os.Getenv(busybox), "/bin/busybox"))
	if err != nil {
		t.Fatalf("these tests need a static busybox: install busybox-static, or name one in %s: %v", busybox, err)
	}
	entries := []tar.Header{{Name: "bin/busybox", Mode: 0o755}}
	for _, tool := range tools {
		entries = append(entries, tar.Header{Name: "bin/" + tool, Linkname: "busybox", Typeflag: tar.TypeSymlink})
	}
	return NewImage(t, v1.Config{Env: []string{"PATH=/bin", "MARK=" + mark}}, entries, data)
}

// NewImage is an image of one layer with the given entries. Each regular file
// has the same content.
func NewImage(t testing.TB, config v1.Config, entries []tar.Header, content []byte) v1.Image {
	t.Helper()
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: runtime.GOARCH, Config: config})
	if err != nil {
		t.Fatal(err)
	}
	return AddLayer(t, img, entries, content)
}

// AddLayer is img with one more layer, made as by NewImage.
func AddLayer(t testing.TB, img v1.Image, entries []tar.Header, content []byte) v1.Image {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, h := range entries {
		if h.Typeflag == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write(content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.AppendLayers(img, layer)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// Ref is name@digest for img.
func Ref(t testing.TB, name string, img v1.Image) string {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return name + "@" + d.String()
}

// Eventually returns once what returns "", and fails t with what it says if
// that takes longer than Deadline.
func Eventually(t testing.TB, what func() string) {
	t.Helper()
	deadline := time.NewTimer(Deadline)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		wrong := what()
		if wrong == "" {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("after %s: %s", Deadline, wrong)
		case <-tick.C:
		}
	}
}
