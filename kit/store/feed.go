package store

import (
	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/memory"
)

// Since returns up to limit documents of the kind, "" for all, that changed
// after the position: each once, in its latest version, tombstones included, in
// order of their last change. The zero position is before everything. More
// tells that there are more after the last one. It is ErrGone if the position
// is of another epoch, or tombstones after it were collected: list again.
//
// Where it returns no change, the caller can go on from the Position that it
// took before the call.
func (s *Store) Since(kind string, after kit.Position, limit int) (changes []kit.Change, more bool, err error) {
	epoch, docs, more, err := s.since(kind, after, limit)
	for _, d := range docs {
		changes = append(changes, kit.Change{Position: kit.Position{Epoch: epoch, Seq: d.Record.Seq}, Record: d.Record})
	}
	return changes, more, err
}

// Frames is Since with the documents' origins, as a copy needs them.
func (s *Store) Frames(kind string, after kit.Position, limit int) (frames []frame.Frame, more bool, err error) {
	_, frames, more, err = s.since(kind, after, limit)
	return frames, more, err
}

// heldFor is up to how many documents are read while changes wait: it takes
// less time than a view would cost them.
const heldFor = 1000

func (s *Store) since(kind string, after kit.Position, limit int) (epoch int64, docs []frame.Frame, more bool, err error) {
	if limit < 1 {
		return 0, nil, false, kit.Errorf(kit.ErrInvalid, "", "a limit of %d changes: it is at least 1", limit)
	}
	if kind != "" {
		if _, err := s.kinds.known(kit.NewLink(kind, "")); err != nil {
			return 0, nil, false, err
		}
	}
	var v memory.View
	if limit <= heldFor {
		s.mu.RLock()
		defer s.mu.RUnlock()
		v = s.engine.Now()
	} else {
		v = s.frozen().View
	}
	if err := v.Reaches(kind, after); err != nil {
		return 0, nil, false, err
	}
	v.Changes(kind, after.Seq, func(f frame.Frame) bool {
		if more = len(docs) == limit; !more {
			docs = append(docs, f)
		}
		return !more
	})
	return v.Epoch, docs, more, nil
}
