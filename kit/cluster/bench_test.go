package cluster

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
)

// BenchmarkWrite measures acknowledged writes of 256 bytes by 64 concurrent
// writers and by one, on disk: go test -bench Write -run ^$ ./kit/cluster
func BenchmarkWrite(b *testing.B) {
	value := strings.Repeat("x", 256)
	for _, size := range []int{1, 3} {
		nodes := group(b, size)
		leader := leaderOf(b, nodes...)
		for _, writers := range []int{1, 64} {
			b.Run(fmt.Sprintf("nodes=%d/writers=%d", size, writers), func(b *testing.B) {
				_, before := leader.count()
				shared(b, writers, func(i int64) error {
					_, err := leader.Write(b.Context(), put{fmt.Sprint(i % 1000), value})
					return err
				})
				_, entries := leader.count()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
				b.ReportMetric(float64(b.N)/float64(entries-before), "writes/entry")
			})
		}
		for _, n := range nodes {
			n.stop()
		}
	}
}

// BenchmarkRead measures what makes a read linearizable, at the leader and at
// a follower: go test -bench Read -run ^$ ./kit/cluster
func BenchmarkRead(b *testing.B) {
	nodes := group(b, 3)
	leader := leaderOf(b, nodes...)
	follower := nodes[0]
	if follower == leader {
		follower = nodes[1]
	}
	for _, at := range []struct {
		name string
		node *running
	}{{"leader", leader}, {"follower", follower}} {
		for _, readers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/readers=%d", at.name, readers), func(b *testing.B) {
				shared(b, readers, func(int64) error { return at.node.CatchUp(b.Context()) })
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
			})
		}
	}
}

// group starts a cluster of the size on disk and waits until all of it votes.
func group(b *testing.B, size int) []*running {
	b.Helper()
	dir := b.TempDir()
	nodes := []*running{start(b, filepath.Join(dir, "0"), nil)}
	for len(nodes) < size {
		nodes = append(nodes, start(b, filepath.Join(dir, fmt.Sprint(len(nodes))), nil, nodes[0]))
	}
	votes(b, nodes[0], size)
	return nodes
}

// shared has the workers do b.N times what do does.
func shared(b *testing.B, workers int, do func(i int64) error) {
	var count atomic.Int64
	var g sync.WaitGroup
	b.ResetTimer()
	for range workers {
		g.Go(func() {
			for i := count.Add(1); i <= int64(b.N); i = count.Add(1) {
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	g.Wait()
	b.StopTimer()
}

// note is a document of the benchmark.
type note struct {
	kit.Meta
	Text string `json:"text"`
}

var noteKind = kit.Define[note]("notes", kit.Schema(1))

// documents is a machine that keeps documents.
type documents struct{ *store.Store }

func (d documents) Decide(proposals []any, now time.Time) ([]byte, []Outcome) {
	ps := make([]store.Proposal, len(proposals))
	for i, p := range proposals {
		ps[i] = p.(store.Proposal)
	}
	entry, results := d.Store.Decide(ps, now)
	outcomes := make([]Outcome, len(results))
	for i, r := range results {
		outcomes[i] = Outcome{r.Records, r.Err}
	}
	return entry, outcomes
}

func (d documents) Snapshot() io.WriterTo { return d.Store.Snapshot() }

// BenchmarkDocuments is BenchmarkWrite with documents of a store.
func BenchmarkDocuments(b *testing.B) {
	dir := b.TempDir()
	var nodes []*running
	for i := range 3 {
		m := documents{store.New(store.NewKinds(kit.Own(noteKind, nil)))}
		n, err := open(b, filepath.Join(dir, fmt.Sprint(i)), m, nil, nodes[:min(i, 1)]...)
		if err != nil {
			b.Fatal(err)
		}
		nodes = append(nodes, n)
	}
	votes(b, nodes[0], 3)
	leader := leaderOf(b, nodes...)
	body := json.RawMessage(`{"text":"` + strings.Repeat("x", 240) + `"}`)
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			shared(b, writers, func(int64) error {
				_, err := leader.Write(b.Context(), store.Proposal{Writes: []kit.Write{{Verb: kit.VerbCreate, Link: "notes/", Body: body}}})
				return err
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
		})
	}
}
