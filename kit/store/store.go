package store

import (
	"fmt"
	"sync"
	"sync/atomic"

	"landfall.dev/kit"
	"landfall.dev/kit/store/digest"
	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/memory"
	"landfall.dev/kit/store/memory/arena"
	"landfall.dev/kit/store/query"
)

// Store is the state of one node. Its methods may be called concurrently,
// except that Decide, Apply and Restore are called by one goroutine. What they
// return is shared: callers do not change the bytes of a Record.
type Store struct {
	kinds   *Kinds
	filters query.Cache
	closed  atomic.Bool // the fence is: see Closed
	at      atomic.Pointer[kit.Position]
	decided *decided // what Apply need not take apart; of the goroutine that calls it
	trails  trails

	mu      sync.RWMutex
	engine  *memory.Engine
	head    head
	view    *view         // of the state now, or nil if that has changed since
	changed chan struct{} // closed at the next change
}

// New returns an empty store of documents of the given kinds. All kinds are
// added before entries are applied.
func New(kinds *Kinds) *Store {
	return &Store{kinds: kinds, engine: memory.New(kinds.memory, arena.ChunkBytes, memory.StepBytes), changed: make(chan struct{})}
}

// Read returns the document at link, or ErrNotFound.
func (s *Store) Read(link kit.Link) (kit.Record, error) {
	if r, ok := s.read(link); ok {
		return r, nil
	}
	if _, err := s.readable(link); err != nil {
		return kit.Record{}, err
	}
	return kit.Record{}, notFound(link)
}

func (s *Store) read(link kit.Link) (r kit.Record, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.engine.Read(link)
}

// readable returns the kind of link, or why no document can be there.
func (s *Store) readable(link kit.Link) (*kind, error) {
	if err := link.Check(); err != nil {
		return nil, err
	}
	return s.kinds.known(link)
}

func notFound(link kit.Link) error {
	return &kit.Error{
		Fault:  kit.ErrNotFound,
		Link:   link,
		Detail: "there is no such document",
		Hint:   fmt.Sprintf("list %s to see which there are", link.Kind()),
	}
}

// find returns the document or tombstone at link, or nil.
func (s *Store) find(link kit.Link) *frame.Frame {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f, ok := s.engine.Find(link)
	if !ok {
		return nil
	}
	found := f // so that there is nothing to allocate where there is none
	return &found
}

// Position is the place in the log up to which entries are applied. It is zero
// until the first one.
func (s *Store) Position() kit.Position {
	if at := s.at.Load(); at != nil {
		return *at
	}
	return kit.Position{}
}

// Count returns the number of documents of the kind.
func (s *Store) Count(kind string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.engine.Count(kind)
}

// Cursor returns the cursor that was kept last under the name.
func (s *Store) Cursor(name string) (Cursor, bool) {
	c, ok := s.now().cursors[name]
	return c, ok
}

// Fenced returns the epoch of the last fence, and whether it is up.
func (s *Store) Fenced() (epoch int64, on bool) {
	f := s.now().fence
	return f.Epoch, f.On
}

// Fence returns the fence as it is.
func (s *Store) Fence() Fence { return s.now().fence }

// Closed tells whether the fence is up and clients may not read either.
func (s *Store) Closed() bool { return s.closed.Load() }

func (s *Store) now() head {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.head
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
func (s *Store) Sums(side digest.Side) digest.Sums {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.engine.Sums(side)
}

// SumsOf returns the digest of the documents in which those that were imported
// in the stream, and not changed since, count by what they were at their
// origin, and all others by what they are.
func (s *Store) SumsOf(stream string) digest.Sums {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.engine.SumsOf(stream)
}

// CameIn tells whether all documents, but for local ones, were imported in the
// stream and not changed since. It takes the same time for any number of
// documents.
func (s *Store) CameIn(stream string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.engine.CameIn(stream)
}

// Find returns the document or tombstone at link with its origin, if there is
// one.
func (s *Store) Find(link kit.Link) (frame.Frame, bool) {
	f := s.find(link)
	if f == nil {
		return frame.Frame{}, false
	}
	return *f, true
}

// ReadAsOf returns the document at link as it was at the position, or
// ErrNotFound. It is ErrGone where the history kept does not go back so far,
// and ErrUnavailable if this store is not there yet.
func (s *Store) ReadAsOf(link kit.Link, at kit.Position) (kit.Record, error) {
	if _, err := s.readable(link); err != nil {
		return kit.Record{}, err
	}
	r, found, err := s.frozen().ReadAsOf(link, at)
	if err == nil && !found {
		err = notFound(link)
	}
	return r, err
}

// frozen returns the state as it is now, to be read for as long as it takes
// without a lock. The same serves all readers until the next change.
func (s *Store) frozen() view {
	s.mu.RLock()
	v := s.view
	s.mu.RUnlock()
	if v != nil {
		return *v
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil {
		s.view = &view{s.engine.Freeze(), s.head}
	}
	return *s.view
}

// tell wakes who waits for a change. The caller holds the lock.
func (s *Store) tell() {
	s.view = nil
	s.closed.Store(s.head.fence.On && s.head.fence.Closed)
	at := s.head.position()
	s.at.Store(&at)
	close(s.changed)
	s.changed = make(chan struct{})
}
