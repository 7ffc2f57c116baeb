package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
	"landfall.dev/test/bench/load"
)

// held is the result of hold.
type held struct {
	Documents int     `json:"documents"`
	Filled    float64 `json:"filled"` // seconds
	// Own is the bytes of a document's body, Heap and Resident are those that a
	// document has in the heap and in the process, both with its own.
	Own      int     `json:"own"`
	Heap     float64 `json:"heap"`
	Resident float64 `json:"resident"`
	// Pause is the longest that a collection has stopped the world, the median
	// over the rounds; Typical is the median of all pauses; Collection is how long
	// a collection takes, in milliseconds.
	Pause      float64 `json:"pause"`
	Typical    float64 `json:"typical"`
	Collection float64 `json:"collection"`
	// Client and Store are reads per second by the client of a service and by
	// the store itself; List is the time of a filter that passes a hundred, in
	// milliseconds.
	Client float64 `json:"client"`
	Store  float64 `json:"store"`
	List   float64 `json:"list"`
	// Restored is documents per second read from a snapshot.
	Restored float64 `json:"restored"`
}

// inGroup is how many documents have the same group.
const inGroup = 100

// single is a node without a log: what it holds and serves is that of a real
// one.
type single struct {
	kind   kit.Kind[Item] // of the documents
	store  *store.Store
	server *rest.Server
	mu     sync.Mutex // held over Decide and Apply
}

func newSingle() *single {
	kinds := store.NewKinds()
	s := &single{kind: items, store: store.New(kinds)}
	s.server = rest.New(rest.Options{Store: s.store, Kinds: kinds, Node: s, Logger: slog.New(slog.DiscardHandler)})
	s.server.Add(service())
	return s
}

// Write implements rest.Node.
func (s *single) Write(_ context.Context, p store.Proposal) ([]kit.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry, results := s.store.Decide([]store.Proposal{p}, time.Now())
	if entry != nil {
		if err := s.store.Apply(entry); err != nil {
			return nil, err
		}
	}
	return results[0].Records, results[0].Err
}

// Leader implements rest.Node: it always leads.
func (s *single) Leader() (url string, self bool) { return "", true }

// Barrier implements rest.Node.
func (s *single) Barrier(context.Context) error { return nil }

// CatchUp implements rest.Node.
func (s *single) CatchUp(context.Context) error { return nil }

// body returns the body of the document with the number, of size bytes.
func body(number, size int) []byte {
	b := fmt.Appendf(nil, `{"group":"g%d","value":"`, number/inGroup)
	b = append(b, strings.Repeat("x", max(size-len(b)-len(`"}`), 0))...)
	return append(b, `"}`...)
}

// fill makes documents of size bytes.
func (s *single) fill(ctx context.Context, documents, size int) error {
	const batch = 1000
	for from := 0; from < documents; from += batch {
		writes := make([]kit.Write, 0, batch)
		for n := from; n < min(from+batch, documents); n++ {
			writes = append(writes, kit.Write{Verb: kit.VerbCreate, Link: s.kind.Link(strconv.Itoa(n + 1)), Body: body(n, size)})
		}
		if _, err := s.Write(ctx, store.Proposal{Writes: writes, By: subject}); err != nil {
			return err
		}
	}
	return nil
}

// hold fills a node in this process and measures what it was asked to.
func hold(ctx context.Context, flags *flag.FlagSet, args []string) (held, error) {
	var h held
	flags.IntVar(&h.Documents, "documents", 10_000_000, "how many documents there are")
	flags.IntVar(&h.Own, "size", 200, "the bytes of a document's body")
	measure := flags.String("measure", "memory,pause,list", "what to measure: any of memory, pause, list, reads and restore, with commas between")
	inTurn := flags.Bool("turns", false, "whether each round of pauses waits for a line of the standard input")
	index := flags.Bool("indexed", false, "whether the documents have an index by their group")
	span := flags.Duration("for", 5*time.Second, "how long to read")
	if err := flags.Parse(args); err != nil {
		return h, err
	}
	s := newSingle()
	if *index {
		s.kind = indexed
	}
	heap, resident := memory()
	began := time.Now()
	if err := s.fill(ctx, h.Documents, h.Own); err != nil {
		return h, err
	}
	h.Filled = time.Since(began).Seconds()
	for what := range strings.SplitSeq(*measure, ",") {
		var err error
		switch what {
		case "memory":
			heapNow, residentNow := memory()
			h.Heap = float64(heapNow-heap) / float64(h.Documents)
			h.Resident = float64(residentNow-resident) / float64(h.Documents)
		case "pause":
			turn, took := func() error { return nil }, func() {}
			if *inTurn {
				turn, took = turns()
			}
			err = h.pauses(turn, took)
		case "list":
			h.List, err = s.list(ctx, h.Documents, *span)
		case "reads":
			err = s.reads(ctx, &h, *span)
		case "restore":
			h.Restored, err = s.restore()
		default:
			err = fmt.Errorf("%q cannot be measured: use memory, pause, list, reads or restore", what)
		}
		if err != nil {
			return h, err
		}
	}
	runtime.KeepAlive(s)
	return h, nil
}

