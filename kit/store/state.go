package store

import (
	"math"
	"strings"
	"time"

	"github.com/google/btree"

	"landfall.dev/kit"
)

// doc is a document or a tombstone as the state keeps it. It never changes:
// snapshots and readers share it.
type doc struct {
	rec    kit.Record
	origin Origin
	hash   [16]byte // Hash(rec); zero for a tombstone
	num    uint64   // the id as a number, or MaxUint64 if it is none
}

func newDoc(r kit.Record, o Origin) *doc {
	d := &doc{rec: r, origin: o, num: number(r.Link.ID())}
	if !r.Deleted {
		d.hash = Hash(r)
	}
	return d
}

// number returns id as a number, or MaxUint64 for one that is none, so that
// numeric ids sort first and by value. Leading zeros make two ids of a number,
// so these are none.
func number(id string) uint64 {
	if id == "" || len(id) > 18 || id[0] == '0' {
		return math.MaxUint64
	}
	var n uint64
	for i := range len(id) {
		if id[i] < '0' || id[i] > '9' {
			return math.MaxUint64
		}
		n = n*10 + uint64(id[i]-'0')
	}
	return n
}

// due is when Tick has to do something about d; zero is never.
func (d *doc) due() time.Time {
	if d.rec.Deleted {
		return d.rec.Updated.Add(TombstoneAge)
	}
	return d.rec.Expires
}

// head is the part of the state that is not documents. Its maps are replaced,
// not changed, so a copy of a head is a snapshot of it.
type head struct {
	entries  int64 // applied so far
	epoch    int64 // 0 before the first entry
	seq      int64 // of the last change to a document
	time     time.Time
	fence    Fence
	counters map[string]int64  // by kind: the last id allocated
	floors   map[string]int64  // by kind: the highest seq of a collected tombstone
	cursors  map[string]Cursor // by name
}

// state is all that a node knows. A clone of it costs nothing and shares what
// neither changes.
type state struct {
	head
	live    *btree.BTreeG[*doc] // by kind and id
	dead    *btree.BTreeG[*doc] // tombstones, by kind and id
	feed    *btree.BTreeG[*doc] // both, by seq
	changed *btree.BTreeG[*doc] // both, by kind and seq
	created *btree.BTreeG[*doc] // live, by kind, time and id
	updated *btree.BTreeG[*doc] // live, by kind, time and id
	due     *btree.BTreeG[*doc] // those that have a due time, by that
}

func newState() *state {
	tree := func(less btree.LessFunc[*doc]) *btree.BTreeG[*doc] { return btree.NewG(32, less) }
	return &state{
		live: tree(byLink), dead: tree(byLink), feed: tree(bySeq), changed: tree(byKindSeq),
		created: tree(byCreated), updated: tree(byUpdated), due: tree(byDue),
	}
}

// clone must not be called concurrently with any use of s.
func (s *state) clone() *state {
	return &state{
		head: s.head,
		live: s.live.Clone(), dead: s.dead.Clone(), feed: s.feed.Clone(), changed: s.changed.Clone(),
		created: s.created.Clone(), updated: s.updated.Clone(), due: s.due.Clone(),
	}
}

// find returns the document or tombstone at the link of key, or nil.
func (s *state) find(key *doc) *doc {
	if d, ok := s.live.Get(key); ok {
		return d
	}
	d, _ := s.dead.Get(key)
	return d
}

// put makes d the document or tombstone at its link and returns what it takes
// the place of, or nil.
func (s *state) put(d *doc) *doc {
	old := s.find(d)
	if old != nil {
		s.drop(old, d)
	}
	s.feed.ReplaceOrInsert(d)
	s.changed.ReplaceOrInsert(d)
	if !d.due().IsZero() {
		s.due.ReplaceOrInsert(d)
	}
	if d.rec.Deleted {
		s.dead.ReplaceOrInsert(d)
		return old
	}
	s.live.ReplaceOrInsert(d)
	s.created.ReplaceOrInsert(d)
	s.updated.ReplaceOrInsert(d)
	return old
}

// drop takes old out of all trees but those where next, if not nil, will
// replace it because their key is equal.
func (s *state) drop(old, next *doc) {
	s.feed.Delete(old)
	s.changed.Delete(old)
	if !old.due().IsZero() {
		s.due.Delete(old)
	}
	if old.rec.Deleted {
		s.dead.Delete(old)
		return
	}
	s.updated.Delete(old)
	if next == nil || next.rec.Deleted {
		s.live.Delete(old)
	}
	if next == nil || next.rec.Deleted || !next.rec.Created.Equal(old.rec.Created) {
		s.created.Delete(old)
	}
}

// linkKey returns what is equal to the document at l in a tree by link.
func linkKey(l kit.Link) *doc {
	return &doc{rec: kit.Record{Meta: kit.Meta{Link: l, Kind: l.Kind()}}, num: number(l.ID())}
}

func byLink(a, b *doc) bool {
	if c := strings.Compare(a.rec.Kind, b.rec.Kind); c != 0 {
		return c < 0
	}
	return byID(a, b)
}

// byID orders documents of one kind.
func byID(a, b *doc) bool {
	if a.num != b.num {
		return a.num < b.num
	}
	return a.rec.Link < b.rec.Link
}

func bySeq(a, b *doc) bool { return a.rec.Seq < b.rec.Seq }

func byKindSeq(a, b *doc) bool {
	if c := strings.Compare(a.rec.Kind, b.rec.Kind); c != 0 {
		return c < 0
	}
	return a.rec.Seq < b.rec.Seq
}

func byCreated(a, b *doc) bool { return byTime(a, b, a.rec.Created, b.rec.Created) }
func byUpdated(a, b *doc) bool { return byTime(a, b, a.rec.Updated, b.rec.Updated) }

func byTime(a, b *doc, at, bt time.Time) bool {
	if c := strings.Compare(a.rec.Kind, b.rec.Kind); c != 0 {
		return c < 0
	}
	if c := at.Compare(bt); c != 0 {
		return c < 0
	}
	return byID(a, b)
}

func byDue(a, b *doc) bool {
	if c := a.due().Compare(b.due()); c != 0 {
		return c < 0
	}
	return byLink(a, b)
}
