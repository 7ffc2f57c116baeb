//go:build !linux && !darwin && !freebsd

package room

// freeDisk returns 0: it is not known.
func freeDisk(string) (int64, error) { return 0, nil }
