// Package room decides what a build may use: memory, processes, disk, the services
// beside it and the caches, by what its job asks for and by how far it is trusted.
package room

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"landfall.dev/api"
	"landfall.dev/engine"
	"landfall.dev/kit"
)

// defaultCacheMB is the limit of a cache whose job names none.
const defaultCacheMB = 10 << 10

// Room is what a build is given besides its workspace.
type Room struct {
	Limits   engine.Limits
	Services []engine.Service
	Caches   []engine.Cache
}

// For returns what the build asks for. Its limits are at most those of its
// runner, which most are; that it asks for more is an error.
func For(b api.Build, most engine.Limits) (Room, error) {
	limits, err := limits(b.Spec.Resources, most)
	if err != nil {
		return Room{}, err
	}
	r := Room{Limits: limits}
	if r.Caches, err = caches(b, limits.CachesMB); err != nil {
		return Room{}, err
	}
	for _, s := range b.Spec.Services {
		r.Services = append(r.Services, engine.Service{
			Name: s.Name, Image: s.Image, Command: s.Command, Env: s.Env, Ready: s.Ready, Limits: limits,
		})
	}
	return r, nil
}

func limits(want *api.Resources, l engine.Limits) (engine.Limits, error) {
	if want == nil {
		return l, nil
	}
	for _, of := range []struct {
		what  string
		limit *int64
		want  int64
	}{
		{"MiB of memory", &l.MemoryMB, want.MemoryMB},
		{"processes", &l.Pids, want.Pids},
		{"MiB of disk", &l.DiskMB, want.DiskMB},
	} {
		if *of.limit > 0 && of.want > *of.limit {
			return l, fmt.Errorf("the job asks for %d %s, but its runner gives a build %d at most", of.want, of.what, *of.limit)
		}
		if of.want > 0 {
			*of.limit = of.want
		}
	}
	if l.CPUs > 0 && want.CPUs > l.CPUs {
		return l, fmt.Errorf("the job asks for %g processors, but its runner gives a build %g at most", want.CPUs, l.CPUs)
	}
	if want.CPUs > 0 {
		l.CPUs = want.CPUs
	}
	return l, nil
}

// caches are those of the job: each project has its own, which only builds of
// what was reviewed write to. A build of a change sees them, and writes to what only
// builds of that change see; any other writes to what only it sees.
func caches(b api.Build, most int64) ([]engine.Cache, error) {
	var all []engine.Cache
	for _, key := range slices.Sorted(maps.Keys(b.Spec.Cache)) {
		limit := cmp.Or(b.Spec.CacheMB[key], defaultCacheMB)
		if most > 0 && limit > most {
			if b.Spec.CacheMB[key] > 0 {
				return nil, fmt.Errorf("the job asks for %d MiB for its cache %s, but its runner keeps %d for a project at most", limit, key, most)
			}
			limit = most
		}
		c := engine.Cache{
			Name: cacheName(b.Project, key), Path: b.Spec.Cache[key], MaxMB: limit,
			Title: engine.CacheTitle{Project: b.Project, Key: key},
		}
		switch {
		case b.Change != "":
			c.Own, c.Title.Of = cacheName(b.Project, key, "change", b.Change.ID()), string(b.Change)
		case !b.Trusted:
			c.Own, c.Title.Of = cacheName(b.Project, key, "build", b.Link.ID()), string(b.Link)
		}
		all = append(all, c)
	}
	return all, nil
}

// cacheName is different for different parts, and fit for engines.
func cacheName(parts ...string) string {
	text := fmt.Sprintf("%q", parts)
	return kit.DigestOf([]byte(text)).Hex()[:24]
}
