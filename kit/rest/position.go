package rest

import (
	"context"
	"net/http"
	"sync"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/feed"
)

// headerPosition tells in an answer up to where the node had applied the log,
// and in a request what its sender has seen of it: an eventual read is never
// older than that.
const headerPosition = "Landfall-Position"

// behindWait is how long an eventual read waits for the node to come to what
// its sender has seen, before the leader is asked instead.
const behindWait = 200 * time.Millisecond

var errBehind = &kit.Error{
	Fault:  kit.ErrUnavailable,
	Detail: "this node is behind what the client has seen before, and no leader is known to ask",
	Hint:   "try again in a moment, or ask another node",
}

// reached waits a moment for the store to be as far as the sender of r has
// seen, and tells whether it is.
func (s *Server) reached(r *http.Request) (bool, error) {
	given := r.Header.Get(headerPosition)
	if given == "" {
		return true, nil
	}
	seen, err := kit.ParsePosition(given)
	if err != nil {
		return false, err
	}
	if !feed.Before(s.store.Position(), seen) {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), behindWait)
	defer cancel()
	for {
		changed := s.store.Changed()
		if !feed.Before(s.store.Position(), seen) {
			return true, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false, nil
		}
	}
}

// session is what a client has seen.
type session struct {
	mu   sync.Mutex
	seen kit.Position
}

// note remembers the position p, if it is later than those before.
func (s *session) note(p kit.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if feed.Before(s.seen, p) {
		s.seen = p
	}
}

// now returns what was seen.
func (s *session) now() kit.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// answered notes the position that the header of an answer tells.
func (s *session) answered(h http.Header) {
	if given := h.Get(headerPosition); given != "" {
		if p, err := kit.ParsePosition(given); err == nil {
			s.note(p)
		}
	}
}

// ask makes req tell what was seen, if anything was.
func (s *session) ask(req *http.Request) {
	if seen := s.now(); seen != (kit.Position{}) {
		req.Header.Set(headerPosition, seen.String())
	}
}
