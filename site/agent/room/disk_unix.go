//go:build linux || darwin || freebsd

package room

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// freeDisk returns the bytes that are free for programs on dir's disk.
func freeDisk(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:unconvert // their types differ between systems
}
