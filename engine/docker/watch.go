package docker

import (
	"cmp"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/volume"
	"github.com/moby/moby/client"

	"landfall.dev/engine"
)

const (
	// watchEvery is the least time between two looks at what a task uses.
	watchEvery = time.Second
	// watchShare is the part of the time that looking may take: one of so many.
	watchShare = 10
	// cacheShare is the same for looking at caches, which is work for the daemon.
	cacheShare = 50
	// stuckAfter is in how many looks in turn a task has as many processes as it
	// may, until it is killed: it is a fork bomb, or will not succeed anyway.
	stuckAfter = 4
)

// watch looks at what a task uses until ctx ends, kills its container if that is
// too much, and tells in the result why.
func (e *Engine) watch(ctx context.Context, id string, t engine.Task) engine.Result {
	var why engine.Result
	full := 0
	var next time.Time // to look at the caches
	for pause := watchEvery; t.Limits.Pids > 0 || t.Limits.DiskMB > 0; {
		select {
		case <-ctx.Done():
			return why
		case <-time.After(pause):
		}
		began := time.Now()
		full++
		if !e.isFull(ctx, id, t.Limits.Pids) {
			full = 0
		}
		why.OutOfPids = full >= stuckAfter
		why.OutOfDisk = t.Limits.DiskMB > 0 && e.written(ctx, id, t) > t.Limits.DiskMB<<20
		pause = max(watchEvery, watchShare*time.Since(began))
		if began := time.Now(); began.After(next) && !why.OutOfDisk {
			why.OutOfDisk = e.filled(ctx, t)
			next = time.Now().Add(cacheShare * time.Since(began))
		}
		if why.OutOfPids || why.OutOfDisk {
			_, _ = e.client.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "KILL"}) // or it has ended
			return why
		}
	}
	return why
}

// isFull tells whether a container has as many processes as it may, or nearly:
// those that fail to begin another end. One that cannot be asked has not.
func (e *Engine) isFull(ctx context.Context, id string, limit int64) bool {
	if limit <= 0 {
		return false
	}
	answer, err := e.client.ContainerStats(ctx, id, client.ContainerStatsOptions{})
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	var stats container.StatsResponse
	err = json.NewDecoder(answer.Body).Decode(&stats)
	return err == nil && stats.PidsStats.Current >= uint64(limit-limit/20)
}

// written is how many bytes a task has in its workspace and its container.
func (e *Engine) written(ctx context.Context, id string, t engine.Task) int64 {
	var bytes int64
	if found, err := e.client.ContainerInspect(ctx, id, client.ContainerInspectOptions{Size: true}); err == nil && found.Container.SizeRw != nil {
		bytes = *found.Container.SizeRw
	}
	if e.host.elsewhere {
		return bytes
	}
	_ = filepath.WalkDir(t.Dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return nil // what is gone meanwhile has no size
		}
		if info, err := d.Info(); err == nil {
			bytes += onDisk(info)
		}
		return nil
	})
	return bytes
}

// filled tells whether a task has written so much into a cache, which can have
// been as large as it may be, that it is over the limit of what it may write.
func (e *Engine) filled(ctx context.Context, t engine.Task) bool {
	if len(t.Caches) == 0 || t.Limits.DiskMB == 0 {
		return false
	}
	volumes, err := e.usage(ctx)
	return err == nil && slices.ContainsFunc(t.Caches, func(c engine.Cache) bool {
		i := slices.IndexFunc(volumes, func(v volume.Volume) bool { return v.Name == e.volumeName(cmp.Or(c.Own, c.Name)) })
		return c.MaxMB > 0 && i >= 0 && volumes[i].UsageData != nil && volumes[i].UsageData.Size > (c.MaxMB+t.Limits.DiskMB)<<20
	})
}

// onDisk is what a file takes, holes left out.
func onDisk(info os.FileInfo) int64 {
	const block = 512 // POSIX leaves it open, Linux does not
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Blocks * block
	}
	return info.Size()
}
