package rest

import (
	"context"
	"net/http"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/client"
	"landfall.dev/kit/rest/feed"
)

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
	given := r.Header.Get(client.HeaderPosition)
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
