package memory

import (
	"landfall.dev/kit/store/frame"
)

// manyPieces is from how many pieces on an entry's records are put into the
// trees all at once.
const manyPieces = 64

// gathered is what an entry puts into a tree: at its end, or before something
// of it is looked for.
type gathered struct {
	run
	by   sorter
	tree *tree
}

// gather has p at r put into the tree later.
func (e *edit) gather(by sorter, t *tree, p *frame.Document, r place) {
	i := 0
	for i < len(e.sh.gathered) && e.sh.gathered[i].tree != t {
		i++
	}
	if i == len(e.sh.gathered) {
		g := gathered{run{items: make([]item, 0, e.gathers)}, by, t}
		e.sh.gathered = append(e.sh.gathered, g)
	}
	g := &e.sh.gathered[i]
	start := len(g.keys)
	g.keys = by.keyOf(g.keys, p)
	g.added(newProbe(g.keys[start:]), r)
}

// insertGathered puts into the shelf's trees what was gathered.
func (e *Engine) insertGathered(sh *shelf) {
	for i := range sh.gathered {
		g := &sh.gathered[i]
		change{&g.by, e.gen}.insertAll(g.tree, g.run)
		g.items, g.keys = g.items[:0], g.keys[:0]
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
