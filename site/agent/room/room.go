// Package room measures what a machine has free.
package room

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"landfall.dev/api"
)

// memoryFile is where Linux tells what is free.
const memoryFile = "/proc/meminfo"

// Free returns the memory that programs may still take, and what is free on the
// disk of the directory.
func Free(dir string) (api.Room, error) {
	memory, err := freeMemory(memoryFile)
	if err != nil {
		return api.Room{}, err
	}
	disk, err := freeDisk(dir)
	return api.Room{Memory: memory, Disk: disk}, err
}

// freeMemory returns the bytes that the file tells as available, 0 if there is
// no such file.
func freeMemory(path string) (int64, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		rest, found := strings.CutPrefix(lines.Text(), "MemAvailable:")
		if !found {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: MemAvailable: %w", path, err)
		}
		return n << 10, nil
	}
	return 0, nil
}
