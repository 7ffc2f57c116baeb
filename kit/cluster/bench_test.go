package cluster

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkWrite measures acknowledged writes of 256 bytes by 64 concurrent
// writers and by one, on disk: go test -bench Write -run ^$ ./kit/cluster
func BenchmarkWrite(b *testing.B) {
	value := strings.Repeat("x", 256)
	for _, size := range []int{1, 3} {
		nodes := []*running{start(b, b.TempDir(), nil)}
		for len(nodes) < size {
			nodes = append(nodes, start(b, b.TempDir(), nil, nodes[0]))
		}
		votes(b, nodes[0], size)
		leader := leaderOf(b, nodes...)
		for _, writers := range []int{1, 64} {
			b.Run(fmt.Sprintf("nodes=%d/writers=%d", size, writers), func(b *testing.B) {
				var keys atomic.Int64
				_, before := leader.count()
				var g sync.WaitGroup
				b.ResetTimer()
				for range writers {
					g.Go(func() {
						for i := keys.Add(1); i <= int64(b.N); i = keys.Add(1) {
							if _, err := leader.Write(b.Context(), put{fmt.Sprint(i % 1000), value}); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				g.Wait()
				b.StopTimer()
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
