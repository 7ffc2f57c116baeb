package disk

import (
	"syscall"

	"github.com/hashicorp/raft-wal/types"
)

// syncData makes what was written to f durable, and of its metadata what it
// takes to read it: the log's files have their size from the beginning.
func syncData(f types.WritableFile) error {
	file, ok := f.(interface{ Fd() uintptr })
	if !ok {
		return f.Sync()
	}
	for {
		err := syscall.Fdatasync(int(file.Fd()))
		if err != syscall.EINTR {
			return err
		}
	}
}
