// Package room tells what a node takes of its machine.
package room

import "runtime/metrics"

// Room is what a node takes of its machine, in bytes. A copy of its documents
// takes about as much.
type Room struct {
	Memory int64 `json:"memory"`
	Disk   int64 `json:"disk"`
}

// disk is a node that knows how much it keeps on its disk, in bytes.
type disk interface{ Disk() int64 }

// Of returns what the node, in whose process this is, takes of its machine.
func Of(node any) Room {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	r := Room{Memory: int64(sample[0].Value.Uint64() - sample[1].Value.Uint64())}
	if d, ok := node.(disk); ok {
		r.Disk = d.Disk()
	}
	return r
}
