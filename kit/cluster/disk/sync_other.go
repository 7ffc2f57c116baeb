//go:build !linux

package disk

import "github.com/hashicorp/raft-wal/types"

// syncData makes what was written to f durable.
func syncData(f types.WritableFile) error { return f.Sync() }
