package kittest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
)

// Script is what Simulate plays: the services of a platform and what its
// clients do. Its functions are called concurrently, for several schedules.
type Script struct {
	// Services own the kinds. Their lives are the real ones; their reactions
	// are not called, and the Outcome below takes the place of their actions.
	Services []kit.Service
	// Next returns the next proposal of a client that sees the documents of some
	// node, maybe old ones: Writes with By set, or any other. It takes every
	// choice from r, else a seed does not replay. A proposal of nothing is left
	// out.
	Next func(r *rand.Rand, see *store.Store) store.Proposal
	// Outcome is what comes of an action: the event, NAME.done or NAME.failed,
	// and its data. Nil means NAME.done without any. An action may be carried
	// out more than once.
	Outcome func(r *rand.Rand, of kit.Record, op kit.Op) (event string, data []byte)
	// Holds returns what is wrong with the documents of a node, at any time. Nil
	// means that nothing can be.
	Holds func(see *store.Store) error

	// Steady keeps all clocks right, for what is forgotten after a while, as
	// idempotency keys are.
	Steady bool
	// Nodes is how many there are; 0 means 3 or 5, as the seed has it.
	Nodes int
	// Length is for how long clients write, in simulated time; 0 means 3 s.
	Length time.Duration

	flaw flaw
}

// flaw is a mistake of the simulated cluster, by which the tests of the
// simulation see that it would be found.
type flaw int

const (
	_           flaw = iota
	ackEarly         // a write is acknowledged before a majority has it
	skipEntry        // a node leaves an entry out
	lazyRestart      // a node forgets what it had synced
	deafWatch        // a watch resumes one position too late
)

// Simulate plays the script once for each of the seeds from 1 on, on
// simulated clusters of real stores: each in one goroutine, with no clock, disk
// or network, so that a processor plays more than a hundred schedules a second.
// A failure tells its seed and what had happened; LANDFALL_SEED=N plays that one
// alone, the same each time, and LANDFALL_SEEDS=N as many as that.
//
// A schedule is made of what a cluster does to its stores: leaders decide
// batches, entries are delayed, lost, repeated and come in another order, nodes
// crash and lose what was not synced, two leaders act at a time, snapshots are
// made, restored and installed, and clocks are hours off and jump. The pending
// operations of documents are carried out, some twice. Checked is that
//
//   - all nodes that have applied the same entries have the same documents;
//   - what a leader decided is what it has after the entry was applied;
//   - an acknowledged write is there in the end, unless a later one changed it;
//   - times never go back;
//   - a watch that is resumed at any position on any node misses nothing;
//   - imports that are repeated, in any order, change nothing;
//   - Holds has nothing to say.
//
// The consensus itself is simulated, too, by the simplest protocol that does
// all that to a store: hashicorp/raft, its log and the network are not in it.
// Those are tested with real processes.
func Simulate(t *testing.T, seeds int, script Script) {
	t.Helper()
	if text := os.Getenv("LANDFALL_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("LANDFALL_SEED: %v", err)
		}
		t.Logf("seed %d:\n%s", seed, traceOf(t, seed, script))
		return
	}
	if text := os.Getenv("LANDFALL_SEEDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("LANDFALL_SEEDS: %v", err)
		}
		seeds = n
	}
	if seed, err := firstFailure(seeds, script); err != nil {
		t.Fatalf("seed %d: %v\nplay it again by LANDFALL_SEED=%[1]d\n%s", seed, err, tail(traceOf(t, seed, script), 60))
	}
}

// garbage is how much of it may lie about, in percent of what is in use, while
// schedules are played: they make a lot and keep little, so that more
// collections than that take most of the time.
const garbage = 1000

// firstFailure plays the seeds from 1 on, one on each processor at a time, and
// returns the lowest that failed.
func firstFailure(seeds int, script Script) (failed uint64, failure error) {
	defer debug.SetGCPercent(debug.SetGCPercent(garbage))
	var last atomic.Uint64
	var mu sync.Mutex
	var g sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() {
			for seed := last.Add(1); seed <= uint64(seeds); seed = last.Add(1) {
				if err := newWorld(seed, script, io.Discard).play(); err != nil {
					last.Store(uint64(seeds))
					mu.Lock()
					if failure == nil || seed < failed {
						failed, failure = seed, err
					}
					mu.Unlock()
				}
			}
		})
	}
	g.Wait()
	return failed, failure
}