// memory returns the bytes of live objects in the heap, and those of the
// process in memory once it has given back what it does not use.
func memory() (heap, resident int) {
	runtime.GC() // the second collection takes what the first has only unlinked
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var size, pages int
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		_, _ = fmt.Sscan(string(b), &size, &pages)
	}
	return int(m.HeapAlloc), pages * os.Getpagesize()
}

// The collections that pauses looks at.
const (
	pauseRounds = 9
	pauseEach   = 20
)

// pauses measures collections. Each round waits for its turn. A single longest
// pause says more of what else the machine did then.
func (h *held) pauses(turn func() error, took func()) error {
	var longest, all, collections []float64
	for range pauseRounds {
		if err := turn(); err != nil {
			return err
		}
		var stats debug.GCStats
		began := time.Now()
		for range pauseEach {
			runtime.GC()
		}
		collections = append(collections, milliseconds(time.Since(began))/pauseEach)
		debug.ReadGCStats(&stats)
		last := stats.Pause[:min(pauseEach, len(stats.Pause))]
		longest = append(longest, milliseconds(slices.Max(last)))
		for _, d := range last {
			all = append(all, milliseconds(d))
		}
		took()
	}
	h.Pause, h.Typical, h.Collection = median(longest), median(all), median(collections)
	return nil
}

// turns are those of processes that measure one after the other: a line of the
// standard input is a turn, and a line is written when it is over.
func turns() (turn func() error, took func()) {
	lines := bufio.NewScanner(os.Stdin)
	turn = func() error {
		if !lines.Scan() {
			return errors.Join(errors.New("there are no more turns"), lines.Err())
		}
		return nil
	}
	return turn, func() { fmt.Println("took its turn") }
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// list returns the median time of a list by a filter that passes the
// documents of one group, in milliseconds.
func (s *single) list(ctx context.Context, documents int, span time.Duration) (float64, error) {
	var took []float64
	began := time.Now()
	for len(took) == 0 || time.Since(began) < span {
		group := rand.IntN(max(documents/inGroup, 1))
		q := kit.Query{Kind: s.kind.Name, Filter: fmt.Sprintf(`group == "g%d"`, group), Limit: inGroup}
		at := time.Now()
		p, err := s.store.List(q)
		if err != nil {
			return 0, err
		}
		took = append(took, milliseconds(time.Since(at)))
		if want := min(inGroup, documents); len(p.Items) != want {
			return 0, fmt.Errorf("the filter %s passed %d documents, not %d", q.Filter, len(p.Items), want)
		}
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
	}
	return median(took), nil
}

// reads measures reads by as many readers as there are cores.
func (s *single) reads(ctx context.Context, h *held, span time.Duration) error {
	links := make([]kit.Link, h.Documents)
	for n := range links {
		links[n] = s.kind.Link(strconv.Itoa(n + 1))
	}
	client := s.server.Client(subject)
	how := kit.ReadOptions{Consistency: kit.Eventual}
	var err error
	h.Client, err = rate(ctx, links, span, func(l kit.Link) error {
		_, err := client.Read(ctx, l, how)
		return err
	})
	if err == nil {
		h.Store, err = rate(ctx, links, span, func(l kit.Link) error {
			_, err := s.store.Read(l)
			return err
		})
	}
	return err
}

// rate returns how many of links are read per second. Readers look at the
// clock once in a while only, for that takes longer than a read.
func rate(ctx context.Context, links []kit.Link, span time.Duration, read func(kit.Link) error) (float64, error) {
	const each = 1000
	p := load.Plan{Clients: runtime.GOMAXPROCS(0), Warm: span / 4, For: span}
	r, err := load.Run(ctx, p, func(_ context.Context, _ int, random *rand.Rand) error {
		for range each {
			if err := read(links[random.IntN(len(links))]); err != nil {
				return err
			}
		}
		return nil
	})
	return r.PerSecond * each, err
}

// restore returns how many documents per second come from a snapshot.
func (s *single) restore() (float64, error) {
	f, err := os.CreateTemp("", "kitload-snapshot")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err = s.store.Snapshot().WriteTo(f); err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		return 0, err
	}
	documents := s.store.Count(s.kind.Name)
	began := time.Now()
	if err := newSingle().store.Restore(f); err != nil {
		return 0, err
	}
	return float64(documents) / time.Since(began).Seconds(), nil
}
