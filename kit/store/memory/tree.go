package memory

import (
	"bytes"
	"cmp"
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

// inner has for each of its nodes the first record, with more of its key than a
// leaf has, and the number of records.
type inner struct {
	gen    uint64
	n      int
	knows  bool // more of all keys: as soon as a change is made
	keys   [innerSize]uint64
	more   [innerSize]more
	places [innerSize]place
	size   [innerSize]int
	kids   [innerSize]treeNode
}

// more is what a key has after its first 8 bytes, up to 16 bytes, as numbers.
// Keys of a time and an id are told apart by them.
type more [2]uint64

func (m more) compare(o more) int {
	if m[0] != o[0] {
		return cmp.Compare(m[0], o[0])
	}
	return cmp.Compare(m[1], o[1])
}

// moreOf returns that of the key; missing bytes are zero.
func moreOf(key []byte) (m more) {
	if len(key) > 8 {
		m[0] = prefixOf(key[8:])
	}
	if len(key) > 16 {
		m[1] = prefixOf(key[16:])
	}
	return m
}

// probe is a key to look for.
type probe struct {
	prefix uint64 // its first 8 bytes
	more   more
	key    []byte
}

func newProbe(key []byte) probe { return probe{prefixOf(key), moreOf(key), key} }

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

// below returns how many of the records are below p, or also equal to it. There
// need not be more of their keys.
func (s *sorter) below(keys []uint64, more []more, places []place, p probe, orEqual bool) int {
	lo := lowerBound(keys, p.prefix)
	if lo == len(keys) || keys[lo] != p.prefix {
		return lo
	}
	ties := lowerBound(keys[lo:], p.prefix+1)
	if p.prefix+1 == 0 {
		ties = len(keys) - lo
	}
	if s.exact(p) {
		if orEqual {
			return lo + ties
		}
		return lo
	}
	if more != nil {
		same := more[lo : lo+ties]
		skip := sort.Search(ties, func(i int) bool { return same[i].compare(p.more) >= 0 })
		lo, same = lo+skip, same[skip:]
		if ties = sort.Search(len(same), func(i int) bool { return same[i].compare(p.more) > 0 }); ties == 0 {
			return lo
		}
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
	more := n.more[:n.n]
	if !n.knows {
		more = nil
	}
	return max(0, s.below(n.keys[:n.n], more, n.places[:n.n], p, true)-1)
}

// first returns the first record of the node, with the first 8 bytes of its key.
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
		n.inner = &in
	}
	if in := n.inner; in != nil && !in.knows {
		for i := range in.n {
			c.setFirst(in, i)
		}
		in.knows = true
	}
	return n
}

// setFirst keeps what the first record of kid i is now.
func (s *sorter) setFirst(n *inner, i int) {
	b := s.branchOf(n.kids[i])
	n.keys[i], n.more[i], n.places[i] = b.key, b.more, b.place
}

// changed makes kid number i what came of it by a change.
func (c change) changed(n *inner, i int, kid treeNode) {
	n.kids[i] = kid
	if _, first := kid.first(); first != n.places[i] {
		c.setFirst(n, i)
	}
}

func (n *inner) removeKid(i int) {
	n.n--
	copy(n.keys[i:], n.keys[i+1:n.n+1])
	copy(n.more[i:], n.more[i+1:n.n+1])
	copy(n.places[i:], n.places[i+1:n.n+1])
	copy(n.size[i:], n.size[i+1:n.n+1])
	copy(n.kids[i:], n.kids[i+1:n.n+1])
	n.kids[n.n] = treeNode{}
}

// index returns where the record at r is, which the leaf has with the key p.
// So it need not look at a record.
func (l *leaf) index(p probe, r place) int {
	i := lowerBound(l.keys[:l.n], p.prefix)
	for l.places[i] != r {
		i++
	}
	return i
}

// remove takes the record at r with the key out, which is there.
func (c change) remove(t *tree, p probe, r place) {
	t.n--
	t.root = c.removeFrom(t.root, p, r)
	for t.root.inner != nil && t.root.inner.n == 1 {
		t.root = t.root.inner.kids[0]
	}
	if t.n == 0 {
		t.root = treeNode{}
	}
}

func (c change) removeFrom(n treeNode, p probe, r place) treeNode {
	n = c.own(n)
	if l := n.leaf; l != nil {
		at := l.index(p, r)
		l.n--
		copy(l.keys[at:l.n], l.keys[at+1:l.n+1])
		copy(l.places[at:l.n], l.places[at+1:l.n+1])
		return n
	}
	in := n.inner
	i := in.child(c.sorter, p)
	kid := c.removeFrom(in.kids[i], p, r)
	if in.size[i] == 1 {
		in.removeKid(i)
		return n
	}
	c.changed(in, i, kid)
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
	case a.leaf != nil && n.size[i]+n.size[i+1] <= leafSize*3/4:
		a = c.own(a)
		copy(a.leaf.keys[a.leaf.n:], b.leaf.keys[:b.leaf.n])
		copy(a.leaf.places[a.leaf.n:], b.leaf.places[:b.leaf.n])
		a.leaf.n += b.leaf.n
	case a.inner != nil && a.inner.n+b.inner.n <= innerSize*3/4:
		a, b = c.own(a), c.own(b)
		to, from := a.inner, b.inner
		copy(to.keys[to.n:], from.keys[:from.n])
		copy(to.more[to.n:], from.more[:from.n])
		copy(to.places[to.n:], from.places[:from.n])
		copy(to.size[to.n:], from.size[:from.n])
		copy(to.kids[to.n:], from.kids[:from.n])
		to.n += from.n
	default:
		return false
	}
	n.size[i] += n.size[i+1]
	n.kids[i] = a
	n.removeKid(i + 1)
	return true
}

// replace puts r in the place of the record at old, which is there with the
// same key.
func (c change) replace(t *tree, p probe, old, r place) {
	t.root = c.replaceIn(t.root, p, old, r)
}

func (c change) replaceIn(n treeNode, p probe, old, r place) treeNode {
	n = c.own(n)
	if l := n.leaf; l != nil {
		l.places[l.index(p, old)] = r
		return n
	}
	in := n.inner
	i := in.child(c.sorter, p)
	in.kids[i] = c.replaceIn(in.kids[i], p, old, r)
	_, in.places[i] = in.kids[i].first()
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
		rank += s.below(n.leaf.keys[:n.leaf.n], nil, n.leaf.places[:n.leaf.n], p, false)
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
	i := s.below(l.keys[:l.n], nil, l.places[:l.n], p, false)
	if i == l.n || l.keys[i] != p.prefix {
		return 0
	}
	var buf [64]byte
	if !s.exact(p) && !bytes.Equal(s.key(buf[:0], l.places[i]), p.key) {
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

// tree returns the tree of them. Its inner nodes do not know more of keys.
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
				in.kids[i], in.size[i] = level[i], level[i].len()
				in.keys[i], in.places[i] = level[i].first()
			}
			above = append(above, treeNode{inner: in})
			level = level[in.n:]
		}
		level = above
	}
	return tree{level[0], b.n}
}
