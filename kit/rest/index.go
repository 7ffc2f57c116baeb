package rest

import (
	"net/http"

	"landfall.dev/kit"
)

// kindInfo is what the index tells of a kind.
type kindInfo struct {
	Kind   string `json:"kind"`
	Schema int    `json:"schema"`
	Count  int    `json:"count"` // -1 for a caller who may list only some
}

// index lists the kinds of which the caller may list documents, and says who
// asks.
func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	c, err := s.policy.Caller(kit.CallerOf(r.Context()).Subject)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	kinds := []kindInfo{}
	for _, name := range s.kinds.Names() {
		k, ok := s.kinds.Find(name)
		if n, seen := s.count(c, name); ok && seen {
			kinds = append(kinds, kindInfo{name, k.Schema, n})
		}
	}
	if err := encode(w, http.StatusOK, map[string]any{"subject": c.Subject, "kinds": kinds}); err != nil {
		s.fail(w, r, err)
	}
}
