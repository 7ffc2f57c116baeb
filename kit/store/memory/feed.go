package memory

import (
	"landfall.dev/kit"

	"landfall.dev/kit/store/frame"
)

// Changes yields the documents and tombstones of the kind, "" for all, that
// changed after the seq, in the order of their last change.
func (s *state) Changes(kind string, after int64, yield func(frame.Frame) bool) {
	s.changes(kind, after, func(sh *shelf, r place) bool { return yield(s.frame(sh, r)) })
}

// Pieces yields what Changes does of all kinds, as it is in memory.
func (s *state) Pieces(after int64, yield func(frame.Piece) bool) {
	s.changes("", after, func(_ *shelf, r place) bool {
		raw := s.mem.At(r)
		p, _ := frame.Unpack(raw)
		return yield(frame.Piece{Type: frame.TypeDocument, Raw: raw[:p.Size:p.Size], Document: p})
	})
}

func (s *state) changes(kind string, after int64, yield func(*shelf, place) bool) {
	var feeds []*feed
	for name, sh := range s.shelves {
		if kind == "" || kind == name {
			f := &feed{shelf: sh, at: sh.feed.rank(&sorter{by: orderSeq}, probe{prefix: uint64(after) + 1})}
			if f.more() {
				feeds = append(feeds, f)
			}
		}
	}
	for len(feeds) > 0 {
		next := 0
		for i, f := range feeds {
			if f.next[0].key < feeds[next].next[0].key {
				next = i
			}
		}
		f := feeds[next]
		if !yield(f.shelf, f.next[0].at) {
			return
		}
		if f.next = f.next[1:]; len(f.next) == 0 && !f.more() {
			feeds[next] = feeds[len(feeds)-1]
			feeds = feeds[:len(feeds)-1]
		}
	}
}

// feed goes through the changes of one kind.
type feed struct {
	shelf *shelf
	at    int     // the number of the record after next
	next  []entry // not empty
}

// more fetches what comes next and tells whether there is any.
func (f *feed) more() bool {
	const some = 64
	to := min(f.at+some, f.shelf.feed.n)
	f.shelf.feed.each(f.at, to, func(seq uint64, r place) bool {
		f.next = append(f.next, entry{seq, r})
		return true
	})
	f.at = to
	return len(f.next) > 0
}

// Reaches returns ErrGone unless the feed goes back to the position.
func (s *state) Reaches(kind string, after kit.Position) error {
	if after == (kit.Position{}) {
		return nil
	}
	if after.Epoch != s.Epoch {
		return tooOld(after, "is from before a backup was restored")
	}
	floor := s.floors[kind]
	if kind == "" {
		for _, f := range s.floors {
			floor = max(floor, f)
		}
	}
	if after.Seq < floor {
		return tooOld(after, "is too old: later deletions are forgotten")
	}
	return nil
}
