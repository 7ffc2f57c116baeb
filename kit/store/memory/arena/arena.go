// Package arena keeps records of bytes in chunks of memory, and tells which
// chunks are worth emptying.
//
// It owns the chunks and how much of each is alive. It never knows what a record
// is, nor who points to it.
package arena

import "fmt"

// Place is where a record is in an arena: the number of its chunk, and its
// offset there in units. Zero is none.
type Place uint32

// ChunkBytes is the size of a chunk that has grown up.
const ChunkBytes = 256 << 10

const (
	unit       = 8        // bytes; records start at multiples of it
	firstChunk = 16 << 10 // bytes of the first chunk of an arena
	offsetBits = 15       // of a place: log2(ChunkBytes / unit)
	maxChunks  = 1 << (32 - offsetBits)
)

func (r Place) chunk() int  { return int(r >> offsetBits) }
func (r Place) offset() int { return int(r&(1<<offsetBits-1)) * unit }

// Memory is the chunks of an arena, by number; one that is free is nil.
type Memory [][]byte

// At returns what starts at r.
func (m Memory) At(r Place) []byte { return m[r.chunk()][r.offset():] }

// Arena holds records in chunks of memory without pointers, so that the
// garbage collector has nothing to do with their number. What is written is
// never changed: a chunk that has too little left of value is emptied by
// compaction and dropped, and lives on for as long as a view or a Record still
// points into it.
//
// Recent versions of the history have chunks of their own: what came in together
// is forgotten at about the same time, so these are not emptied but die.
type Arena struct {
	Memory
	size   int    // of a grown up chunk, ChunkBytes but in tests
	shared bool   // a view has memory too: replace it instead of changing it
	use    []used // by number of the chunk
	free   []int  // numbers of chunks that are nil
	open   int    // the number of the chunk that is being filled, or -1
	aging  int    // the number of the chunk that is being filled with recent versions, or -1
	moving int    // the number of the chunk that is being emptied, or -1
	moved  int    // how far it is, in bytes
	live   int64  // bytes of all records that are alive
	dead   int64  // bytes of those that are not, but for versions that were recent
	held   int64  // bytes of all chunks
}

// used says of a chunk how much of it is written, and how much of that is
// alive, in bytes.
type used struct {
	written, live int
	ages          bool // its records are recent versions
}

// New returns an empty one, with chunks of so many bytes: ChunkBytes but in
// tests.
func New(size int) Arena { return Arena{size: size, open: -1, aging: -1, moving: -1} }

// ChunkSize is what New was called with.
func (a *Arena) ChunkSize() int { return a.size }

// Live returns how many bytes all records have that are alive.
func (a *Arena) Live() int64 { return a.live }

// Held returns how many bytes all chunks have.
func (a *Arena) Held() int64 { return a.held }

// Freeze returns the memory as it is, for a view.
func (a *Arena) Freeze() Memory {
	a.shared = true
	return a.Memory
}

// Add copies the record in and returns its place. Full tells when there is
// none left.
func (a *Arena) Add(rec []byte) Place { return a.addTo(&a.open, rec, false) }

// Move takes the record of n bytes at r to the chunks of recent versions, if it
// ages, or to the others, and returns its place there. One that has a chunk to
// itself stays.
func (a *Arena) Move(r Place, n int, ages bool) Place {
	if roundUp(n) > a.size/4 {
		a.use[r.chunk()].ages = ages
		return r
	}
	open := &a.open
	if ages {
		open = &a.aging
	}
	to := a.addTo(open, a.At(r)[:n], ages)
	a.Drop(r, n)
	return to
}

func (a *Arena) addTo(open *int, rec []byte, ages bool) Place {
	n := roundUp(len(rec))
	if n > a.size/4 {
		return a.write(a.chunk(n, ages), rec, n)
	}
	if c := *open; c < 0 || a.use[c].written+n > len(a.Memory[c]) {
		*open = a.chunk(min(a.size, max(firstChunk, int(a.held), n)), ages)
		if c >= 0 {
			a.check(c)
		}
	}
	return a.write(*open, rec, n)
}

