package linear

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"landfall.dev/test/harness"
)

// program is the path of the built node.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "linear")
	if err == nil {
		program = filepath.Join(dir, "node")
		err = build(dir)
	}
	code := 1
	if err == nil {
		removeLeftovers()
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// build builds the node out of the product's own packages, unchanged, and of a
// standard library whose clock and disk the test can disturb.
func build(dir string) error {
	replace, err := harness.FaultyLibrary(dir)
	if err != nil {
		return err
	}
	overlay := filepath.Join(dir, "overlay.json")
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err == nil {
		err = os.WriteFile(overlay, b, 0o600)
	}
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-overlay", overlay, "-o", program, "./node")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the node: %w\n%s", err, out)
	}
	return nil
}
