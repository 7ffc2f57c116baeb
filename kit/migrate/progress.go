package migrate

import (
	"encoding/json"
	"fmt"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
)

// way is a direction in which a cluster takes documents over. Each has a
// cursor and a quarantine of its own: a cluster may have been filled by one
// upgrade and be left by the next.
type way struct {
	back       bool
	cursor     string // the name of its cursor
	quarantine string // the name of the cursor that keeps its quarantine
}

var (
	forth   = way{cursor: "migrate", quarantine: "migrate-quarantine"}
	wayBack = way{back: true, cursor: "migrate-back", quarantine: "migrate-back-quarantine"}
)

// progress is what is kept with the cursor.
type progress struct {
	// Generation counts how often everything was taken from the beginning.
	Generation int64 `json:"generation"`
	// Filling tells that no cycle since then was completed, and Began is the
	// source's position at the first of them.
	Filling bool   `json:"filling,omitempty"`
	Began   string `json:"began,omitempty"`
	// Lifted is how often this cluster's fence had gone down: if it has since,
	// this cluster was in charge, and is not a copy any more.
	Lifted int64 `json:"lifted,omitempty"`
	// Since is the source's position from which on all deletions are here.
	Since string `json:"since,omitempty"`
	// Keys is when the last idempotency key was used that was taken over, by the
	// source's clock.
	Keys time.Time `json:"keys,omitzero"`
	// Base is on the way back that of the requests, and Fence the epoch of this
	// cluster's fence. With either another way back begins. Known is where in this
	// cluster's log it began: the source has all that is before.
	Base  string `json:"base,omitempty"`
	Fence int64  `json:"fence,omitempty"`
	Known int64  `json:"known,omitempty"`
	// Quarantine is where it used to be kept.
	Quarantine []Failure `json:"quarantine,omitempty"`
}

// progress returns what is kept, and the position, empty if there is none.
func (s *service) progress(w way) (p progress, position string, err error) {
	c, ok := s.store.Cursor(w.cursor)
	if !ok {
		return p, "", nil
	}
	if err := json.Unmarshal(c.Data, &p); err != nil {
		return p, "", &kit.Error{Fault: kit.ErrInternal, Op: "migrate", Err: fmt.Errorf("the cursor: %w", err)}
	}
	return p, c.Position, nil
}

// cursor returns p as it is kept.
func (p progress) cursor(w way, at kit.Position) (*store.Cursor, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return nil, &kit.Error{Op: "encode", Err: err}
	}
	source, err := p.source(w, at.Epoch)
	return &store.Cursor{Name: w.cursor, Position: at.String(), Data: data, Source: source}, err
}

// source returns what watches that come from the source have to know, nil as
// long as they cannot go on here.
func (p progress) source(w way, epoch int64) (*store.Source, error) {
	since := p.Since
	if w.back {
		since = p.Base
	}
	if since == "" || p.Filling || w.back && p.Known == 0 {
		return nil, nil
	}
	from, err := kit.ParsePosition(since)
	if err != nil {
		return nil, err
	}
	return &store.Source{Epoch: epoch, Stream: p.stream(w, epoch), Since: from.Seq, Known: p.Known}, nil
}

// stream names the imports of the generation, of which the source is at the
// epoch: no two copies that ever reach this cluster have the same.
func (p progress) stream(w way, epoch int64) string {
	if w.back {
		return fmt.Sprintf("back %d", p.Generation)
	}
	return fmt.Sprintf("%d.%d", epoch, p.Generation)
}
