package client

import (
	"net/http"
	"sync/atomic"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/feed"
)

// HeaderPosition tells in an answer up to where the node had applied the log,
// and in a request what its sender has seen of it: an eventual read is never
// older than that.
const HeaderPosition = "Landfall-Position"

// session is what a client has seen.
type session struct{ seen atomic.Pointer[kit.Position] }

// note remembers the position p, if it is later than those before.
func (s *session) note(p kit.Position) {
	for {
		before := s.seen.Load()
		if !feed.Before(seenAt(before), p) || s.seen.CompareAndSwap(before, &p) {
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
