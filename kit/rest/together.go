package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/calls"
	"landfall.dev/kit/rest/local"
)

// together serves POST /api/~calls: calls on documents, each of which is served
// as a request of its own; see package calls.
func (s *Server) together(w http.ResponseWriter, r *http.Request) {
	if err := s.callsTo(w, r); err != nil {
		s.fail(w, r, err)
	}
}

func (s *Server) callsTo(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return &kit.Error{Fault: kit.ErrInvalid, Detail: "calls are sent by POST"}
	}
	if err := s.begun(r.Context()); err != nil {
		return err
	}
	_, leader, self := s.leader()
	pass := !self && leader != "" && r.Header.Get(headerForwarded) == ""
	c, err := s.authenticate(r) // each call counts as a request of its own
	if errors.Is(err, errUnsure) && pass {
		s.forward(w, r, leader) // which knows the token if anyone does
		return nil
	}
	who(w, c.Subject)
	if err != nil {
		return err
	}
	body, err := readAll(w, r, "", local.MaxBatch)
	if err != nil {
		return err
	}
	lines, err := calls.Read(body)
	if err != nil {
		return err
	}
	if epoch, fenced := s.store.Fenced(); fenced && !slices.ContainsFunc(lines, calls.Call.Reads) {
		// So a front door sees that nothing was applied, and may send all of them
		// to the other side.
		return &kit.Error{Fault: kit.ErrFenced, Detail: fmt.Sprintf("this side takes no writes since upgrade epoch %d", epoch), Hint: "send them to the side that has taken over"}
	}
	in := r
	if _, vouched, _ := s.vouched(r); vouched {
		in = r.WithContext(context.WithValue(r.Context(), vouchedKey{}, c.Subject))
	}
	calls.Serve(w, s.jobs(lines, in, r, pass, leader))
	return nil
}

// vouchedKey has the subject that another node has vouched for in the request
// that a call came in.
type vouchedKey struct{}

// jobs returns what is to be done for the calls in the request r: those for the
// leader go there together, and each other one is served here, as one of in.
func (s *Server) jobs(lines []calls.Call, in, r *http.Request, pass bool, leader string) []calls.Job {
	var jobs []calls.Job
	var there []calls.Call
	passed := map[int]*request{}
	began := s.statistics.requests.Now()
	for _, c := range lines {
		one := c.Request(in)
		req := s.forLeader(one, pass)
		if req == nil {
			jobs = append(jobs, calls.By(s, c, one))
			continue
		}
		passed[c.ID] = req
		there = append(there, c)
	}
	if len(there) == 0 {
		return jobs
	}
	forward := func(w http.ResponseWriter, r *http.Request) { s.forward(w, r, leader) }
	return append(jobs, calls.Pass(there, r, forward, func(c calls.Call, status int) {
		req := passed[c.ID]
		s.statistics.requests.Ended(req.Link.Kind(), string(req.Verb), status, began)
	}))
}

// forLeader returns the parsed r if it is the leader that is to answer it, and
// that is elsewhere.
func (s *Server) forLeader(r *http.Request, elsewhere bool) *request {
	if !elsewhere {
		return nil
	}
	req, err := parse(r, strings.TrimPrefix(r.URL.Path, "/api/"))
	if err != nil || s.local.Settle(&req.Request) != nil || req.Consistency == kit.Eventual {
		return nil
	}
	return req
}
