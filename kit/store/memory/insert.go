package memory

import (
	"bytes"
	"slices"
	"sort"
)

// item is a record to insert. It has no Go pointers.
type item struct {
	prefix   uint64 // as in a probe
	at       place
	from, to uint32 // where its key is in those of the run
}

// run is records to insert, and their keys one behind the other.
type run struct {
	items []item
	keys  []byte
}

// added adds the record at a place, whose key is at the end of the keys from
// start on.
func (r *run) added(start int, at place) {
	r.items = append(r.items, item{prefixOf(r.keys[start:]), at, uint32(start), uint32(len(r.keys))})
}

func (r *run) probe(i int) probe {
	it := &r.items[i]
	key := r.keys[it.from:it.to]
	return probe{it.prefix, moreOf(key), key}
}

// equal tells whether both have the same items, in the same order.
func (r *run) equal(o *run) bool {
	return slices.Equal(r.items, o.items) && bytes.Equal(r.keys, o.keys)
}

// less tells whether a is before b.
func (r *run) less(a, b *item) bool {
	if a.prefix != b.prefix {
		return a.prefix < b.prefix
	}
	return bytes.Compare(r.keys[a.from:a.to], r.keys[b.from:b.to]) < 0
}

// sort puts the items in the order of their keys. It merges what is in order
// already, which is most of what comes: it was written in some order once. It
// returns memory for the next time.
func (r *run) sort(other []item) []item {
	n := len(r.items)
	var ends []int // of stretches that are in order
	for i := 1; i <= n; i++ {
		if i == n || r.less(&r.items[i], &r.items[i-1]) {
			ends = append(ends, i)
		}
	}
	if len(ends) < 2 {
		return other
	}
	other = slices.Grow(other[:0], n)[:n]
	for len(ends) > 1 {
		start, kept := 0, ends[:0]
		for i := 0; i < len(ends); i += 2 {
			middle, end := ends[i], ends[min(i+1, len(ends)-1)]
			r.merge(other[start:end], r.items[start:middle], r.items[middle:end])
			start, kept = end, append(kept, end)
		}
		ends = kept
		r.items, other = other, r.items
	}
	return other
}

// merge puts the items of a and b, both in order, into to.
func (r *run) merge(to, a, b []item) {
	for i := range to {
		if len(b) == 0 || len(a) > 0 && !r.less(&b[0], &a[0]) {
			to[i], a = a[0], a[1:]
		} else {
			to[i], b = b[0], b[1:]
		}
	}
}

// part returns the items from number i to before number j.
func (r run) part(i, j int) run { return run{r.items[i:j], r.keys} }

// insert adds the record r with the key.
func (c change) insert(t *tree, p probe, r place) {
	one := [1]item{{p.prefix, r, 0, uint32(len(p.key))}}
	c.insertSorted(t, run{one[:], p.key})
}

// insertSorted adds the records, which are in order. Of many it takes less time
// than insert does of each: nodes are gone to once, one after the other.
func (c change) insertSorted(t *tree, all run) {
	t.n += len(all.items)
	if t.root == (treeNode{}) {
		t.root.leaf = &leaf{gen: c.gen}
	}
	root, split := c.insertInto(t.root, all, true)
	for len(split) > 0 {
		level := []branch{c.branchOf(root)}
		for _, n := range split {
			level = append(level, c.branchOf(n))
		}
		above := &inner{gen: c.gen, knows: true}
		root, split = treeNode{inner: above}, c.fill(above, level, true)
	}
	t.root = root
}

// insertInto adds to n and returns it, with the nodes that follow it if it had
// to be split. Last says that n is at the right edge of the tree, where splits
// leave full nodes behind.
func (c change) insertInto(n treeNode, all run, last bool) (first treeNode, split []treeNode) {
	n = c.own(n)
	if n.leaf != nil {
		if n.leaf.n+len(all.items) <= leafSize {
			c.insertLeaf(n.leaf, all)
			return n, nil
		}
		return n, c.splitLeaf(n.leaf, all, last)
	}
	in := n.inner
	var grown []branch // the kids up to the one before done, once one was split
	done := 0
	for left := len(all.items); left > 0; left = len(all.items) {
		i := in.child(c.sorter, all.probe(0))
		some := left
		if i+1 < in.n {
			some = 1 + sort.Search(left-1, func(k int) bool { return !c.before(all.probe(k+1), in, i+1) })
		}
		kid, more := c.insertInto(in.kids[i], all.part(0, some), last && i == in.n-1)
		c.changed(in, i, kid)
		in.size[i] += some
		all = all.part(some, left)
		if more == nil {
			continue
		}
		in.size[i] = kid.len()
		for ; done <= i; done++ {
			grown = append(grown, in.branch(done))
		}
		for _, n := range more {
			grown = append(grown, c.branchOf(n))
		}
	}
	if grown == nil {
		return n, nil
	}
	for ; done < in.n; done++ {
		grown = append(grown, in.branch(done))
	}
	return n, c.fill(in, grown, last)
}

