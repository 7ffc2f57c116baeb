package store

import (
	"maps"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/memory"
)

// head is the part of the state that is not documents. Its maps are replaced,
// not changed, so a copy of a head is a snapshot of it.
type head struct {
	entries  int64         // applied so far
	epoch    int64         // 0 before the first entry
	seq      int64         // of the last change to a document
	time     time.Time     // of the last entry, never before that of an earlier one
	lag      time.Duration // of the clock that things age by: see age
	fence    Fence
	counters map[string]int64  // by kind: the last id allocated
	cursors  map[string]Cursor // by name
}

func (h head) position() kit.Position { return kit.Position{Epoch: h.epoch, Seq: h.seq} }

// log returns how far in the log that is.
func (h head) log() memory.Head { return memory.Head{Epoch: h.epoch, Seq: h.seq, Time: h.age()} }

// age is the clock by which idempotency keys and the history age. It falls
// behind the time of entries by whatever that jumps.
func (h head) age() time.Time { return h.time.Add(-h.lag) }

// ageStep is how far one entry moves the clock of age on at most.
const ageStep = time.Minute

// at returns the head of an entry at now, which is not before h.
func (h head) at(now time.Time) head {
	if jump := now.Sub(h.time) - ageStep; jump > 0 && !h.time.IsZero() {
		h.lag += jump
	}
	h.time = now
	return h
}

// after returns the head after an entry.
func (h head) after(w wireHead) head {
	h.entries, h.epoch, h.seq, h.time, h.lag, h.fence = w.Entries, w.Epoch, w.Seq, w.Time, w.Lag, w.Fence
	if len(w.Counters) > 0 {
		h.counters = cloneMap(h.counters)
		maps.Copy(h.counters, w.Counters)
	}
	if len(w.Cursors) == 0 {
		return h
	}
	h.cursors = cloneMap(h.cursors)
	for name, c := range w.Cursors {
		if c.Position == "" {
			delete(h.cursors, name)
		} else {
			h.cursors[name] = c
		}
	}
	return h
}

// cloneMap returns a copy of m that is not nil.
func cloneMap[V any](m map[string]V) map[string]V {
	c := make(map[string]V, len(m)+1)
	maps.Copy(c, m)
	return c
}

// view is the state as it was at one position. It never changes. Its methods
// may be called concurrently.
type view struct {
	memory.View
	head head // of the position that it was taken at
}
