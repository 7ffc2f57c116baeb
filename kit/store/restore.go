package store

import (
	"io"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
)

// Restore replaces the state by the snapshot that r yields. On an error the
// state is as it was.
func (s *Store) Restore(r io.Reader) error {
	fr := frame.NewReader(r)
	h, err := readHead(fr, ofSnapshot)
	if err != nil {
		return restoring(err)
	}
	to := head{}.after(h)
	engine, err := s.engine.Load(fr, to.log(), h.Floors)
	if err != nil {
		return restoring(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.engine, s.head = engine, to
	s.tell()
	return nil
}

func restoring(err error) error { return &kit.Error{Op: "restore", Fault: kit.FaultOf(err), Err: err} }
