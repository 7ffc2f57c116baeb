package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/volume"
	"github.com/moby/moby/client"

	"landfall.dev/engine"
)

const (
	// keepOwn is how long what tasks write over a shared cache is kept unused.
	keepOwn = 7 * 24 * time.Hour

	// trimWait is how long it may take to look after the caches of a task that has
	// ended: the daemon counts all their files.
	trimWait = 2 * time.Minute

	// busyPause is how long a daemon is left alone that counts for somebody else.
	busyPause = 100 * time.Millisecond
)

// kept is a cache, or what is written over one.
type kept struct {
	engine.KeptCache
	over string // the name of the shared one that this is written over
}

// Caches returns what there is, a shared cache before what is written over it.
func (e *Engine) Caches(ctx context.Context) ([]engine.KeptCache, error) {
	all, err := e.measure(ctx)
	if err != nil {
		return nil, fmt.Errorf("measure the caches: %w", err)
	}
	var caches []engine.KeptCache
	for _, k := range all {
		caches = append(caches, k.KeptCache)
	}
	return caches, nil
}

// RemoveCache removes what has that name; with a shared cache what is written
// over it, too. If a task has it, that is an engine.ErrInUse.
func (e *Engine) RemoveCache(ctx context.Context, name string) error {
	e.caches.Lock()
	defer e.caches.Unlock()
	all, err := e.volumes(ctx)
	if err != nil {
		return fmt.Errorf("remove the cache %s: %w", name, err)
	}
	names := []string{}
	for _, v := range all {
		if base, _ := e.part(v.Name); base == name || v.Labels[labelCache] == name {
			names = append(names, base)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("cache %s: %w", name, engine.ErrNoCache)
	}
	slices.Sort(names)
	names = slices.DeleteFunc(slices.Compact(names), func(n string) bool { return n == name })
	for _, base := range append(names, name) {
		if err := e.removeParts(ctx, base); err != nil {
			return fmt.Errorf("remove the cache: %w", err)
		}
	}
	return nil
}

// removeParts removes the volumes of a cache or of what is written over one. The
// view goes first: as long as it is in use, the others stay.
func (e *Engine) removeParts(ctx context.Context, base string) error {
	for _, part := range []string{viewPart, "", workPart, markPart} {
		_, err := e.client.VolumeRemove(ctx, e.volumeName(base)+part, client.VolumeRemoveOptions{})
		if errdefs.IsConflict(err) {
			return engine.ErrInUse
		}
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// part returns of which cache a volume is a part, and which.
func (e *Engine) part(volume string) (base, part string) {
	base = strings.TrimPrefix(volume, e.volumeName(""))
	for _, part := range []string{viewPart, workPart, markPart} {
		if base, ok := strings.CutSuffix(base, part); ok {
			return base, part
		}
	}
	return base, ""
}

// volumes returns all parts of caches.
func (e *Engine) volumes(ctx context.Context) ([]volume.Volume, error) {
	list, err := e.client.VolumeList(ctx, client.VolumeListOptions{Filters: client.Filters{}.Add("label", labelOwner+"="+e.owner, labelCache)})
	return list.Items, err
}

// measure returns the caches with their sizes.
func (e *Engine) measure(ctx context.Context) ([]kept, error) {
	usage, err := e.usage(ctx)
	if err != nil {
		return nil, err
	}
	taken, err := e.mounted(ctx)
	if err != nil {
		return nil, err
	}
	found := map[string]*kept{}
	for _, v := range usage {
		if v.Labels[labelOwner] != e.owner || v.Labels[labelCache] == "" || v.UsageData == nil {
			continue
		}
		base, part := e.part(v.Name)
		k := found[base]
		if k == nil {
			k = &kept{KeptCache: engine.KeptCache{Name: base, InUse: taken[base]}}
			found[base] = k
		}
		k.add(v, part)
	}
	var all []kept
	for _, k := range found {
		if shared := found[k.over]; shared != nil { // who has the one has the other
			shared.InUse = shared.InUse || k.InUse
			shared.Used = later(shared.Used, k.Used)
		}
	}
	for _, k := range found {
		all = append(all, *k)
	}
	slices.SortFunc(all, func(a, b kept) int {
		return cmp.Or(cmp.Compare(a.Title.Project, b.Title.Project), cmp.Compare(a.Title.Key, b.Title.Key),
			cmp.Compare(a.Title.Of, b.Title.Of), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
}

// add takes what a volume that is a part of k tells.
func (k *kept) add(v volume.Volume, part string) {
	k.Title = engine.CacheTitle{Project: v.Labels[labelProject], Key: v.Labels[labelKey], Of: v.Labels[labelOf]}
	if v.Labels[labelOwn] != "" {
		k.over = v.Labels[labelCache]
	}
	if part != viewPart { // which shows what is counted already
		k.Bytes += max(v.UsageData.Size, 0)
	}
	used := v.CreatedAt
	if part == markPart {
		used = v.Labels[labelUsed]
	}
	if at, err := time.Parse(time.RFC3339Nano, used); err == nil {
		k.Used = later(k.Used, at)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// usage asks the daemon for its volumes with their sizes. Older ones count for one
// only at a time.
func (e *Engine) usage(ctx context.Context) ([]volume.Volume, error) {
	for {
		u, err := e.client.DiskUsage(ctx, client.DiskUsageOptions{Volumes: true, Verbose: true})
		if err == nil || !strings.Contains(err.Error(), "already running") {
			return u.Volumes.Items, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(busyPause):
		}
	}
}

// mounted returns the names of the caches that containers have, running or not.
// What the daemon tells with the sizes leaves views out.
func (e *Engine) mounted(ctx context.Context) (map[string]bool, error) {
	list, err := e.client.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, c := range list.Items {
		for _, m := range c.Mounts {
			base, _ := e.part(m.Name)
			names[base] = true
		}
	}
	return names, nil
}

// trim removes what the caches of a task that has ended are too large by, and
// says so in out, and what was written over caches and is old. A task does not
// fail because of it.
func (e *Engine) trim(ctx context.Context, t engine.Task, out io.Writer, now time.Time) {
	if len(t.Caches) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, trimWait)
	defer cancel()
	err := e.mark(ctx, t.Caches, now)
	var all []kept
	if err == nil {
		all, err = e.measure(ctx)
	}
	all = slices.DeleteFunc(all, func(k kept) bool {
		old := k.over != "" && !k.InUse && now.Sub(k.Used) > keepOwn
		if old {
			err = errors.Join(err, e.removeUnused(ctx, k))
		}
		return old
	})
	for _, o := range overflows(all, t) {
		for _, k := range o.gone {
			err = errors.Join(err, e.removeUnused(ctx, k))
		}
		fmt.Fprintf(out, "--- %s\n", o)
	}
	if err != nil {
		fmt.Fprintf(out, "--- the caches could not be looked after: %v\n", err)
	}
}

// removeUnused is RemoveCache, but leaves without a word what a task has taken
// meanwhile: the next that ends looks at it again.
func (e *Engine) removeUnused(ctx context.Context, k kept) error {
	err := e.RemoveCache(ctx, k.Name)
	if errors.Is(err, engine.ErrInUse) || errors.Is(err, engine.ErrNoCache) {
		return nil
	}
	return err
}

// mark notes that a task that had the caches has ended now.
func (e *Engine) mark(ctx context.Context, caches []engine.Cache, now time.Time) error {
	for _, c := range caches {
		for _, own := range slices.Compact([]string{"", c.Own}) {
			name := e.volumeName(cmp.Or(own, c.Name)) + markPart
			if _, err := e.client.VolumeRemove(ctx, name, client.VolumeRemoveOptions{}); err != nil && !errdefs.IsNotFound(err) {
				return err
			}
			labels := titleLabels(c, own)
			labels[labelUsed] = now.UTC().Format(time.RFC3339Nano)
			if _, err := e.volume(ctx, name, nil, labels); err != nil {
				return err
			}
		}
	}
	return nil
}

// overflow is what some caches are too large by.
type overflow struct {
	what         string
	bytes, limit int64
	gone         []kept // what is removed for it, least recently used first
	left         int64  // bytes then; over the limit if the rest is in use
}

func (o overflow) String() string {
	text := fmt.Sprintf("%s: %s, and the limit is %s", o.what, mebibytes(o.bytes), mebibytes(o.limit))
	for i, k := range o.gone {
		text += [2]string{"; removed ", ", "}[min(i, 1)] + fmt.Sprintf("%s (%s)", k.Title, mebibytes(k.Bytes))
	}
	if o.left > o.limit {
		text += "; the rest is in use"
	}
	return text
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// overflows returns what is over the limits of a task's caches and of their
// projects.
func overflows(all []kept, t engine.Task) []overflow {
	var over []overflow
	bound := func(what string, maxMB int64, in func(kept) bool) {
		o := overflow{what: what, limit: maxMB << 20}
		for _, k := range all {
			if in(k) {
				o.bytes += k.Bytes
			}
		}
		o.left = o.bytes
		for maxMB > 0 && o.left > o.limit {
			i := leastUsed(all, in)
			if i < 0 {
				break
			}
			o.gone, o.left = append(o.gone, all[i]), o.left-all[i].Bytes
			all = slices.Delete(slices.Clone(all), i, i+1)
		}
		if maxMB > 0 && o.bytes > o.limit {
			over = append(over, o)
		}
	}
	for _, c := range t.Caches {
		bound("cache "+engine.CacheTitle{Project: c.Title.Project, Key: c.Title.Key}.String(), c.MaxMB,
			func(k kept) bool { return k.Name == c.Name || k.over == c.Name })
	}
	seen := map[string]bool{}
	for _, c := range t.Caches {
		project := c.Title.Project
		if !seen[project] {
			bound("all caches of "+project, t.Limits.CachesMB, func(k kept) bool { return k.Title.Project == project })
		}
		seen[project] = true
	}
	return over
}

// leastUsed returns the index of what can be removed of those that are in, and was
// used least recently: what is written over a cache goes before that itself.
func leastUsed(all []kept, in func(kept) bool) int {
	least := -1
	for i, k := range all {
		if k.InUse || !in(k) {
			continue
		}
		if least < 0 || k.Used.Before(all[least].Used) || k.Used.Equal(all[least].Used) && k.over == all[least].Name {
			least = i
		}
	}
	return least
}
