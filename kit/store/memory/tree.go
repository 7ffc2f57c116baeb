package memory

import (
	"bytes"
	"encoding/binary"
	"sort"
)

// tree is a sorted set of records: a B+ tree of places, each with the first 8
// bytes of its record's key, big-endian, so that most comparisons need not look
// at the record. Where these are equal the sorter tells.
//
// Nodes of an older generation than the change that is made belong to views
// too: they are copied, not changed. So a copy of a tree is a snapshot of it.
type tree struct {
	root treeNode
	n    int // records
}

const (
	leafSize  = 168 // makes a leaf 2,048 bytes
	innerSize = 64
)

// treeNode is one of the two, or none.
type treeNode struct {
	leaf  *leaf
	inner *inner
}

// leaf has no Go pointers: the garbage collector does not look into it.
type leaf struct {
	gen    uint64
	n      int
	keys   [leafSize]uint64
	places [leafSize]place
}

// inner has for each of its nodes the first record and the number of records.
type inner struct {
	gen    uint64
	n      int
	keys   [innerSize]uint64
	places [innerSize]place
	size   [innerSize]int
	kids   [innerSize]treeNode
}

// probe is a key to look for.
type probe struct {
	prefix uint64 // its first 8 bytes
	key    []byte
}

func newProbe(key []byte) probe { return probe{prefixOf(key), key} }

// prefixOf returns the first 8 bytes of key as a number; missing ones are zero.
func prefixOf(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}

// change is an alteration of trees of one order in one generation.
type change struct {
	*sorter
	gen uint64
}

// below returns how many of the records are below p, or also equal to it.
func (s *sorter) below(keys []uint64, places []place, p probe, orEqual bool) int {
	lo := lowerBound(keys, p.prefix)
	if lo == len(keys) || keys[lo] != p.prefix {
		return lo
	}
	ties := lowerBound(keys[lo:], p.prefix+1)
	if p.prefix+1 == 0 {
		ties = len(keys) - lo
	}
	if s.whole() {
		if orEqual {
			return lo + ties
		}
		return lo
	}
	var buf [64]byte
	above := func(i int) bool {
		c := bytes.Compare(s.key(buf[:0], places[lo+i]), p.key)
		return c > 0 || c == 0 && !orEqual
	}
	if !above(ties - 1) { // as of a document that comes last
		return lo + ties
	}
	return lo + sort.Search(ties-1, above)
}

// lowerBound returns the number of keys that are less than k.
func lowerBound(keys []uint64, k uint64) int {
	lo, n := 0, len(keys)
	for n > 0 {
		half := n / 2
		if keys[lo+half] < k {
			lo += half + 1
			n -= half + 1
		} else {
			n = half
		}
	}
	return lo
}

// child returns the number of the node that p belongs into.
func (n *inner) child(s *sorter, p probe) int {
	return max(0, s.below(n.keys[:n.n], n.places[:n.n], p, true)-1)
}

func (n treeNode) first() (uint64, place) {
	if n.leaf != nil {
		return n.leaf.keys[0], n.leaf.places[0]
	}
	return n.inner.keys[0], n.inner.places[0]
}

func (n treeNode) len() int {
	switch {
	case n.leaf != nil:
		return n.leaf.n
	case n.inner != nil:
		total := 0
		for _, size := range n.inner.size[:n.inner.n] {
			total += size
		}
		return total
	}
	return 0
}

// own returns n, or a copy of it that may be changed.
func (c change) own(n treeNode) treeNode {
	switch {
	case n.leaf != nil && n.leaf.gen != c.gen:
		l := *n.leaf
		l.gen = c.gen
		return treeNode{leaf: &l}
	case n.inner != nil && n.inner.gen != c.gen:
		in := *n.inner
		in.gen = c.gen
		return treeNode{inner: &in}
	}
	return n
}

// set makes kid number i, with what the node keeps of it.
func (n *inner) set(i int, kid treeNode) {
	n.kids[i] = kid
	n.keys[i], n.places[i] = kid.first()
	n.size[i] = kid.len()
}

// insert adds the record r with the key.
func (c change) insert(t *tree, p probe, r place) {
	t.n++
	if t.root == (treeNode{}) {
		t.root.leaf = &leaf{gen: c.gen}
	}
	left, right := c.insertInto(t.root, p, r, true)
	t.root = left
	if right != (treeNode{}) {
		root := &inner{gen: c.gen, n: 2}
		root.set(0, left)
		root.set(1, right)
		t.root.leaf, t.root.inner = nil, root
	}
}

