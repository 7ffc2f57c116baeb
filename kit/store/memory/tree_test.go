package memory

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// checkNode checks that inner nodes know the first of each of theirs.
func checkNode(t *testing.T, by *sorter, n treeNode) {
	t.Helper()
	var c checker
	if c.node(by, n); c.wrong != nil {
		t.Fatal(c.wrong)
	}
}

func TestTreeIsASortedSet(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	by := sorter{by: orderSeq}
	c := change{&by, 1}
	var tr tree
	var have []uint64 // sorted
	type frozen struct {
		tree
		keys []uint64
	}
	var views []frozen
	insert := func(k uint64) {
		i := lowerBound(have, k)
		if i < len(have) && have[i] == k {
			c.replace(&tr, probe{prefix: k}, place(k), place(k))
			return
		}
		have = append(have[:i:i], append([]uint64{k}, have[i:]...)...)
		c.insert(&tr, probe{prefix: k}, place(k))
	}
	insertMany := func(n int, next func() uint64) {
		var all run
		for len(all.items) < n {
			k := next()
			i := lowerBound(have, k)
			if i < len(have) && have[i] == k {
				continue
			}
			have = append(have[:i:i], append([]uint64{k}, have[i:]...)...)
			all.keys = binary.BigEndian.AppendUint64(all.keys, k)
			all.added(len(all.keys)-8, place(k))
		}
		all.sort(nil)
		c.insertSorted(&tr, all)
	}
	remove := func(i int) {
		c.remove(&tr, probe{prefix: have[i]}, place(have[i]))
		have = append(have[:i:i], have[i+1:]...)
	}
	check := func(tr tree, have []uint64) {
		t.Helper()
		var got []uint64
		tr.each(0, tr.n, func(k uint64, r place) bool {
			got = append(got, k)
			return uint64(r) == k
		})
		if fmt.Sprint(got) != fmt.Sprint(have) || tr.n != len(have) {
			t.Fatalf("the tree has %d records, %d are counted, want %d", len(got), tr.n, len(have))
		}
		checkNode(t, &by, tr.root)
		if len(have) == 0 {
			return
		}
		i := random.IntN(len(have))
		j := i + random.IntN(len(have)-i)
		var back []uint64
		tr.back(i, j, func(k uint64, _ place) bool {
			back = append([]uint64{k}, back...)
			return true
		})
		if fmt.Sprint(back) != fmt.Sprint(have[i:j]) {
			t.Fatalf("back from %d to %d: got %v, want %v", j, i, back, have[i:j])
		}
		if rank := tr.rank(&by, probe{prefix: have[i]}); rank != i || tr.number(i) != place(have[i]) || tr.find(&by, probe{prefix: have[i]}) != place(have[i]) {
			t.Fatalf("record %d has the rank %d", i, rank)
		}
	}
	for round := range 60 {
		for range 500 {
			switch {
			case round%20 < 6:
				insert(uint64(len(have)*8 + 1))
			case round%20 < 12 || len(have) == 0:
				insert(random.Uint64N(100_000))
			case round%20 < 18:
				remove(random.IntN(len(have)))
			default:
				remove(0)
			}
		}
		switch round % 3 {
		case 0:
			insertMany(random.IntN(400), func() uint64 { return random.Uint64N(100_000) })
		case 1:
			from := random.Uint64N(100_000)
			insertMany(random.IntN(400), func() uint64 { from++; return from })
		}
		check(tr, have)
		views = append(views, frozen{tr, append([]uint64(nil), have...)})
		c.gen++
	}
	for _, v := range views {
		check(v.tree, v.keys)
	}
	b := builder{gen: 1}
	for i := range 100_000 {
		b.add(uint64(i), place(i))
	}
	built := b.tree()
	checkNode(t, &by, built.root)
	if built.rank(&by, probe{prefix: 77_777}) != 77_777 {
		t.Error("a built tree counts wrong")
	}
}
