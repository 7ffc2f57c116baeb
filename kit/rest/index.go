package rest

import (
	"net/http"

	"landfall.dev/kit"
)

// kindInfo is what the index tells of a kind.
type kindInfo struct {
	Kind   string `json:"kind"`
	Schema int    `json:"schema"`
	Count  int    `json:"count"`
}

// index lists the kinds, and says who asks.
func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	var kinds []kindInfo
	for _, name := range s.kinds.Names() {
		if k, ok := s.kinds.Find(name); ok {
			kinds = append(kinds, kindInfo{name, k.Schema, s.store.Count(name)})
		}
	}
	if err := encode(w, http.StatusOK, map[string]any{"subject": kit.CallerOf(r.Context()).Subject, "kinds": kinds}); err != nil {
		s.fail(w, r, err)
	}
}
