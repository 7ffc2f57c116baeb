package harness

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Binaries are what the tests run.
type Binaries struct {
	Landfall string
	// Ledger is the platform's first version, Next its second.
	Ledger, Next string
	Source       string // the checkout
}

// Main builds the binaries by build, runs the tests of m with them, and returns
// the exit code.
func Main(m *testing.M, binaries *Binaries, build func(source, dir string) (Binaries, error)) int {
	dir, err := os.MkdirTemp("", "landfall-test-")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }() // of temporary files
		*binaries, err = build("../..", dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// Build builds everything from the checkout at source into dir.
func Build(source, dir string) (Binaries, error) { return build(source, dir, nil) }

// BuildFaulty does what Build does. The clock and the disk of the platform's
// second version can be disturbed; see Path.Faults.
func BuildFaulty(source, dir string) (Binaries, error) {
	library, err := FaultyLibrary(dir)
	if err != nil {
		return Binaries{}, err
	}
	return build(source, dir, library)
}

// build builds Next with the replaced sources of the standard library.
func build(source, dir string, library map[string]string) (Binaries, error) {
	source, err := filepath.Abs(source)
	b := Binaries{
		Landfall: filepath.Join(dir, "landfall"), Ledger: filepath.Join(dir, "ledger"),
		Next: filepath.Join(dir, "ledger-next"), Source: source,
	}
	if err != nil {
		return b, err
	}
	overlay, err := nextOverlay(source, dir, library)
	if err != nil {
		return b, err
	}
	for _, args := range [][]string{
		{"-o", b.Landfall, "./cmd/landfall"},
		{"-o", b.Ledger, "./examples/ledger"},
		{"-overlay", overlay, "-o", b.Next, "./examples/ledger"},
	} {
		cmd := exec.Command("go", append([]string{"build", "-ldflags", "-s -w"}, args...)...)
		cmd.Dir = source
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return b, fmt.Errorf("go build %v: %w\n%s", args, err, out)
		}
	}
	return b, nil
}

// nextOverlay makes the overlay with which go builds the ledger's next
// version, with the other replaced sources.
func nextOverlay(source, dir string, others map[string]string) (string, error) {
	ledger, next := filepath.Join(source, "examples", "ledger"), filepath.Join(dir, "next")
	if err := os.CopyFS(next, os.DirFS(ledger)); err != nil {
		return "", err
	}
	apply := exec.Command("git", "apply", "--unsafe-paths", "--directory="+next, filepath.Join(ledger, "v2.patch"))
	apply.Dir = next
	if out, err := apply.CombinedOutput(); err != nil {
		return "", fmt.Errorf("v2.patch does not apply: %w\n%s", err, out)
	}
	sources, err := filepath.Glob(filepath.Join(ledger, "*.go"))
	if err != nil {
		return "", err
	}
	replace := maps.Clone(others)
	if replace == nil {
		replace = map[string]string{}
	}
	for _, path := range sources {
		replace[path] = filepath.Join(next, filepath.Base(path))
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o600)
}
