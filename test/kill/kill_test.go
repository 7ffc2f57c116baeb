// Package kill_test ends processes with SIGKILL while a version goes its way,
// at every state that the product persists and at random moments, starts them
// again, and sees to it that the path comes to its end and nothing that was
// acknowledged is lost.
package kill_test

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"landfall.dev/test/harness"
)

var binaries harness.Binaries

func TestMain(m *testing.M) { os.Exit(harness.Main(m, &binaries, harness.Build)) }

const (
	rate      = 50 // requests a second
	maxRounds = 6  // versions, until everything was killed everywhere
)

// atOnce returns a strike that kills the role and starts it again.
func atOnce(r *harness.Role) func(spot) (func(), bool) {
	return func(spot) (func(), bool) {
		r.Kill()
		return r.Start, true
	}
}

// rounds carries versions from the second on through the path, as deliver does
// it, until killers have nothing left to do.
func rounds(t *testing.T, deliver func(n int), killers ...*killer) {
	t.Helper()
	for n := 2; ; n++ {
		deliver(n)
		var left []spot
		for _, k := range killers {
			left = append(left, k.left()...)
		}
		if len(left) == 0 {
			break
		}
		if n == maxRounds {
			t.Errorf("after %d versions nothing was killed at %v", n, left)
			break
		}
		t.Logf("after version %d there are left: %v", n, left)
	}
	for _, k := range killers {
		k.stop()
	}
}

// backAndForth delivers a version under the load. Every other one is rolled
// back once it runs, from the third on: the load cannot count the money of the
// first.
func backAndForth(p *harness.Path, load *harness.Load) func(n int) {
	return func(n int) {
		p.Deliver(n)
		if n%2 == 1 {
			load.GoBack()
		}
	}
}

func TestTheHubIsKilledAtEveryState(t *testing.T) {
	p := harness.New(t, binaries)
	k := newKiller(t, p.Dir("hub"), hubPlaces, atOnce(p.Hub))
	p.Deliver(1)
	p.Fill()
	o := &outages{load: p.NewLoad(rate)}
	rounds(t, func(n int) {
		p.ReleaseAmongOthers(n)
		p.Promote(n)
	}, k)
	o.finish(t)
}

func TestTheAgentIsKilledAtEveryState(t *testing.T) {
	p := harness.New(t, binaries)
	p.Deliver(1)
	p.Fill()
	o := &outages{load: p.NewLoad(rate)}
	unknown := newKiller(t, p.Dir("unknown/node"), agentPlaces, func(spot) (func(), bool) {
		back := o.begin()
		p.Unknown.Kill()
		return func() {
			p.Unknown.Start()
			back(t.Context(), nil)
		}, true
	})
	staging := newKiller(t, p.Dir("staging/node"), stagingPlaces, atOnce(p.Staging))
	rounds(t, backAndForth(p, o.load), unknown, staging)
	o.finish(t)
}

// buildPlaces are where a runner is at work.
var buildPlaces = []place{
	{name: "builds", kind: "builds", typ: "BuildState", states: state, never: map[string]string{
		"created": "no runner knows of it", "waiting": "no runner has it", "queued": "no runner has it", "passed": "the runner is done with it",
		"failed": "the scripts pass", "error": "the infrastructure works", "cancelled": "no patch set replaces another",
	}},
}

// TestTheRunnerIsKilledAtWork takes as long as a lease.
func TestTheRunnerIsKilledAtWork(t *testing.T) {
	p := harness.New(t, binaries)
	k := newKiller(t, p.Dir("hub"), buildPlaces, atOnce(p.Runner))
	p.Deliver(1)
	k.stop()
	if left := k.left(); len(left) > 0 {
		t.Errorf("nothing was killed at %v", left)
	}
}

// TestEverythingIsKilledAtRandom prints its seed; LANDFALL_SEED plays it again.
func TestEverythingIsKilledAtRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("LANDFALL_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("LANDFALL_SEED: %v", err)
		}
	}
	t.Logf("LANDFALL_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	p := harness.New(t, binaries)
	p.Deliver(1)
	p.Fill()
	o := &outages{load: p.NewLoad(rate)}
	ctx, cancel := context.WithCancel(t.Context())
	n := follow(ctx, p)
	killed := make(chan struct{})
	defer func() { cancel(); <-n.done; <-killed }()
	go func() {
		defer close(killed)
		for left := moments; left > 0; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Duration(random.Int64N(int64(2 * time.Second)))):
			}
			if atRandom(t, random, p, n, o) {
				left--
			}
		}
	}()
	deliver, version := backAndForth(p, o.load), 2
	for going := true; going; version++ {
		deliver(version)
		select {
		case <-killed:
			going = false
		default:
		}
	}
	o.finish(t)
}

// moments are how many times something is killed at random.
const moments = 5

// atRandom kills the hub, unknown's agent or a ledger node. It returns false if
// there was nobody to kill.
func atRandom(t *testing.T, random *rand.Rand, p *harness.Path, n *nodes, o *outages) bool {
	newer, leader := random.IntN(2) == 1, random.IntN(2) == 1
	switch random.IntN(3) {
	case 0:
		t.Log("killed the hub")
		p.Hub.Kill()
		p.Hub.Start()
	case 1:
		t.Log("killed the agent")
		back := o.begin()
		p.Unknown.Kill()
		p.Unknown.Start()
		back(t.Context(), nil)
	case 2:
		back := o.begin()
		victim, err := n.kill(newer, leader)
		back(t.Context(), victim.Back)
		t.Logf("killed %s (%v)", victim, err)
		return err == nil
	}
	return true
}
