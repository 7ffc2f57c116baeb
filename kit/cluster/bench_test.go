package cluster

import (
	"fmt"
	"sync/atomic"
	"testing"
)

// BenchmarkWrite measures acknowledged writes by 64 concurrent writers, on
// disk: go test -bench Write -run ^$ ./kit/cluster
func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{1, 3} {
		b.Run(fmt.Sprintf("nodes=%d", size), func(b *testing.B) {
			nodes := []*running{start(b, b.TempDir(), nil)}
			for len(nodes) < size {
				nodes = append(nodes, start(b, b.TempDir(), nil, nodes[0]))
			}
			votes(b, nodes[0], size)
			leader := leaderOf(b, nodes...)
			var keys atomic.Int64
			_, before := leader.count()
			b.SetParallelism(32) // times GOMAXPROCS
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := leader.Write(b.Context(), put{fmt.Sprint(keys.Add(1) % 1000), "x"}); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.StopTimer()
			_, entries := leader.count()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
			b.ReportMetric(float64(b.N)/float64(entries-before), "writes/entry")
		})
	}
}
