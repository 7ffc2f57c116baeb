//go:build linux || darwin || freebsd

package presence

import "golang.org/x/sys/unix"

// freeDisk returns the bytes that are free for programs on dir's disk, 0 if it
// cannot be known.
func freeDisk(dir string) int64 {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return 0
	}
	return int64(st.Bavail) * int64(st.Bsize) //nolint:unconvert // their types differ between systems
}
