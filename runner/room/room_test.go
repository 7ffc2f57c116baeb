package room

import (
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/engine"
	"landfall.dev/kit"
)

func TestLimitsAreThoseOfTheJobWithinTheRunners(t *testing.T) {
	most := engine.Limits{CPUs: 2, MemoryMB: 1000, Pids: 100}
	tests := []struct {
		name string
		want *api.Resources
		gets engine.Limits
		err  string
	}{
		{"nothing asked for", nil, most, ""},
		{"less", &api.Resources{CPUs: 0.5, MemoryMB: 10, Pids: 9, DiskMB: 8}, engine.Limits{CPUs: 0.5, MemoryMB: 10, Pids: 9, DiskMB: 8}, ""},
		{"too much memory", &api.Resources{MemoryMB: 2000}, most, "asks for 2000 MiB of memory, but its runner gives a build 1000 at most"},
		{"too many processors", &api.Resources{CPUs: 3}, most, "asks for 3 processors"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := For(api.Build{Spec: &api.JobSpec{Resources: test.want}}, most)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got error %v, want %q", err, test.err)
				}
				return
			}
			if err != nil || r.Limits != test.gets {
				t.Errorf("got %+v, error %v; want %+v", r.Limits, err, test.gets)
			}
		})
	}
}

func TestWhatWasNotReviewedWritesNoSharedCache(t *testing.T) {
	build := func(edit func(*api.Build)) engine.Cache {
		b := api.Build{Meta: kit.Meta{Link: "builds/1"}, Project: "ledger", Spec: &api.JobSpec{Cache: map[string]string{"go": "/go"}}}
		edit(&b)
		r, err := For(b, engine.Limits{})
		if err != nil || len(r.Caches) != 1 || r.Caches[0].Path != "/go" {
			t.Fatalf("got %+v, error %v", r.Caches, err)
		}
		return r.Caches[0]
	}
	landed := build(func(b *api.Build) { b.Trusted = true })
	change := build(func(b *api.Build) { b.Trusted, b.Change = true, "changes/42" })
	other := build(func(b *api.Build) { b.Run, b.Change = "runs/43", "changes/43" })
	hand := build(func(*api.Build) {})
	unreviewed := build(func(b *api.Build) { b.Run, b.Source = "runs/main", "schedules/nightly" })
	foreign := build(func(b *api.Build) { b.Trusted, b.Project = true, "other" })
	if landed.Own != "" {
		t.Error("what was reviewed does not write to the shared cache")
	}
	if change.Own == "" || hand.Own == "" || unreviewed.Own == "" || change.Own == other.Own || change.Own == hand.Own {
		t.Errorf("changes write to %q and %q, a build by hand to %q; want three of their own", change.Own, other.Own, hand.Own)
	}
	if change.Name != landed.Name || hand.Name != landed.Name || foreign.Name == landed.Name {
		t.Error("want the builds of a project to see its cache, and others not")
	}
}

func TestCachesHaveLimits(t *testing.T) {
	for _, test := range []struct {
		name       string
		asks, most int64
		gets       int64
		err        string
	}{
		{"that nobody names", 0, 0, defaultCacheMB, ""},
		{"of the job", 100, 200, 100, ""},
		{"of the runner, for a job that names none", 0, 200, 200, ""},
		{"above the runner's", 300, 200, 0, "the job asks for 300 MiB for its cache go, but its runner keeps 200 for a project at most"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := api.Build{Project: "ledger", Spec: &api.JobSpec{Cache: map[string]string{"go": "/go"}}}
			if test.asks > 0 {
				b.Spec.CacheMB = map[string]int64{"go": test.asks}
			}
			r, err := For(b, engine.Limits{CachesMB: test.most})
			if test.err != "" {
				if err == nil || err.Error() != test.err {
					t.Errorf("got error %v, want %q", err, test.err)
				}
				return
			}
			if err != nil || r.Caches[0].MaxMB != test.gets || r.Caches[0].Title.Key != "go" {
				t.Errorf("got %+v, error %v; want %d MiB", r.Caches, err, test.gets)
			}
		})
	}
}