// insertInto adds to n and returns it, with a second node if it had to be
// split. Last says that n is at the right edge of the tree, where splits leave
// full nodes behind.
func (c change) insertInto(n treeNode, p probe, r place, last bool) (left, right treeNode) {
	n = c.own(n)
	if n.leaf != nil {
		right.leaf = c.insertLeaf(n.leaf, p, r, last)
		return n, right
	}
	in := n.inner
	i := in.child(c.sorter, p)
	kid, split := c.insertInto(in.kids[i], p, r, last && i == in.n-1)
	if split == (treeNode{}) {
		in.kids[i] = kid
		in.keys[i], in.places[i] = kid.first()
		in.size[i]++
		return n, right
	}
	in.set(i, kid)
	if in.n == innerSize {
		right.inner = c.splitInner(in, last && i == in.n-1)
		if i >= in.n {
			right.inner.insertKid(i-in.n+1, split)
			return n, right
		}
	}
	in.insertKid(i+1, split)
	return n, right
}

func (c change) insertLeaf(l *leaf, p probe, r place, last bool) (right *leaf) {
	at := c.below(l.keys[:l.n], l.places[:l.n], p, false)
	if l.n == leafSize {
		right = &leaf{gen: c.gen}
		keep := leafSize / 2
		if last && at == leafSize {
			keep = leafSize
		}
		right.n = leafSize - keep
		copy(right.keys[:], l.keys[keep:])
		copy(right.places[:], l.places[keep:])
		l.n = keep
		if at > keep || keep == leafSize {
			l, at = right, at-keep
		}
	}
	copy(l.keys[at+1:l.n+1], l.keys[at:l.n])
	copy(l.places[at+1:l.n+1], l.places[at:l.n])
	l.keys[at], l.places[at] = p.prefix, r
	l.n++
	return right
}

func (c change) splitInner(n *inner, last bool) *inner {
	keep := innerSize / 2
	if last {
		keep = innerSize - 1
	}
	right := &inner{gen: c.gen, n: n.n - keep}
	copy(right.keys[:], n.keys[keep:])
	copy(right.places[:], n.places[keep:])
	copy(right.size[:], n.size[keep:])
	copy(right.kids[:], n.kids[keep:])
	clear(n.kids[keep:])
	n.n = keep
	return right
}

func (n *inner) insertKid(i int, kid treeNode) {
	copy(n.keys[i+1:], n.keys[i:n.n])
	copy(n.places[i+1:], n.places[i:n.n])
	copy(n.size[i+1:], n.size[i:n.n])
	copy(n.kids[i+1:], n.kids[i:n.n])
	n.n++
	n.set(i, kid)
}

func (n *inner) removeKid(i int) {
	n.n--
	copy(n.keys[i:], n.keys[i+1:n.n+1])
	copy(n.places[i:], n.places[i+1:n.n+1])
	copy(n.size[i:], n.size[i+1:n.n+1])
	copy(n.kids[i:], n.kids[i+1:n.n+1])
	n.kids[n.n] = treeNode{}
}

// remove takes the record with the key out.
func (c change) remove(t *tree, p probe) {
	t.n--
	t.root = c.removeFrom(t.root, p)
	for t.root.inner != nil && t.root.inner.n == 1 {
		t.root = t.root.inner.kids[0]
	}
	if t.n == 0 {
		t.root = treeNode{}
	}
}

func (c change) removeFrom(n treeNode, p probe) treeNode {
	n = c.own(n)
	if l := n.leaf; l != nil {
		at := c.below(l.keys[:l.n], l.places[:l.n], p, false)
		l.n--
		copy(l.keys[at:l.n], l.keys[at+1:l.n+1])
		copy(l.places[at:l.n], l.places[at+1:l.n+1])
		return n
	}
	in := n.inner
	i := in.child(c.sorter, p)
	kid := c.removeFrom(in.kids[i], p)
	if in.size[i] == 1 {
		in.removeKid(i)
		return n
	}
	in.kids[i] = kid
	in.keys[i], in.places[i] = kid.first()
	in.size[i]--
	c.join(in, i)
	return n
}

// join puts kid i together with one beside it if both then fit well.
func (c change) join(n *inner, i int) {
	if i > 0 && c.joined(n, i-1) {
		return
	}
	if i+1 < n.n {
		c.joined(n, i)
	}
}

func (c change) joined(n *inner, i int) bool {
	a, b := n.kids[i], n.kids[i+1]
	switch {
	case a.leaf != nil && a.leaf.n+b.leaf.n <= leafSize*3/4:
		a = c.own(a)
		copy(a.leaf.keys[a.leaf.n:], b.leaf.keys[:b.leaf.n])
		copy(a.leaf.places[a.leaf.n:], b.leaf.places[:b.leaf.n])
		a.leaf.n += b.leaf.n
	case a.inner != nil && a.inner.n+b.inner.n <= innerSize*3/4:
		a = c.own(a)
		to, from := a.inner, b.inner
		copy(to.keys[to.n:], from.keys[:from.n])
		copy(to.places[to.n:], from.places[:from.n])
		copy(to.size[to.n:], from.size[:from.n])
		copy(to.kids[to.n:], from.kids[:from.n])
		to.n += from.n
	default:
		return false
	}
	n.removeKid(i + 1)
	n.set(i, a)
	return true
}