func (a *Arena) write(c int, rec []byte, n int) Place {
	u := &a.use[c]
	offset := u.written
	copy(a.Memory[c][offset:], rec)
	u.written += n
	u.live += n
	a.live += int64(n)
	return Place(c<<offsetBits | offset/unit)
}

// start is where the records of a chunk begin. The first has nothing at its
// start, because that place means none.
func start(c int) int {
	if c == 0 {
		return unit
	}
	return 0
}

// chunk makes a new one of n bytes and returns its number.
func (a *Arena) chunk(n int, ages bool) int {
	c := len(a.Memory)
	if last := len(a.free) - 1; last >= 0 {
		c, a.free = a.free[last], a.free[:last]
		a.unshare()
	} else {
		a.Memory, a.use = append(a.Memory, nil), append(a.use, used{})
	}
	skip := start(c)
	a.Memory[c], a.use[c] = make([]byte, n+skip), used{written: skip, ages: ages}
	a.held += int64(n + skip)
	return c
}

// unshare makes sure that no view sees what is done to the list of chunks.
func (a *Arena) unshare() {
	if a.shared {
		a.Memory = append(make(Memory, 0, cap(a.Memory)), a.Memory...)
		a.shared = false
	}
}

// Drop says that the record of n bytes at r is not needed any more.
func (a *Arena) Drop(r Place, n int) {
	n = roundUp(n)
	u := &a.use[r.chunk()]
	u.live -= n
	a.live -= int64(n)
	if !u.ages {
		a.dead += int64(n)
	}
	a.check(r.chunk())
}

// check frees a chunk that has nothing of value left. One that is still being
// filled or emptied stays.
func (a *Arena) check(c int) {
	u := a.use[c]
	if u.live > 0 || c == a.open || c == a.aging || c == a.moving || a.Memory[c] == nil {
		return
	}
	a.unshare()
	a.held -= int64(len(a.Memory[c]))
	if !u.ages {
		a.dead -= int64(u.written - start(c))
	}
	a.Memory[c] = nil
	a.free = append(a.free, c)
}

// sparsest returns the chunk of which the smallest part is alive, or -1. It
// looks at all of them, which takes little beside emptying one.
func (a *Arena) sparsest() int {
	least, found := 1.0, -1
	for c, u := range a.use {
		if u.ages || c == a.open || a.Memory[c] == nil {
			continue
		}
		if part := float64(u.live) / float64(u.written-start(c)); part < least {
			least, found = part, c
		}
	}
	return found
}

// Full tells whether so much is taken that new documents have to be refused.
func (a *Arena) Full() bool {
	return len(a.Memory)-len(a.free) > maxChunks/8*7
}

// Next returns a record of a chunk that is being emptied, so that its memory can
// go, and false if nothing is worth that. Up to a third of all may be dead: most
// chunks die by themselves, when their documents change, and the later one is
// emptied the less is left of it. The caller moves the record, if it is alive,
// and calls Pass.
func (a *Arena) Next() (Place, bool) {
	for {
		if a.moving < 0 {
			if a.dead <= a.live/2 {
				return 0, false
			}
			if a.moving = a.sparsest(); a.moving < 0 {
				return 0, false
			}
			a.moved = start(a.moving)
		}
		if u := a.use[a.moving]; u.live > 0 && a.moved < u.written {
			return Place(a.moving<<offsetBits | a.moved/unit), true
		}
		c := a.moving
		a.moving = -1
		a.check(c)
	}
}

// Pass goes beyond the record of n bytes that Next has returned.
func (a *Arena) Pass(n int) { a.moved += roundUp(n) }

// Size returns how much of a chunk a record of n bytes takes.
func Size(n int) int64 { return int64(roundUp(n)) }

// Check returns what is wrong with the counts, when so many bytes are alive.
func (a *Arena) Check(live int64) error {
	var counted, dead int64
	for i, u := range a.use {
		if a.Memory[i] == nil {
			continue
		}
		counted += int64(u.live)
		if !u.ages {
			dead += int64(u.written - start(i) - u.live)
		}
	}
	if live != a.live || live != counted || dead != a.dead {
		return fmt.Errorf("%d bytes are in use and %d are not, counted are %d, %d in chunks, and %d", live, dead, a.live, counted, a.dead)
	}
	return nil
}

func roundUp(n int) int { return (n + unit - 1) / unit * unit }
