package harness

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

//go:embed fault.go.txt
var fault []byte

// FaultsVariable is the environment variable that names the file of faults of
// a program that was built with FaultyLibrary; see Skew, SlowDisk and FillDisk.
const FaultsVariable = "LINEAR_FAULTS"

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
		{"func pwrite(fd int, p []byte, offset int64) (n int, err error) {\n", "\tif err := noSpace(); err != nil {\n\t\treturn 0, err\n\t}\n"},
	},
}

// FaultyLibrary writes into dir what an overlay has to replace for a standard
// library whose clock and disk a test can disturb, and returns it.
func FaultyLibrary(dir string) (replace map[string]string, err error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	std := filepath.Join(strings.TrimSpace(string(root)), "src")
	own := filepath.Join(dir, "fault.go")
	if err := os.WriteFile(own, fault, 0o600); err != nil {
		return nil, err
	}
	replace = map[string]string{filepath.Join(std, "syscall/fault.go"): own}
	for name, changes := range edits {
		b, err := os.ReadFile(filepath.Join(std, name))
		if err != nil {
			return nil, err
		}
		text := string(b)
		for _, c := range changes {
			if strings.Count(text, c[0]) != 1 {
				return nil, fmt.Errorf("%s of this Go has not once %q: mend the edits of this test", name, c[0])
			}
			text = strings.Replace(text, c[0], c[0]+c[1], 1)
		}
		path := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
		replace[filepath.Join(std, name)] = path
	}
	return replace, nil
}

// Skew says in a file of faults by what the clocks of the processes that map it
// are off. It works at once.
func Skew(path string, by time.Duration) error { return write8(path, 0, int64(by/time.Second)) }

// SlowDisk says in a file of faults by what each sync of the processes that map
// it takes longer. It works at once.
func SlowDisk(path string, by time.Duration) error { return write8(path, 8, int64(by)) }

// FillDisk says in a file of faults whether the disk of the processes that map it
// is full, which their logs notice. It works at once.
func FillDisk(path string, full bool) error {
	var value int64
	if full {
		value = 1
	}
	return write8(path, 16, value)
}

func write8(path string, at, value int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(value)), at)
	return err
}
