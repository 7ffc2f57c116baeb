package memory

import (
	"sync"

	"landfall.dev/kit/store/frame"
)

// manyPieces is from how many pieces on an entry's records are put into the
// trees all at once.
const manyPieces = 64

// gathered is what an entry puts into a tree: at its end, or before something
// of it is looked for.
type gathered struct {
	run
	by    sorter
	tree  *tree
	spare []item // for sorting
}

// gather has p at r put into the tree later.
func (e *edit) gather(by sorter, t *tree, p *frame.Document, r place) {
	i := 0
	for i < len(e.sh.gathered) && e.sh.gathered[i].tree != t {
		i++
	}
	if i == len(e.sh.gathered) {
		g := gathered{run: run{items: make([]item, 0, e.gathers)}, by: by, tree: t}
		e.sh.gathered = append(e.sh.gathered, g)
	}
	g := &e.sh.gathered[i]
	start := len(g.keys)
	g.keys = by.keyOf(g.keys, p)
	g.added(start, r)
}

// insertGathered puts into the shelf's trees what was gathered: trees of which
// none knows of the other, so all processors may do it.
func (e *Engine) insertGathered(sh *shelf) {
	var work sync.WaitGroup
	for rest := sh.gathered; len(rest) > 0; {
		n := 1 // that have the same keys: most documents are made and changed last at one time
		for n < len(rest) && rest[n].equal(&rest[0].run) {
			n++
		}
		if same := rest[:n]; len(same[0].items) < manyPieces {
			e.insertSame(same)
		} else {
			work.Go(func() { e.insertSame(same) })
		}
		rest = rest[n:]
	}
	work.Wait()
}

// insertSame puts in what was gathered for trees in which it has the same keys.
func (e *Engine) insertSame(same []gathered) {
	first := &same[0]
	first.spare = first.sort(first.spare)
	for i := range same {
		g := &same[i]
		if len(first.items) > 0 {
			change{&g.by, e.gen}.insertSorted(g.tree, first.run)
		}
	}
	for i := range same {
		same[i].items, same[i].keys = same[i].items[:0], same[i].keys[:0]
	}
}

// endGathering puts in all that was gathered. The memory for it is kept for as
// long as large entries follow each other.
func (e *Engine) endGathering() {
	for _, sh := range e.shelves {
		if e.gathers > 0 {
			e.insertGathered(sh)
		} else {
			sh.gathered = nil
		}
	}
	e.gathered, e.gathers = e.gathers > 0, 0
}
