// Package room decides what a build may use: memory, processes, disk, the services
// beside it and the caches, by what its job asks for and by how far it is trusted.
package room

import (
	"fmt"
	"maps"
	"slices"

	"landfall.dev/api"
	"landfall.dev/engine"
	"landfall.dev/kit"
)

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
	r := Room{Limits: limits, Caches: caches(b)}
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
// what has landed write to. A build of a change sees them, and writes to what only
// builds of that change see.
func caches(b api.Build) []engine.Cache {
	var all []engine.Cache
	for _, key := range slices.Sorted(maps.Keys(b.Spec.Cache)) {
		c := engine.Cache{Name: cacheName(b.Project, key), Path: b.Spec.Cache[key]}
		switch {
		case b.Change != "":
			c.Own = cacheName(b.Project, key, "change", b.Change.ID())
		case !landed(b):
			c.Own = cacheName(b.Project, key, "build", b.Link.ID())
		}
		all = append(all, c)
	}
	return all
}

// landed tells whether what is built has landed: pipelines and schedules build
// only that, apart from changes. A person may name any commit.
func landed(b api.Build) bool {
	return b.Change == "" && (b.Run != "" && b.Definitions == b.Commit || b.Source.Kind() == api.Schedules.Name)
}

// cacheName is different for different parts, and fit for engines.
func cacheName(parts ...string) string {
	text := fmt.Sprintf("%q", parts)
	return kit.DigestOf([]byte(text)).Hex()[:24]
}
