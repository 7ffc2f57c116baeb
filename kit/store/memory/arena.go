package memory

// place is where a record is in an arena: the number of its chunk, and its
// offset there in units. Zero is none.
type place uint32

const (
	unit       = 8         // bytes; records start at multiples of it
	ChunkBytes = 256 << 10 // of a chunk that has grown up
	firstChunk = 16 << 10  // bytes of the first chunk of an arena
	offsetBits = 15        // of a place: log2(ChunkBytes / unit)
	maxChunks  = 1 << (32 - offsetBits)
)

func (r place) chunk() int  { return int(r >> offsetBits) }
func (r place) offset() int { return int(r&(1<<offsetBits-1)) * unit }

// memory is the chunks of an arena, by number; one that is free is nil.
type memory [][]byte

// at returns what starts at r.
func (m memory) at(r place) []byte { return m[r.chunk()][r.offset():] }

// arena holds records in chunks of memory without pointers, so that the
// garbage collector has nothing to do with their number. What is written is
// never changed: a chunk that has too little left of value is emptied by
// compaction and dropped, and lives on for as long as a view or a Record still
// points into it.
type arena struct {
	memory
	size   int    // of a grown up chunk, ChunkBytes but in tests
	shared bool   // a view has memory too: replace it instead of changing it
	use    []used // by number of the chunk
	free   []int  // numbers of chunks that are nil
	sparse []int  // numbers of full chunks that are less than half alive
	open   int    // the number of the chunk that is being filled, or -1
	moving int    // the number of the sparse chunk that is being emptied, or -1
	live   int64  // bytes of all records that are alive
	held   int64  // bytes of all chunks
}

// used says of a chunk how much of it is written, and how much of that is
// alive, in bytes.
type used struct {
	written, live int
	listed        bool // among the sparse
}

func newArena(size int) arena { return arena{size: size, open: -1, moving: -1} }

// freeze returns the memory as it is, for a view.
func (a *arena) freeze() memory {
	a.shared = true
	return a.memory
}

// add copies the record in and returns its place. Full tells when there is
// none left.
func (a *arena) add(rec []byte) place {
	n := roundUp(len(rec))
	if n > a.size/4 {
		return a.write(a.chunk(n), rec, n)
	}
	if a.open < 0 || a.use[a.open].written+n > len(a.memory[a.open]) {
		a.seal()
		a.open = a.chunk(min(a.size, max(firstChunk, int(a.held), n)))
	}
	return a.write(a.open, rec, n)
}

func (a *arena) write(c int, rec []byte, n int) place {
	u := &a.use[c]
	offset := u.written
	copy(a.memory[c][offset:], rec)
	u.written += n
	u.live += n
	a.live += int64(n)
	return place(c<<offsetBits | offset/unit)
}

// seal ends the filling of the open chunk.
func (a *arena) seal() {
	if c := a.open; c >= 0 {
		a.open = -1
		a.check(c)
	}
}

// chunk makes a new one of n bytes and returns its number. The first has
// nothing at its start, because that place means none.
func (a *arena) chunk(n int) int {
	c := len(a.memory)
	if last := len(a.free) - 1; last >= 0 {
		c, a.free = a.free[last], a.free[:last]
		a.unshare()
	} else {
		a.memory, a.use = append(a.memory, nil), append(a.use, used{})
	}
	skip := 0
	if c == 0 {
		skip = unit
	}
	a.memory[c], a.use[c] = make([]byte, n+skip), used{written: skip}
	a.held += int64(n + skip)
	return c
}

// unshare makes sure that no view sees what is done to the list of chunks.
func (a *arena) unshare() {
	if a.shared {
		a.memory = append(make(memory, 0, cap(a.memory)), a.memory...)
		a.shared = false
	}
}

// drop says that the record of n bytes at r is not needed any more.
func (a *arena) drop(r place, n int) {
	n = roundUp(n)
	a.use[r.chunk()].live -= n
	a.live -= int64(n)
	a.check(r.chunk())
}

// check frees a chunk that has nothing of value left, and remembers one that
// has little. A chunk that is still being filled or emptied stays.
func (a *arena) check(c int) {
	switch u := a.use[c]; {
	case c == a.open || c == a.moving || a.memory[c] == nil:
	case u.live == 0:
		a.unshare()
		a.held -= int64(len(a.memory[c]))
		a.memory[c] = nil
		a.free = append(a.free, c)
	case u.live < u.written/2 && !u.listed:
		a.use[c].listed = true
		a.sparse = append(a.sparse, c)
	}
}

// full tells whether so much is taken that new documents have to be refused.
func (a *arena) full() bool {
	return len(a.memory)-len(a.free) > maxChunks/8*7
}

func roundUp(n int) int { return (n + unit - 1) / unit * unit }
