package store

import (
	"cmp"
	"slices"
	"sync"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
)

// Source says what this cluster has of another one, so that who has watched
// that one can go on here.
type Source struct {
	// Epoch is that of the other cluster's positions.
	Epoch int64 `json:"epoch"`
	// Stream is that of the imports from there.
	Stream string `json:"stream"`
	// Since is the seq there from which on all deletions are here.
	Since int64 `json:"since,omitempty"`
	// Known is up to where the other cluster has, or had, what is here.
	Known int64 `json:"known,omitempty"`
}

// knows tells whether f is known to who has seen the source up to the seq.
func (s Source) knows(f frame.Frame, seq int64) bool {
	return f.Record.Seq <= s.Known || s.imported(f) && f.Origin.Seq <= seq
}

// imported tells whether f is as it came from the source.
func (s Source) imported(f frame.Frame) bool {
	return f.Origin.Stream == s.Stream && f.Origin.Hash != [16]byte{}
}

// Arrival is where a watch goes on here.
type Arrival struct {
	// At is the position here up to which the watch has seen everything.
	At     kit.Position
	source Source
	seq    int64 // at the source
}

// Knows tells whether the watch has seen the document before, at the cluster
// that it comes from.
func (a Arrival) Knows(f frame.Frame) bool {
	return a.source != Source{} && a.source.knows(f, a.seq)
}

// Arrive returns where a watch of the kind goes on that has come to the
// position: there, if that is one of this cluster; or else where this cluster
// has what changed after it at the cluster that it was copied from. Where it
// knows of none, Since will tell.
//
// The first call looks at all that was copied, and the later ones at what has
// been since.
func (s *Store) Arrive(kind string, from kit.Position) (Arrival, error) {
	k, err := s.kinds.known(kit.NewLink(kind, ""))
	if err != nil {
		return Arrival{}, err
	}
	h := s.now()
	source, ok := h.source(from)
	if from == (kit.Position{}) || from.Epoch == h.epoch || !ok || k.Local {
		return Arrival{At: from}, nil
	}
	at := kit.Position{Epoch: h.epoch, Seq: s.trails.of(kind, source).start(s, kind, from.Seq)}
	return Arrival{at, source, from.Seq}, nil
}

// source returns the one that the position is of, if this cluster has all that
// changed there after it.
func (h head) source(from kit.Position) (found Source, ok bool) {
	for _, c := range h.cursors {
		if s := c.Source; s != nil && s.Epoch == from.Epoch && s.Since <= from.Seq && (!ok || s.Known > found.Known) {
			found, ok = *s, true
		}
	}
	return found, ok
}

// trails are by kind the ways on which watches arrive.
type trails struct {
	mu     sync.Mutex
	byKind map[string]*trail
}

// of returns the trail of the kind from the source.
func (t *trails) of(kind string, source Source) *trail {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.byKind[kind]; old != nil && old.source == source {
		return old
	}
	if t.byKind == nil {
		t.byKind = map[string]*trail{}
	}
	t.byKind[kind] = &trail{source: source, upTo: source.Known}
	return t.byKind[kind]
}

// A trail tells from where on there is something in a kind's feed that one who
// has seen the source up to some seq does not know. Documents leave the part of
// the feed that it goes through, as they change, and none come into it, so what
// it tells stays right.
type trail struct {
	source Source

	mu    sync.Mutex
	marks []mark // in order
	upTo  int64  // seq here that it goes up to
	top   int64  // the highest seq at the source of what is up to there
	ended bool   // next is what was changed here, which nobody knows
}

// mark says that all up to the seq here was at or before the seq there.
type mark struct{ there, here int64 }

// start returns the seq here up to which the source has it all at the seq there.
func (t *trail) start(s *Store, kind string, there int64) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.goOn(s, kind)
	if t.top <= there {
		return t.upTo
	}
	i, _ := slices.BinarySearchFunc(t.marks, there+1, func(m mark, there int64) int { return cmp.Compare(m.there, there) })
	if i == 0 {
		return t.source.Known
	}
	return t.marks[i-1].here
}

// goOn goes through what has been imported since the last time. The caller
// holds the lock.
func (t *trail) goOn(s *Store, kind string) {
	for !t.ended {
		docs := s.next(kind, t.upTo)
		for _, f := range docs {
			if t.ended = !t.source.imported(f); t.ended {
				break
			}
			t.top, t.upTo = max(t.top, f.Origin.Seq), f.Record.Seq
		}
		if n := len(t.marks); n == 0 || t.marks[n-1].here < t.upTo {
			t.marks = append(t.marks, mark{t.top, t.upTo})
		}
		if len(docs) < heldFor {
			return
		}
	}
}

// next returns some documents of the kind that follow the seq.
func (s *Store) next(kind string, after int64) []frame.Frame {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var docs []frame.Frame
	s.engine.Now().Changes(kind, after, func(f frame.Frame) bool {
		docs = append(docs, f)
		return len(docs) < heldFor
	})
	return docs
}