// traceOf returns what happens with the seed.
func traceOf(t *testing.T, seed uint64, script Script) []byte {
	var trace bytes.Buffer
	if err := newWorld(seed, script, &trace).play(); err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
	return trace.Bytes()
}

// tail returns the last n lines.
func tail(b []byte, n int) []byte {
	lines := bytes.SplitAfter(b, []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-n-1):], nil)
}

// world is one schedule on its way.
type world struct {
	script Script
	random *rand.Rand
	kinds  *store.Kinds
	trace  io.Writer

	now    time.Duration // since start
	events agenda
	order  int // of the events, to tell those of the same time apart
	nodes  []*simNode
	cuts   map[[2]int]bool // from, to
	calm   bool            // nothing fails any more
	inLine bool            // and all nodes have applied all there is

	committed [][]byte // the entries, by index; nil where a term began
	checks
	err error // the first; it ends the schedule
}

// start is when schedules begin.
var start = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func newWorld(seed uint64, script Script, trace io.Writer) *world {
	w := &world{script: script, random: rand.New(rand.NewPCG(seed, 0)), kinds: store.NewKinds(), trace: trace, cuts: map[[2]int]bool{}}
	for _, s := range script.Services {
		for _, o := range s.Owns {
			w.kinds.Add(o)
		}
	}
	n := script.Nodes
	if n == 0 {
		n = 3 + 2*w.random.IntN(2)
	}
	for id := range n {
		w.nodes = append(w.nodes, &simNode{world: w, id: id, up: true, store: store.New(w.kinds), skew: w.hours()})
	}
	w.checks = newChecks(w)
	return w
}

// hours is how wrong a clock is.
func (w *world) hours() time.Duration {
	if w.script.Steady {
		return 0
	}
	return time.Duration(w.random.IntN(80)-40) * time.Hour / 20
}

// quiet is how long the cluster may take in the end to bring all nodes in line.
const quiet = 10 * time.Second

// play returns what went wrong.
func (w *world) play() error {
	length := w.script.Length
	if length == 0 {
		length = 3 * time.Second
	}
	w.every(40*time.Millisecond, w.elect)
	w.every(30*time.Millisecond, w.beat)
	w.every(25*time.Millisecond, w.client)
	w.every(60*time.Millisecond, w.carryOut)
	w.every(200*time.Millisecond, w.watch)
	w.every(150*time.Millisecond, w.harm)
	w.after(length, w.becalm)
	for len(w.events) > 0 && w.now < length+quiet && w.err == nil && !w.inLine {
		w.step()
	}
	if w.err == nil {
		w.inTheEnd()
	}
	return w.err
}

// every repeats f, at random times.
func (w *world) every(about time.Duration, f func()) {
	w.after(about/2+w.upTo(about), func() {
		f()
		w.every(about, f)
	})
}

// after calls f once d has passed.
func (w *world) after(d time.Duration, f func()) {
	w.order++
	w.events.add(event{w.now + d, w.order, f})
}

// step lets the next event happen.
func (w *world) step() {
	e := w.events.take()
	w.now = e.at
	e.do()
}

func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.random.Int64N(int64(d))) }

// chance is true n times of a hundred.
func (w *world) chance(n int) bool { return w.random.IntN(100) < n }

func (w *world) note(format string, args ...any) {
	if w.trace != io.Discard {
		fmt.Fprintf(w.trace, "%9s "+format+"\n", append([]any{w.now.Round(time.Microsecond)}, args...)...)
	}
}

// fail ends the schedule.
func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("after %s: "+format, append([]any{w.now.Round(time.Microsecond)}, args...)...)
	}
}

// event is something that will happen.
type event struct {
	at    time.Duration
	order int
	do    func()
}

func (e event) before(o event) bool { return e.at < o.at || e.at == o.at && e.order < o.order }

// agenda is a heap of events, the next one first.
type agenda []event

func (a *agenda) add(e event) {
	h := append(*a, e)
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h[i].before(h[parent]) {
			break
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
	*a = h
}

func (a *agenda) take() event {
	h := *a
	first := h[0]
	h[0] = h[len(h)-1]
	h[len(h)-1] = event{}
	h = h[:len(h)-1]
	for i := 0; ; {
		least := i
		for _, child := range []int{2*i + 1, 2*i + 2} {
			if child < len(h) && h[child].before(h[least]) {
				least = child
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	*a = h
	return first
}
