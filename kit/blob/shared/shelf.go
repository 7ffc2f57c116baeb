package shared

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/blob"
)

// shelf is what one node holds. It implements blob.Source.
type shelf struct {
	disk  *blob.Disk
	limit int64

	mu       sync.Mutex
	used     int64                // bytes, with what is being written
	held     map[kit.Digest]int64 // sizes
	arrivals []kit.Digest         // in their order, each once, and some that are gone
	era      string               // of the arrivals
}

func openShelf(dir string, limit int64) (*shelf, error) {
	disk, err := blob.Open(dir)
	if err != nil {
		return nil, err
	}
	s := &shelf{disk: disk, limit: limit}
	if s.held, err = disk.All(); err != nil {
		return nil, err
	}
	for _, n := range s.held {
		s.used += n
	}
	s.begin()
	return s, nil
}

// begin begins a new era of arrivals. The caller holds mu, or is alone.
func (s *shelf) begin() {
	s.era = rand.Text()
	s.arrivals = make([]kit.Digest, 0, len(s.held))
	for d := range s.held {
		s.arrivals = append(s.arrivals, d)
	}
}

func (s *shelf) size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

func (s *shelf) has(d kit.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.held[d]
	return ok
}

// all returns the digests of what is held.
func (s *shelf) all() []kit.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]kit.Digest, 0, len(s.held))
	for d := range s.held {
		all = append(all, d)
	}
	return all
}

// Put implements blob.Source.
func (s *shelf) Put(ctx context.Context, r io.Reader, want kit.Digest) (kit.Digest, int64, error) {
	m := &metered{r: r, shelf: s}
	d, n, err := s.disk.Put(ctx, m, want)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.used -= m.n
		return "", 0, cmp.Or(m.full, err)
	}
	if _, again := s.held[d]; again {
		s.used -= m.n
		return d, n, nil
	}
	s.held[d] = n
	s.arrivals = append(s.arrivals, d)
	return d, n, nil
}

// Open implements blob.Source.
func (s *shelf) Open(ctx context.Context, d kit.Digest) (kit.Blob, error) {
	return s.disk.Open(ctx, d)
}

// touch makes the blob as old as now.
func (s *shelf) touch(d kit.Digest) error { return s.disk.Touch(d, time.Now()) }

// expire removes the blob if it is older than before.
func (s *shelf) expire(ctx context.Context, d kit.Digest, before time.Time) (gone bool, err error) {
	s.mu.Lock() // over the removal: who puts it once more counts it anew
	defer s.mu.Unlock()
	if gone, err = s.disk.Expire(ctx, d, before); gone && err == nil {
		s.used -= s.held[d]
		delete(s.held, d)
	}
	if len(s.arrivals) > 2*len(s.held)+1000 {
		s.begin()
	}
	return gone, err
}

// maxArrived is how many arrivals are told at once.
const maxArrived = 10_000

// arrived is what Blobs.Arrived returns.
func (s *shelf) arrived(cursor string) (digests []kit.Digest, next string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := 0
	if era, place, ok := strings.Cut(cursor, "."); ok && era == s.era {
		if n, err := strconv.Atoi(place); err == nil && n >= 0 && n <= len(s.arrivals) {
			from = n
		}
	}
	for ; from < len(s.arrivals) && len(digests) < maxArrived; from++ {
		d := s.arrivals[from]
		if _, ok := s.held[d]; ok {
			digests = append(digests, d)
		}
	}
	return digests, fmt.Sprintf("%s.%d", s.era, from)
}

// metered counts what is read against the limit of the shelf.
type metered struct {
	r     io.Reader
	shelf *shelf
	n     int64
	full  error // why it ended, if it is that
}

func (m *metered) Read(b []byte) (int, error) {
	n, err := m.r.Read(b)
	m.shelf.mu.Lock()
	defer m.shelf.mu.Unlock()
	m.n += int64(n)
	m.shelf.used += int64(n)
	if m.shelf.used > m.shelf.limit {
		m.full = &kit.Error{
			Fault:  kit.ErrFull,
			Detail: fmt.Sprintf("the node keeps %d bytes of blobs at most, and has no room for this one", m.shelf.limit),
			Hint:   "raise the limit of the platform (platform.Config.Blobs), or delete documents that name blobs: these go a day later",
		}
		err = m.full
	}
	return n, err
}
