package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/access"
	"landfall.dev/kit/rest/inproc"
)

// maxHeader is the size limit of a request's address and headers, in bytes.
const maxHeader = 64 << 10

func headerSize(r *http.Request) int {
	n := len(r.URL.Path) + len(r.URL.RawQuery)
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(v)
		}
	}
	return n
}

// bodyTime is how long a caller may take to send the body of a request for
// documents.
const bodyTime = 2 * time.Minute

// timed bounds how long r's body may take to come, whoever reads it: after a
// refusal it is net/http, which reads the rest.
func timed(w http.ResponseWriter, r *http.Request) {
	if r.Body != nil && r.Body != http.NoBody {
		// Where that is not possible the body is in this process.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	}
}

// untimed lets the body take any time, as a service's own route may, and does so
// once it has come: else the connection would seem lost when the time is over.
func untimed(w http.ResponseWriter) { _ = http.NewResponseController(w).SetReadDeadline(time.Time{}) }

// overLimit is the error for a caller who asks for more than their limit.
type overLimit struct {
	err   error
	after time.Duration // until they may ask again
}

func (e *overLimit) Error() string { return e.err.Error() }
func (e *overLimit) Unwrap() error { return e.err }

// retryIn returns in how many seconds who got err may try again.
func retryIn(err error) string {
	var over *overLimit
	if !errors.As(err, &over) {
		return "1"
	}
	return strconv.Itoa(int(over.after/time.Second) + 1)
}

// admit returns who makes r, which counts as a request of theirs. It is
// ErrTooMany if they had too many.
func (s *Server) admit(r *http.Request) (*access.Caller, error) {
	c, err := s.authenticate(r)
	if err != nil || s.unlimited(r, c) {
		return c, err
	}
	l := s.limitOf(c)
	if wait := s.rates.Take(c.Subject, l.Requests, l.Burst, time.Now()); wait > 0 {
		return c, &overLimit{&kit.Error{
			Fault:  kit.ErrTooMany,
			Detail: fmt.Sprintf("%s has sent more than %s requests a second", c.Subject, strconv.FormatFloat(l.Requests, 'f', -1, 64)),
			Hint:   "wait, or have an administrator write a document of the kind limits",
		}, wait}
	}
	return c, nil
}

// sureWithin is how long a request that no other node can answer waits for this
// one to know who makes it: as long as a node that was stopped takes to have a
// part in its cluster again.
const sureWithin = 2 * time.Second

// admitHere does what admit does, for a request to a route of a service, which
// the leader cannot answer in this node's place.
func (s *Server) admitHere(r *http.Request) (*access.Caller, error) {
	ctx, cancel := context.WithTimeout(r.Context(), sureWithin)
	defer cancel()
	for {
		c, err := s.admit(r)
		if !errors.Is(err, errUnsure) {
			return c, err
		}
		select {
		case <-time.After(leaderPoll):
		case <-ctx.Done():
			return c, err
		}
	}
}

// unlimited tells whether r is from inside the process, or of a service.
func (s *Server) unlimited(r *http.Request, c *access.Caller) bool {
	_, inside := inproc.Subject(r.Context())
	return inside || c.Service
}

// limitOf returns the limit of a caller.
func (s *Server) limitOf(c *access.Caller) Limit {
	l := c.Limit
	if l.Requests == 0 {
		l.Requests = s.limit.Requests
		if l.Burst == 0 {
			l.Burst = s.limit.Burst
		}
	}
	if l.Burst == 0 {
		l.Burst = int(2*l.Requests) + 1
	}
	if l.Watches == 0 {
		l.Watches = s.limit.Watches
	}
	return l
}

// beginWatch counts a watch of c, until done is called. It is ErrTooMany if
// there are too many.
func (s *Server) beginWatch(req *request) (done func(), err error) {
	c := req.Caller
	if s.unlimited(req.http, c) {
		return func() {}, nil
	}
	l := s.limitOf(c)
	ok, inAll := s.watches.Add(c.Subject, l.Watches, s.allWatches)
	switch {
	case ok:
		return func() { s.watches.Done(c.Subject) }, nil
	case inAll:
		return nil, &kit.Error{Fault: kit.ErrTooMany, Link: req.Link, Detail: fmt.Sprintf("this node serves %d watches already, which is its limit", s.allWatches), Hint: "watch at another node"}
	}
	err = &kit.Error{Fault: kit.ErrTooMany, Link: req.Link, Detail: fmt.Sprintf("%s has %d watches open at this node, which is the limit", c.Subject, l.Watches), Hint: "close some, or have an administrator write a document of the kind limits"}
	return nil, &overLimit{err: err}
}
