package store

import (
	"fmt"
	"testing"

	"landfall.dev/kit"
)

// benchmarkParcels returns a node with many parcels, a hundred of each
// customer.
func benchmarkParcels(b *testing.B, count int) *node {
	n := newParcels(b)
	for first := 0; first < count; first += 1000 {
		var ps []Proposal
		for i := first; i < first+1000; i++ {
			body := fmt.Sprintf(`{"customer":"c%d","pieces":%d,"weight":%d.5,"to":{"city":"Rome","zip":%d},"tags":["a","b"],"labels":{"shop":"north"}}`, i%(count/100), i, i, i)
			ps = append(ps, Proposal{Writes: []kit.Write{write("create", "parcels/", body)}})
		}
		for _, r := range n.propose(ps...) {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
	}
	return n
}

func benchmarkQuery(b *testing.B, q kit.Query, want int) {
	n := benchmarkParcels(b, 100_000)
	q.Kind = "parcels"
	for b.Loop() {
		p, err := n.List(q)
		if err != nil || len(p.Items)+len(p.Groups) != want {
			b.Fatalf("list: %d documents, %d groups, error %v", len(p.Items), len(p.Groups), err)
		}
	}
}

// BenchmarkIndexQuery finds 100 of 100,000 documents.
func BenchmarkIndexQuery(b *testing.B) {
	benchmarkQuery(b, kit.Query{Filter: `customer == "c7"`}, 100)
}

// BenchmarkFilterScan tests 100,000 documents of 130 bytes.
func BenchmarkFilterScan(b *testing.B) {
	benchmarkQuery(b, kit.Query{Filter: `to.zip == 77 && tags.size() == 2`}, 1)
}

// BenchmarkGroup sums 100,000 documents.
func BenchmarkGroup(b *testing.B) {
	benchmarkQuery(b, kit.Query{Group: []string{"fragile"}, Compute: []string{"count", "sum(pieces)"}}, 1)
}