// before tells whether p is below the first record of kid number i.
func (s *sorter) before(p probe, n *inner, i int) bool {
	if p.prefix != n.keys[i] || s.exact(p) {
		return p.prefix < n.keys[i]
	}
	if c := p.more.compare(n.more[i]); c != 0 {
		return c < 0
	}
	var buf [64]byte
	return bytes.Compare(p.key, s.key(buf[:0], n.places[i])) < 0
}

// insertLeaf adds to a leaf that has room.
func (c change) insertLeaf(l *leaf, all run) {
	end, to := l.n, l.n+len(all.items)
	l.n = to
	for i := len(all.items) - 1; i >= 0; i-- {
		at := c.below(l.keys[:end], nil, l.places[:end], all.probe(i), false)
		to -= end - at
		copy(l.keys[to:], l.keys[at:end])
		copy(l.places[to:], l.places[at:end])
		to--
		l.keys[to], l.places[to] = all.items[i].prefix, all.items[i].at
		end = at
	}
}

// splitLeaf adds to a leaf that has no room, and returns the leaves that follow
// it now.
func (c change) splitLeaf(l *leaf, all run, last bool) (split []treeNode) {
	old := *l
	each, from := evenly(len(all.items)+old.n, leafSize), 0
	add := func(key uint64, r place) {
		if l.n == each {
			l = &leaf{gen: c.gen}
			split = append(split, treeNode{leaf: l})
		}
		l.keys[l.n], l.places[l.n] = key, r
		l.n++
	}
	l.n = 0
	for i, it := range all.items {
		at := from + c.below(old.keys[from:old.n], nil, old.places[from:old.n], all.probe(i), false)
		if i == 0 && at == old.n && last {
			each = leafSize
		}
		for ; from < at; from++ {
			add(old.keys[from], old.places[from])
		}
		add(it.prefix, it.at)
	}
	for ; from < old.n; from++ {
		add(old.keys[from], old.places[from])
	}
	return split
}

// evenly returns how many of all to put into each node of a size that some room
// is left in.
func evenly(all, size int) int {
	nodes := (all + size*3/4 - 1) / (size * 3 / 4)
	return (all + nodes - 1) / nodes
}

// branch is what an inner node has of one kid.
type branch struct {
	key   uint64
	more  more
	place place
	size  int
	kid   treeNode
}

func (n *inner) branch(i int) branch {
	return branch{n.keys[i], n.more[i], n.places[i], n.size[i], n.kids[i]}
}

// branchOf returns what an inner node has of the kid.
func (s *sorter) branchOf(kid treeNode) branch {
	b := branch{size: kid.len(), kid: kid}
	b.key, b.place = kid.first()
	switch in := kid.inner; {
	case in != nil && in.knows:
		b.more = in.more[0]
	case !s.whole():
		var buf [64]byte
		b.more = moreOf(s.key(buf[:0], b.place))
	}
	return b
}

// fill makes the kids those of n, and returns the nodes that follow it if they
// are too many.
func (c change) fill(n *inner, kids []branch, last bool) (split []treeNode) {
	each := innerSize
	if len(kids) > innerSize && last {
		each = innerSize - 1
	} else if len(kids) > innerSize {
		each = evenly(len(kids), innerSize)
	}
	for {
		n.n = min(each, len(kids))
		for i, b := range kids[:n.n] {
			n.keys[i], n.more[i], n.places[i], n.size[i], n.kids[i] = b.key, b.more, b.place, b.size, b.kid
		}
		clear(n.kids[n.n:])
		if kids = kids[n.n:]; len(kids) == 0 {
			return split
		}
		n = &inner{gen: c.gen, knows: true}
		split = append(split, treeNode{inner: n})
	}
}
