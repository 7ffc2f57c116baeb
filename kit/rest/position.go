package rest

import (
	"context"
	"net/http"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/client"
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
//
// A position of another epoch is of the cluster that this one has taken over
// from, or was restored from: the leader has all of that, and who asks it will
// have a position of this one from then on.
func (s *Server) reached(r *http.Request, leads bool) (bool, error) {
	given := r.Header.Get(client.HeaderPosition)
	if given == "" {
		return true, nil
	}
	seen, err := kit.ParsePosition(given)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), behindWait)
	defer cancel()
	for {
		changed := s.store.Changed()
		switch at := s.store.Position(); {
		case at.Epoch != seen.Epoch:
			return leads, nil
		case at.Seq >= seen.Seq:
			return true, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false, nil
		}
	}
}
