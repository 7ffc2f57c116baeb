package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
)

// watchPage is how many changes a watch takes from the store at once.
const watchPage = 256

// stream is one running watch.
type stream struct {
	server  *Server
	out     http.ResponseWriter
	control *http.ResponseController
	kind    string
	passes  func(kit.Record) bool
	at      kit.Position // of what was sent
	// known is where the documents that a watch without a position begins with
	// end; deletions up to there are of no interest.
	known kit.Position
	// pending leaves out those of them that have no pending operations.
	pending bool
}

// watch serves the changes of a kind as server-sent events, as the HTML
// standard has them: put and delete with the document as data, live once when
// all that there was is sent, and ids that are positions.
func (s *Server) watch(w http.ResponseWriter, req request) error {
	st, err := s.open(w, req)
	if err != nil {
		return err
	}
	// The first page is taken before the head of the answer is sent, so that
	// ErrGone and an unknown kind still have their status.
	changed := s.store.Changed()
	now := s.store.Position()
	changes, more, err := s.store.Since(st.kind, st.at, watchPage)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)

	beat := time.NewTicker(s.heartbeat)
	defer beat.Stop()
	for live := false; ; {
		if err := st.send(changes); err != nil {
			return nil // the client is gone or too slow
		}
		if !more {
			st.at = later(st.at, now)
			if !live {
				live = true
				if st.write("id: %s\nevent: live\ndata: {}\n\n", st.at) != nil {
					return nil
				}
			}
			if !st.wait(req, changed, beat.C) {
				return nil
			}
		}
		changed, now = s.store.Changed(), s.store.Position()
		if changes, more, err = s.store.Since(st.kind, st.at, watchPage); err != nil {
			return nil // the client comes back and gets the error
		}
	}
}

// open reads the parameters of a watch.
func (s *Server) open(w http.ResponseWriter, req request) (*stream, error) {
	kind := req.link.Kind()
	visible, err := req.caller.visible(kit.VerbWatch, kind)
	if err != nil {
		return nil, err
	}
	owned, ok := s.kinds.Find(kind)
	if !ok {
		return nil, &kit.Error{Fault: kit.ErrNotFound, Link: req.link, Detail: fmt.Sprintf("there is no kind %q", kind), Hint: "GET /api/ lists them"}
	}
	matches, err := store.CompileFilter(owned.Definition, req.query.Get("filter"))
	if err != nil {
		return nil, err
	}
	st := &stream{server: s, out: w, control: http.NewResponseController(w), kind: kind, pending: req.query.Get("pending") == "true"}
	st.passes = func(r kit.Record) bool {
		return visible(r.Link) && (r.Deleted || matches(r))
	}
	from := req.Header.Get("Last-Event-ID")
	if from == "" {
		from = req.query.Get("from")
	}
	if from != "" {
		if st.at, err = kit.ParsePosition(from); err != nil {
			return nil, err
		}
	}
	if st.at == (kit.Position{}) {
		st.known = s.store.Position()
	}
	return st, nil
}

// send writes the changes that the watch is about and notes their position.
func (st *stream) send(changes []kit.Change) error {
	for _, c := range changes {
		st.at = c.Position
		if !st.passes(c.Record) || c.Position.Seq <= st.known.Seq && st.idle(c.Record) {
			continue
		}
		name := "put"
		if c.Record.Deleted {
			name = "delete"
		}
		data, err := c.Record.MarshalJSON()
		if err != nil {
			return err
		}
		var line bytes.Buffer
		if err := json.Compact(&line, data); err != nil {
			return err
		}
		if err := st.write("id: %s\nevent: %s\ndata: %s\n\n", c.Position, name, line.Bytes()); err != nil {
			return err
		}
	}
	return st.control.Flush()
}

// idle tells whether a document that was there before the watch is of no
// interest to it.
func (st *stream) idle(r kit.Record) bool {
	return r.Deleted || st.pending && len(r.Pending) == 0
}

// wait returns when something has changed, with signs of life meanwhile; false
// if the client is gone. A sign tells the position too, so that a client whose
// filter lets nothing through need not begin at an old one.
func (st *stream) wait(req request, changed <-chan struct{}, beat <-chan time.Time) bool {
	if st.control.Flush() != nil {
		return false
	}
	for {
		select {
		case <-req.Context().Done():
			return false
		case <-changed:
			return true
		case <-beat:
			// A token may have been revoked meanwhile, or a role changed.
			c, err := st.server.authenticate(req.Request)
			if err == nil {
				_, err = c.visible(kit.VerbWatch, st.kind)
			}
			if err != nil || st.write("id: %s\n: still here\n\n", st.at) != nil || st.control.Flush() != nil {
				return false
			}
		}
	}
}

// write writes within the time that a reader has.
func (st *stream) write(format string, args ...any) error {
	if err := st.control.SetWriteDeadline(time.Now().Add(st.server.writeTimeout)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(st.out, format, args...)
	return err
}

// later returns the later of two positions of one epoch, and b if they are of
// different ones.
func later(a, b kit.Position) kit.Position {
	if a.Epoch == b.Epoch && a.Seq > b.Seq {
		return a
	}
	return b
}
