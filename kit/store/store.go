package store

import (
	"fmt"
	"sync"

	"landfall.dev/kit"
)

// Store is the state of one node. Its methods may be called concurrently,
// except that Decide, Apply and Restore are called by one goroutine. What they
// return is shared: callers do not change the bytes of a Record.
type Store struct {
	kinds   *Kinds
	filters filterCache

	mu      sync.RWMutex
	state   *state
	view    *state          // a clone of state, or nil if state has changed since
	counts  map[string]int  // live documents by kind
	own     *[Buckets]tally // see SideOwn
	origin  *[Buckets]tally // see SideOrigin
	changed chan struct{}   // closed at the next change
}

// New returns an empty store of documents of the given kinds. All kinds are
// added before entries are applied.
func New(kinds *Kinds) *Store {
	return &Store{
		kinds:   kinds,
		state:   newState(),
		counts:  map[string]int{},
		own:     new([Buckets]tally),
		origin:  new([Buckets]tally),
		changed: make(chan struct{}),
	}
}

// Read returns the document at link, or ErrNotFound.
func (s *Store) Read(link kit.Link) (kit.Record, error) {
	if err := link.Check(); err != nil {
		return kit.Record{}, err
	}
	if _, err := s.kinds.known(link); err != nil {
		return kit.Record{}, err
	}
	if d := s.find(link); d != nil && !d.rec.Deleted {
		return d.rec, nil
	}
	return kit.Record{}, notFound(link)
}

func notFound(link kit.Link) error {
	return &kit.Error{
		Fault:  kit.ErrNotFound,
		Link:   link,
		Detail: "there is no such document",
		Hint:   fmt.Sprintf("list %s to see which there are", link.Kind()),
	}
}

func (s *Store) find(link kit.Link) *doc {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.find(linkKey(link))
}

// Position is the place in the log up to which entries are applied. It is zero
// until the first one.
func (s *Store) Position() kit.Position { return s.head().position() }

func (h head) position() kit.Position { return kit.Position{Epoch: h.epoch, Seq: h.seq} }

// Count returns the number of documents of the kind.
func (s *Store) Count(kind string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.counts[kind]
}

// Cursor returns the cursor that was kept last under the name.
func (s *Store) Cursor(name string) (Cursor, bool) {
	c, ok := s.head().cursors[name]
	return c, ok
}

// Fenced returns the epoch of the last fence, and whether it is up.
func (s *Store) Fenced() (epoch int64, on bool) {
	f := s.head().fence
	return f.Epoch, f.On
}

func (s *Store) head() head {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.head
}

// Changed returns a channel that is closed at the next Apply or Restore. Take
// it before looking, so that nothing is missed in between.
func (s *Store) Changed() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.changed
}

// Sums returns the digest of the documents on that side. They are kept up with
// every change, so this takes the same time for any number of documents.
func (s *Store) Sums(side Side) Sums {
	s.mu.RLock()
	defer s.mu.RUnlock()
	from := s.own
	if side == SideOrigin {
		from = s.origin
	}
	sums := make(Sums, Buckets)
	for i := range sums {
		sums[i] = from[i].bucket()
	}
	return sums
}

// frozen returns the state as it is now, to be read for as long as it takes
// without a lock. The same serves all readers until the next change.
func (s *Store) frozen() *state {
	s.mu.RLock()
	v := s.view
	s.mu.RUnlock()
	if v != nil {
		return v
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil {
		s.view = s.state.clone()
	}
	return s.view
}

// tell wakes who waits for a change. The caller holds the lock.
func (s *Store) tell() {
	s.view = nil
	close(s.changed)
	s.changed = make(chan struct{})
}

// count keeps the counts and sums: next, if not nil, takes the place of old,
// if not nil. The caller holds the lock.
func (s *Store) count(old, next *doc) {
	if old != nil && !old.rec.Deleted {
		s.counts[old.rec.Kind]--
		if !s.kinds.local(old.rec.Kind) {
			b := BucketOf(old.rec.Link)
			s.own[b].remove(old.hash)
			if old.origin.Hash != ([16]byte{}) {
				s.origin[b].remove(old.origin.Hash)
			}
		}
	}
	if next == nil || next.rec.Deleted {
		return
	}
	s.counts[next.rec.Kind]++
	if !s.kinds.local(next.rec.Kind) {
		b := BucketOf(next.rec.Link)
		s.own[b].add(next.hash)
		if next.origin.Hash != ([16]byte{}) {
			s.origin[b].add(next.origin.Hash)
		}
	}
}
