package client

import (
	"net/http"
	"sync/atomic"

	"landfall.dev/kit"
)

// HeaderPosition tells in an answer up to where the node had applied the log,
// and in a request what its sender has seen of it: an eventual read is never
// older than that.
const HeaderPosition = "Landfall-Position"

// session is what a client has seen.
type session struct{ seen atomic.Pointer[kit.Position] }

// note remembers the position p, unless a later one of its epoch is known. One
// of another epoch takes the place of what was seen: the client has come to
// another cluster, which may have begun earlier.
func (s *session) note(p kit.Position) {
	if p == (kit.Position{}) {
		return
	}
	for {
		before := s.seen.Load()
		if at := seenAt(before); at.Epoch == p.Epoch && at.Seq >= p.Seq || s.seen.CompareAndSwap(before, &p) {
			return
		}
	}
}

// now returns what was seen.
func (s *session) now() kit.Position { return seenAt(s.seen.Load()) }

func seenAt(p *kit.Position) kit.Position {
	if p == nil {
		return kit.Position{}
	}
	return *p
}

// answered notes the position that the header of an answer tells.
func (s *session) answered(h http.Header) {
	if given := h.Get(HeaderPosition); given != "" {
		if p, err := kit.ParsePosition(given); err == nil {
			s.note(p)
		}
	}
}

// ask makes req tell what was seen, if anything was.
func (s *session) ask(req *http.Request) {
	if seen := s.now(); seen != (kit.Position{}) {
		req.Header.Set(HeaderPosition, seen.String())
	}
}

// Seen returns how far in the log the answers were that c got so far.
func (c *Client) Seen() kit.Position { return c.session.now() }
