package soak

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"landfall.dev/api"
)

// setting reads a number from the environment.
func setting(t *testing.T, name string, without int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return without
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q: it must be a number from 1 on", name, text)
	}
	return n
}

func TestSoak(t *testing.T) {
	seed := setting(t, "LANDFALL_SEED", int(time.Now().UnixNano()>>10&0xffffff)+1)
	n := setting(t, "SOAK_BUILDS", 8)
	t.Logf("LANDFALL_SEED=%d SOAK_BUILDS=%d", seed, n)
	p := newPlace(t)
	s := striker{place: p, rand: rand.New(rand.NewPCG(uint64(seed), 0)), hit: map[string]bool{}}
	began := time.Now()
	of := map[string]sort{}
	for i := range n {
		id := fmt.Sprintf("b%d", i)
		of[id] = sorts[(i+seed)%len(sorts)]
		p.order(id, of[id].job)
	}
	builds := p.carryOn(of, &s)
	t.Logf("%d builds and %s in %s", n, s.tally(), time.Since(began).Round(time.Second))
	p.settle()
	seen := map[string]int{}
	for _, b := range builds {
		seen[fmt.Sprintf("%s %s", of[b.Link.ID()].job, b.State)]++
		p.judge(b, of[b.Link.ID()], &s)
	}
	t.Logf("verdicts: %v", seen)
}

// carryOn strikes until all builds have ended and returns them. After each strike
// it waits until another build has ended.
func (p *place) carryOn(of map[string]sort, s *striker) []api.Build {
	p.t.Helper()
	before, stalled := -1, time.Now()
	for {
		builds := p.builds()
		done, running := 0, 0
		for _, b := range builds {
			switch {
			case b.State.Done() && b.LogDigest != "":
				done++
			case b.State == api.BuildRunning:
				running++
				if of[b.Link.ID()].state == api.BuildCancelled {
					p.cancel(b)
				}
			}
		}
		over := done == len(of)
		if over && s.complete() {
			return builds
		}
		if over || done != before && running > 0 {
			before, stalled = done, time.Now()
			s.strike()
		}
		if time.Since(stalled) > patience {
			p.t.Fatalf("no build has ended for %s; there are %s", patience, describe(builds))
		}
		p.pause(100 * time.Millisecond)
	}
}

func describe(builds []api.Build) string {
	text := ""
	for _, b := range builds {
		if !b.State.Done() || b.LogDigest == "" {
			text += fmt.Sprintf("\n%s of %s: %s on %s, attempt %d", b.Link.ID(), b.Job, b.State, b.Runner, b.Attempt)
		}
	}
	return text
}
