package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster/warnings"
)

// spreadLimit bounds the wait for all members to apply an entry.
const spreadLimit = 10 * time.Second

// spread returns once every member that is alive has applied the entry at
// index. Who dies meanwhile is not waited for.
func (n *Node) spread(ctx context.Context, index uint64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, spreadLimit, fmt.Errorf("waited %v", spreadLimit))
	defer cancel()
	var g sync.WaitGroup
	var mu sync.Mutex
	var behind []string
	for _, m := range n.Members() {
		if m.ID == n.ID() || !m.Alive {
			continue
		}
		g.Go(func() {
			if !n.appliedBy(ctx, m.ID, index) {
				mu.Lock()
				defer mu.Unlock()
				behind = append(behind, m.ID)
			}
		})
	}
	g.Wait()
	if len(behind) == 0 {
		return nil
	}
	slices.Sort(behind)
	return &kit.Error{
		Fault: kit.ErrTimeout, Op: "cluster.write", Err: context.Cause(ctx),
		Detail: "the change is made and durable, but not applied yet by " + strings.Join(behind, ", "),
		Hint:   "do not repeat it: those members will catch up",
	}
}

// appliedBy returns true once the member id has applied the entry at index, or
// is dead, and false if ctx ends before.
func (n *Node) appliedBy(ctx context.Context, id string, index uint64) bool {
	retry := time.NewTicker(tick)
	defer retry.Stop()
	for n.roster.Sight(id).Alive {
		if _, err := n.transport.Ask(ctx, id, askApplied, index); err == nil {
			return true
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// condense has a snapshot replace the log whenever its entries have become too
// large; raft itself looks at their number. In a rush, as when the cluster is
// filled, it waits for 6 times as many bytes: a restart then takes seconds. A
// rush is over when little has come for some ticks: disks stall for one.
func (n *Node) condense(ctx context.Context) error {
	log := warnings.New(n.log, "snapshots")
	ticks := time.NewTicker(5 * tick)
	defer ticks.Stop()
	const calm = 4                           // ticks without a rush after one
	for before, quiet := int64(0), calm; ; { // bytes at the last tick
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
		bytes, kept, least := n.replica.grown.Load(), n.replica.kept.Load(), n.config.SnapshotBytes
		if quiet++; bytes-before >= least/16 {
			quiet = 0
		}
		before = bytes
		if rushes := quiet < calm && bytes < max(6*least, kept); rushes || bytes < max(least, kept/2) {
			continue
		}
		if err := n.await(n.raft.Snapshot()); err != nil && ctx.Err() == nil {
			log.Warn("condense", "waited to replace the log by a snapshot", "err", err)
		}
	}
}
