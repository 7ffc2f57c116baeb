package rest

import (
	"net/http"
	"strings"

	"landfall.dev/kit"
)

var errClosed = &kit.Error{
	Fault:  kit.ErrFenced,
	Detail: "this side is not in charge any more, and what it has may be old",
	Hint:   "ask the side that has taken over",
}

// closed tells whether r must not be answered, because another side has taken
// over. Whoever operates this one still reaches it.
func (s *Server) closed(r *http.Request) bool {
	if !s.store.Closed() {
		return false
	}
	switch r.URL.Path {
	case "/healthz", "/metrics":
		return false
	}
	return !strings.HasPrefix(r.URL.Path, "/migrate/") && !strings.HasPrefix(r.URL.Path, "/cluster/")
}
