package rest

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/local"
	"landfall.dev/kit/rest/parameters"
)

// request is a request for documents that came over HTTP.
type request struct {
	http *http.Request
	local.Request
	parameters url.Values
}

// documents serves everything at /api/{kind}, /api/{kind}/{id} and
// /api/batch; rest is the path after /api/.
func (s *Server) documents(w http.ResponseWriter, r *http.Request, rest string) {
	began := s.statistics.requests.Now()
	a := &answered{ResponseWriter: w, outcome: outcome{status: http.StatusOK}, server: s}
	req, err := parse(r, rest)
	if err == nil {
		err = s.serve(a, req)
	}
	if err != nil {
		s.fail(a, r, err)
	}
	s.statistics.requests.Ended(req.Link.Kind(), string(req.Verb), a.status, began)
	s.recordDocuments(&a.outcome, r, &req.Request)
}

// parse finds out what r wants.
func parse(r *http.Request, rest string) (*request, error) {
	kind, id, one := strings.Cut(rest, "/")
	id, method, custom := strings.Cut(id, ":")
	req := &request{http: r}
	req.Link = kit.NewLink(kind, id)
	if r.URL.RawQuery != "" {
		req.parameters = r.URL.Query()
		req.Consistency = kit.Consistency(req.parameters.Get("consistency"))
	}
	switch {
	case kind == local.Batch && !one && r.Method == http.MethodPost:
		req.Verb = local.Batch
	case custom && r.Method == http.MethodPost:
		req.Verb = kit.Verb(method)
	case custom:
	case !one && r.Method == http.MethodPost:
		req.Verb = kit.VerbCreate
	case !one && r.Method == http.MethodGet && streams(r):
		req.Verb = kit.VerbWatch
	case !one && r.Method == http.MethodGet:
		req.Verb = kit.VerbList
	case one && r.Method == http.MethodGet:
		req.Verb = kit.VerbRead
	case one && r.Method == http.MethodPatch:
		req.Verb = kit.VerbUpdate
	case one && r.Method == http.MethodDelete:
		req.Verb = kit.VerbDelete
	}
	if req.Verb == "" {
		return req, &kit.Error{Fault: kit.ErrInvalid, Link: req.Link, Detail: fmt.Sprintf("there is no %s of this path", r.Method), Hint: "see /api/openapi.json"}
	}
	if err := kit.CheckKind(kind); err != nil {
		return req, err
	}
	if one {
		return req, kit.CheckID(id)
	}
	return req, nil
}

// streams tells whether r asks for events.
func streams(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}

// serve authenticates req and either answers it or passes it on to the leader.
func (s *Server) serve(w *answered, req *request) error {
	if err := s.begun(req.http.Context()); err != nil {
		return err
	}
	node, leader, self := s.leader()
	err := s.local.Settle(&req.Request)
	if err != nil {
		return err
	}
	here := self || req.Verb == kit.VerbWatch
	if req.Consistency == kit.Eventual {
		if here, err = s.reached(req.http, self); err != nil {
			return err
		}
		if !here && (self || leader == "" || req.http.Header.Get(headerForwarded) != "") {
			return errBehind
		}
	}
	if !here {
		s.forward(w, req.http, leader)
		return nil
	}
	if err := s.local.Missing(req.Link); err != nil {
		return err
	}
	req.Caller, err = s.admit(req.http)
	w.subject = req.Caller.Subject
	if err != nil {
		if errors.Is(err, errUnsure) && !self && leader != "" && req.http.Header.Get(headerForwarded) == "" {
			s.forward(w, req.http, leader) // which knows the token if anyone does
			return nil
		}
		return err
	}
	if req.Verb == kit.VerbWatch {
		return s.watch(w, req)
	}
	if err := req.decode(w); err != nil {
		return err
	}
	if err := s.local.Perform(req.http.Context(), node, &req.Request); err != nil {
		return err
	}
	return s.reply(w, &req.Request)
}

// decode reads from the parameters, the headers and the body what req asks
// for, other than a watch.
func (req *request) decode(w http.ResponseWriter) (err error) {
	switch req.Verb {
	case kit.VerbRead:
		req.AsOf, err = parameters.AsOf(req.parameters)
	case kit.VerbList:
		// Who may not list is not told what is wrong with the query.
		if _, err = req.Caller.Visible(kit.VerbList, req.Link.Kind()); err == nil {
			req.Query, err = parameters.Decode(req.Link.Kind(), req.parameters)
		}
	case local.Batch:
		err = req.decodeBatch(w)
	default:
		err = req.decodeWrite(w)
	}
	return err
}

// reply answers with what came of op.
func (s *Server) reply(w *answered, op *local.Request) error {
	status := op.Status()
	switch {
	case op.Verb == kit.VerbList:
		return encodePage(w, status, op.Page)
	case op.Verb == local.Batch:
		return encodePage(w, status, kit.Page{Items: op.Records, Position: s.store.Position().String()})
	case op.Verb == kit.VerbRead:
		return answer(w, status, &op.Record)
	case status == http.StatusNoContent:
		w.WriteHeader(status)
		return nil
	case status == http.StatusCreated:
		w.Header().Set("Location", "/api/"+string(op.Records[0].Link))
	case status == http.StatusAccepted:
		return encodeRecord(w, status, &op.Records[0])
	}
	return answer(w, status, &op.Records[0])
}
