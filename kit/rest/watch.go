package rest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/feed"
	"landfall.dev/kit/store"
	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/query"
)

// watchPage is how many changes a watch takes from the store at once.
const watchPage = 256

// stream is one running watch.
type stream struct {
	server  *Server
	out     http.ResponseWriter
	control *http.ResponseController
	kind    string
	filter  string
	matches func(kit.Record) bool // what the filter says
	visible func(kit.Record) bool // what the caller's roles say
	at      kit.Position          // of what was sent
	// arrival is how a watch goes on that began at another cluster, until it has
	// caught up with this one.
	arrival store.Arrival
	// known is where the documents that a watch without a position begins with
	// end; deletions up to there are of no interest.
	known kit.Position
	// pending leaves out those of them that have no pending operations.
	pending bool
}

// watch serves the changes of a kind as server-sent events, as the HTML
// standard has them: put and delete with the document as data, live once when
// all that there was is sent, and ids that are positions.
func (s *Server) watch(w http.ResponseWriter, req *request) error {
	done, err := s.beginWatch(req)
	if err != nil {
		return err
	}
	defer done()
	st, err := s.open(w, req)
	if err != nil {
		return err
	}
	// The first page is taken before the head of the answer is sent, so that
	// ErrGone and an unknown kind still have their status.
	now := s.store.Position()
	changes, more, err := s.store.Frames(st.kind, st.at, watchPage)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	// From here on an error means that the client is gone or too slow, or has to
	// come back to be told it. What it has got tells it where to go on.
	if st.write("retry: %d\n\n", s.retry().Milliseconds()) == nil &&
		st.catchUp(changes, more, now) == nil && st.write("id: %s\nevent: live\ndata: {}\n\n", st.at) == nil {
		st.follow(req)
	}
	return nil
}

// How long a client waits before it comes back, so that not all do at once when
// a node ends: at least retryAfter, and up to so much longer for each watch.
const (
	retryAfter    = 100 * time.Millisecond
	retryPerWatch = 500 * time.Microsecond
	retryLongest  = 10 * time.Second
)

// retry returns a random time for one client.
func (s *Server) retry() time.Duration {
	spread := time.Duration(s.watches.Len()) * retryPerWatch
	return retryAfter + rand.N(min(max(spread, retryAfter), retryLongest))
}

// catchUp sends what has changed, of which changes are the first page.
func (st *stream) catchUp(changes []frame.Frame, more bool, now kit.Position) error {
	for {
		if err := st.send(changes, now.Epoch); err != nil {
			return err
		}
		if !more {
			st.at, st.arrival = feed.Later(st.at, now), store.Arrival{}
			return nil
		}
		var err error
		now = st.server.store.Position()
		if changes, more, err = st.server.store.Frames(st.kind, st.at, watchPage); err != nil {
			return err
		}
	}
}

// follow sends what changes from now on, as the kind's feed tells it, until the
// client is gone or too slow.
func (st *stream) follow(req *request) {
	beat := time.NewTicker(st.server.heartbeat)
	defer beat.Stop()
	a := st.server.feeds.Join(st.kind, st.filter, st.matches)
	defer st.server.feeds.Leave(a)
	for !a.Over() && !st.server.store.Closed() {
		told, upTo, wake, ok := a.After(st.at)
		var err error
		switch {
		case !ok: // too slow for what the feed keeps
			err = st.catchUp(nil, true, st.at)
		case len(told) > 0:
			err = st.pass(told)
		default:
			st.at = upTo
			err = st.wait(req, wake, beat.C)
		}
		if err != nil {
			return
		}
	}
}

// pass sends what the feed has told.
func (st *stream) pass(told []*feed.Told) error {
	for _, o := range told {
		st.at = o.Change.Position
		if !st.visible(o.Change.Record) {
			continue
		}
		if err := st.writeBytes(o.Frame); err != nil {
			return err
		}
	}
	return st.control.Flush()
}

// open reads the parameters of a watch.
func (s *Server) open(w http.ResponseWriter, req *request) (*stream, error) {
	kind := req.Link.Kind()
	visible, err := req.Caller.Visible(kit.VerbWatch, kind)
	if err != nil {
		return nil, err
	}
	owned, ok := s.kinds.Find(kind)
	if !ok {
		return nil, &kit.Error{Fault: kit.ErrNotFound, Link: req.Link, Detail: fmt.Sprintf("there is no kind %q", kind), Hint: "GET /api/ lists them"}
	}
	filter := req.parameters.Get("filter")
	compiled, err := query.Compile(owned.Definition, filter)
	if err != nil {
		return nil, err
	}
	st := &stream{server: s, out: w, control: http.NewResponseController(w), kind: kind, pending: req.parameters.Get("pending") == "true"}
	st.filter, st.matches, st.visible = filter, compiled.Passes, visible
	from := req.http.Header.Get("Last-Event-ID")
	if from == "" {
		from = req.parameters.Get("from")
	}
	if from != "" {
		if st.at, err = kit.ParsePosition(from); err != nil {
			return nil, err
		}
	}
	if st.at == (kit.Position{}) {
		st.known = s.store.Position()
	}
	st.arrival, err = s.store.Arrive(kind, st.at)
	st.at = st.arrival.At
	return st, err
}

// send writes the changes that the watch is about and notes their position,
// which is of the epoch.
func (st *stream) send(changes []frame.Frame, epoch int64) error {
	for _, f := range changes {
		c := kit.Change{Position: kit.Position{Epoch: epoch, Seq: f.Record.Seq}, Record: f.Record}
		st.at = c.Position
		if st.arrival.Knows(f) || !st.wants(c) {
			continue
		}
		b, err := feed.Frame(c)
		if err == nil {
			err = st.writeBytes(b)
		}
		if err != nil {
			return err
		}
	}
	return st.control.Flush()
}

// wants tells whether the watch is about a change that it catches up on.
func (st *stream) wants(c kit.Change) bool {
	return st.visible(c.Record) && (c.Record.Deleted || st.matches(c.Record)) && (c.Position.Seq > st.known.Seq || !st.idle(c.Record))
}

// idle tells whether a document that was there before the watch is of no
// interest to it.
func (st *stream) idle(r kit.Record) bool {
	return r.Deleted || st.pending && len(r.Pending) == 0
}

// wait returns when there is something to tell, with signs of life meanwhile;
// with an error if the client is gone, or is not to be told any more. A sign
// tells the position too, so that a client whose filter lets nothing through
// need not begin at an old one.
func (st *stream) wait(req *request, wake <-chan struct{}, beat <-chan time.Time) error {
	if err := st.control.Flush(); err != nil {
		return err
	}
	for {
		select {
		case <-req.http.Context().Done():
			return context.Cause(req.http.Context())
		case <-wake:
			return nil
		case <-beat:
			if st.server.store.Closed() {
				return errClosed
			}
			// A token may have been revoked meanwhile, or a role changed.
			c, err := st.server.authenticate(req.http)
			if err == nil {
				st.visible, err = c.Visible(kit.VerbWatch, st.kind)
			}
			if err == nil {
				err = st.write("id: %s\n: still here\n\n", st.at)
			}
			if err == nil {
				err = st.control.Flush()
			}
			if err != nil {
				return err
			}
		}
	}
}

func (st *stream) write(format string, args ...any) error {
	return st.writeBytes(fmt.Appendf(nil, format, args...))
}

// writeBytes writes within the time that a reader has.
func (st *stream) writeBytes(b []byte) error {
	if err := st.control.SetWriteDeadline(time.Now().Add(st.server.writeTimeout)); err != nil {
		return err
	}
	_, err := st.out.Write(b)
	return err
}
