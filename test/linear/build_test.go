package linear

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
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

// edits are where the standard library's sources are made to be faulty: below
// each first text, which there is once, the second is added.
var edits = map[string][][2]string{
	"time/time.go": {
		{"\tsec, nsec, mono := runtimeNow()\n", "\tsec += syscall.FaultySkew()\n"},
		{"import (\n\t\"errors\"\n", "\t\"syscall\"\n"},
	},
	"syscall/zsyscall_linux_" + runtime.GOARCH + ".go": {
		{"func Fsync(fd int) (err error) {\n", "\tslowDisk()\n"},
		{"func Fdatasync(fd int) (err error) {\n", "\tslowDisk()\n"},
	},
}

// build builds the node out of the product's own packages, unchanged, and of a
// standard library whose clock and disk the test can disturb.
func build(dir string) error {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	std := filepath.Join(strings.TrimSpace(string(root)), "src")
	fault, err := filepath.Abs("testdata/fault.go.txt")
	if err != nil {
		return err
	}
	replace := map[string]string{filepath.Join(std, "syscall/fault.go"): fault}
	for name, changes := range edits {
		b, err := os.ReadFile(filepath.Join(std, name))
		if err != nil {
			return err
		}
		text := string(b)
		for _, c := range changes {
			if strings.Count(text, c[0]) != 1 {
				return fmt.Errorf("%s of this Go has not once %q: mend the edits of this test", name, c[0])
			}
			text = strings.Replace(text, c[0], c[0]+c[1], 1)
		}
		path := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
		replace[filepath.Join(std, name)] = path
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
