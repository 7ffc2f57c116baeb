package kill_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"landfall.dev/test/harness"
)

// nodes knows which ledger nodes of unknown run, so that one can be killed at
// once: to ask for its leader would take longer than most states last.
type nodes struct {
	path *harness.Path
	done chan struct{}

	mu    sync.Mutex
	sides [][]harness.Instance // of each group, the oldest first
}

// follow keeps n up to date until ctx ends.
func follow(ctx context.Context, p *harness.Path) *nodes {
	n := &nodes{path: p, done: make(chan struct{})}
	n.look(ctx)
	go func() {
		defer close(n.done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				n.look(ctx)
			}
		}
	}()
	return n
}

func (n *nodes) look(ctx context.Context) {
	groups, err := n.path.Groups(ctx)
	if err != nil {
		return // the agent was killed, too: what was known holds on
	}
	var sides [][]harness.Instance
	for _, g := range groups {
		if running := n.path.Instances(ctx, g); len(running) > 0 {
			sides = append(sides, running)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sides = sides
}

var errNobody = errors.New("no ledger node runs")

// kill ends a leader or a follower, of the oldest or the newest group; if none
// of those runs, another node of the group.
func (n *nodes) kill(newest, leader bool) (harness.Instance, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.sides) > 0 {
		at := 0
		if newest {
			at = len(n.sides) - 1
		}
		side := n.sides[at]
		if len(side) == 0 {
			break // they start again
		}
		i := max(0, slices.IndexFunc(side, func(i harness.Instance) bool { return i.Leads == leader }))
		victim := side[i]
		n.sides[at] = slices.Delete(side, i, i+1)
		if err := victim.Kill(); err == nil {
			return victim, nil
		}
	}
	return harness.Instance{}, errNobody
}

// livePlaces are the states of live upgrades, and of going back from them, that come
// without any failure.
var livePlaces = []place{
	{name: "upgrades", kind: "upgrades", typ: "UpgradeState", states: liveState, never: map[string]string{
		"planned":   "it is written together with provision, as a moment of the history",
		"released":  "it is written together with soak, as a moment of the history",
		"retired":   "the group is gone then",
		"aborting":  "the cutover may succeed nevertheless",
		"aborted":   "the cutover may succeed nevertheless",
		"rehearsed": "only rehearsals end there",
	}},
}

func TestLedgerNodesAreKilledAtEveryStateOfAnUpgrade(t *testing.T) {
	for _, test := range []struct {
		name          string
		green, leader bool
	}{
		{"blue's leader", false, true},
		{"a follower of blue's", false, false},
		{"green's leader", true, true},
		{"a follower of green's", true, false},
	} {
		t.Run(test.name, func(t *testing.T) { killNodes(t, test.green, test.leader) })
	}
}

func killNodes(t *testing.T, green, leader bool) {
	p := harness.New(t, binaries)
	p.Deliver(1)
	p.Fill()
	o := &outages{load: p.NewLoad(rate)}
	ctx, cancel := context.WithCancel(t.Context())
	n := follow(ctx, p)
	defer func() { cancel(); <-n.done }()
	k := newKiller(t, p.Dir("unknown/node"), livePlaces, func(s spot) (func(), bool) {
		back := o.begin()
		victim, err := n.kill(green, leader)
		back(t.Context(), victim.Back)
		if err != nil {
			t.Logf("at %s %s: %v", s.place, s.state, err)
			return nil, false
		}
		return func() { t.Logf("that was %s", victim) }, true
	})
	rounds(t, backAndForth(p, o.load), k)
	o.finish(t)
}
