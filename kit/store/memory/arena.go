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
//
// Recent versions of the history have chunks of their own: what came in together
// is forgotten at about the same time, so these are not emptied but die.
type arena struct {
	memory
	size   int    // of a grown up chunk, ChunkBytes but in tests
	shared bool   // a view has memory too: replace it instead of changing it
	use    []used // by number of the chunk
	free   []int  // numbers of chunks that are nil
	open   int    // the number of the chunk that is being filled, or -1
	aging  int    // the number of the chunk that is being filled with recent versions, or -1
	moving int    // the number of the chunk that is being emptied, or -1
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

func newArena(size int) arena { return arena{size: size, open: -1, aging: -1, moving: -1} }

// freeze returns the memory as it is, for a view.
func (a *arena) freeze() memory {
	a.shared = true
	return a.memory
}

// add copies the record in and returns its place. Full tells when there is
// none left.
func (a *arena) add(rec []byte) place { return a.addTo(&a.open, rec, false) }

// move takes the record of n bytes at r to the chunks of recent versions, if it
// ages, or to the others, and returns its place there. One that has a chunk to
// itself stays.
func (a *arena) move(r place, n int, ages bool) place {
	if roundUp(n) > a.size/4 {
		a.use[r.chunk()].ages = ages
		return r
	}
	open := &a.open
	if ages {
		open = &a.aging
	}
	to := a.addTo(open, a.at(r)[:n], ages)
	a.drop(r, n)
	return to
}

func (a *arena) addTo(open *int, rec []byte, ages bool) place {
	n := roundUp(len(rec))
	if n > a.size/4 {
		return a.write(a.chunk(n, ages), rec, n)
	}
	if c := *open; c < 0 || a.use[c].written+n > len(a.memory[c]) {
		*open = a.chunk(min(a.size, max(firstChunk, int(a.held), n)), ages)
		if c >= 0 {
			a.check(c)
		}
	}
	return a.write(*open, rec, n)
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

// start is where the records of a chunk begin. The first has nothing at its
// start, because that place means none.
func start(c int) int {
	if c == 0 {
		return unit
	}
	return 0
}

// chunk makes a new one of n bytes and returns its number.
func (a *arena) chunk(n int, ages bool) int {
	c := len(a.memory)
	if last := len(a.free) - 1; last >= 0 {
		c, a.free = a.free[last], a.free[:last]
		a.unshare()
	} else {
		a.memory, a.use = append(a.memory, nil), append(a.use, used{})
	}
	skip := start(c)
	a.memory[c], a.use[c] = make([]byte, n+skip), used{written: skip, ages: ages}
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
func (a *arena) check(c int) {
	u := a.use[c]
	if u.live > 0 || c == a.open || c == a.aging || c == a.moving || a.memory[c] == nil {
		return
	}
	a.unshare()
	a.held -= int64(len(a.memory[c]))
	if !u.ages {
		a.dead -= int64(u.written - start(c))
	}
	a.memory[c] = nil
	a.free = append(a.free, c)
}

// sparsest returns the chunk of which the smallest part is alive, or -1. It
// looks at all of them, which takes little beside emptying one.
func (a *arena) sparsest() int {
	least, found := 1.0, -1
	for c, u := range a.use {
		if u.ages || c == a.open || a.memory[c] == nil {
			continue
		}
		if part := float64(u.live) / float64(u.written-start(c)); part < least {
			least, found = part, c
		}
	}
	return found
}

// full tells whether so much is taken that new documents have to be refused.
func (a *arena) full() bool {
	return len(a.memory)-len(a.free) > maxChunks/8*7
}

func roundUp(n int) int { return (n + unit - 1) / unit * unit }