// replace puts r in the place of the record with the same key.
func (c change) replace(t *tree, p probe, r place) {
	t.root = c.replaceIn(t.root, p, r)
}

func (c change) replaceIn(n treeNode, p probe, r place) treeNode {
	n = c.own(n)
	if l := n.leaf; l != nil {
		l.places[c.below(l.keys[:l.n], l.places[:l.n], p, false)] = r
		return n
	}
	in := n.inner
	i := in.child(c.sorter, p)
	in.kids[i] = c.replaceIn(in.kids[i], p, r)
	in.keys[i], in.places[i] = in.kids[i].first()
	return n
}

// rank returns how many records are below p.
func (t *tree) rank(s *sorter, p probe) int {
	rank, n := 0, t.root
	for n.inner != nil {
		i := n.inner.child(s, p)
		for _, size := range n.inner.size[:i] {
			rank += size
		}
		n = n.inner.kids[i]
	}
	if n.leaf != nil {
		rank += s.below(n.leaf.keys[:n.leaf.n], n.leaf.places[:n.leaf.n], p, false)
	}
	return rank
}

// find returns the record with the key, or none.
func (t *tree) find(s *sorter, p probe) place {
	n := t.root
	for n.inner != nil {
		n = n.inner.kids[n.inner.child(s, p)]
	}
	if n.leaf == nil {
		return 0
	}
	l := n.leaf
	i := s.below(l.keys[:l.n], l.places[:l.n], p, false)
	if i == l.n || l.keys[i] != p.prefix {
		return 0
	}
	var buf [64]byte
	if !s.whole() && !bytes.Equal(s.key(buf[:0], l.places[i]), p.key) {
		return 0
	}
	return l.places[i]
}

// each yields the records from number i to before number j, and the first 8
// bytes of their keys, until yield returns false.
func (t *tree) each(i, j int, yield func(uint64, place) bool) {
	if i < j {
		t.root.each(i, j, yield)
	}
}

func (n treeNode) each(i, j int, yield func(uint64, place) bool) bool {
	if l := n.leaf; l != nil {
		for ; i < min(j, l.n); i++ {
			if !yield(l.keys[i], l.places[i]) {
				return false
			}
		}
		return true
	}
	for k := 0; k < n.inner.n && j > 0; k++ {
		size := n.inner.size[k]
		if i < size && !n.inner.kids[k].each(max(0, i), j, yield) {
			return false
		}
		i, j = i-size, j-size
	}
	return true
}

// back is each from number j-1 down to number i.
func (t *tree) back(i, j int, yield func(uint64, place) bool) {
	if i < j {
		t.root.back(i, j, yield)
	}
}

func (n treeNode) back(i, j int, yield func(uint64, place) bool) bool {
	if l := n.leaf; l != nil {
		for j = min(j, l.n); j > max(0, i); j-- {
			if !yield(l.keys[j-1], l.places[j-1]) {
				return false
			}
		}
		return true
	}
	start := n.len()
	for k := n.inner.n - 1; k >= 0 && start > i; k-- {
		start -= n.inner.size[k]
		if start < j && !n.inner.kids[k].back(i-start, j-start, yield) {
			return false
		}
	}
	return true
}

// builder makes a tree of records that come in order, with full nodes.
type builder struct {
	gen    uint64
	n      int
	leaf   *leaf
	leaves []*leaf
}

func (b *builder) add(key uint64, r place) {
	if b.leaf == nil || b.leaf.n == leafSize {
		b.leaf = &leaf{gen: b.gen}
		b.leaves = append(b.leaves, b.leaf)
	}
	b.leaf.keys[b.leaf.n], b.leaf.places[b.leaf.n] = key, r
	b.leaf.n++
	b.n++
}

func (b *builder) tree() tree {
	if b.n == 0 {
		return tree{}
	}
	level := make([]treeNode, len(b.leaves))
	for i, l := range b.leaves {
		level[i].leaf = l
	}
	for len(level) > 1 {
		var above []treeNode
		for len(level) > 0 {
			in := &inner{gen: b.gen, n: min(innerSize, len(level))}
			for i := range in.n {
				in.set(i, level[i])
			}
			above = append(above, treeNode{inner: in})
			level = level[in.n:]
		}
		level = above
	}
	return tree{level[0], b.n}
}
