package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"landfall.dev/kit"
)

// batchPath takes the place of a kind in the path of a batch.
const batchPath = "batch"

// maxBatch is the size limit of a batch's body, in bytes.
const maxBatch = 8 * kit.MaxDocument

// request is a parsed request for documents.
type request struct {
	*http.Request
	verb   kit.Verb // or the custom method
	link   kit.Link // "kind/" for a collection
	query  url.Values
	caller caller
	// consistency is that of a read.
	consistency kit.Consistency
	// writes are what a request other than for reading wants to write, with the
	// ids that were allocated.
	writes []kit.Write
}

// documents serves everything at /api/{kind}, /api/{kind}/{id} and
// /api/batch; rest is the path after /api/.
func (s *Server) documents(w http.ResponseWriter, r *http.Request, rest string) {
	began := time.Now()
	a := &answered{ResponseWriter: &positionWriter{w, s}, status: http.StatusOK}
	req, err := parse(r, rest)
	if err == nil {
		err = s.serve(a, &req)
	}
	if err != nil {
		s.fail(a, r, err)
	}
	s.statistics.observe(req.link.Kind(), req.verb, a.status, time.Since(began))
	s.recordDocuments(a, &req)
}

// recordDocuments leaves the records that the audit needs of req.
func (s *Server) recordDocuments(a *answered, req *request) {
	admin := false
	for _, w := range req.writes {
		if adminKind(w.Link.Kind()) {
			admin = true
			s.record(a, req.Request, true, w.Verb, string(w.Link))
		}
	}
	if admin {
		return
	}
	target := req.link
	if len(req.writes) == 1 {
		target = req.writes[0].Link
	}
	s.record(a, req.Request, false, req.verb, string(target))
}

// parse finds out what r wants.
func parse(r *http.Request, rest string) (request, error) {
	kind, id, one := strings.Cut(rest, "/")
	id, method, custom := strings.Cut(id, ":")
	req := request{Request: r, link: kit.NewLink(kind, id), query: r.URL.Query()}
	switch {
	case kind == batchPath && !one && r.Method == http.MethodPost:
		req.verb = batchPath
	case custom && r.Method == http.MethodPost:
		req.verb = kit.Verb(method)
	case custom:
	case !one && r.Method == http.MethodPost:
		req.verb = kit.VerbCreate
	case !one && r.Method == http.MethodGet && streams(r):
		req.verb = kit.VerbWatch
	case !one && r.Method == http.MethodGet:
		req.verb = kit.VerbList
	case one && r.Method == http.MethodGet:
		req.verb = kit.VerbRead
	case one && r.Method == http.MethodPatch:
		req.verb = kit.VerbUpdate
	case one && r.Method == http.MethodDelete:
		req.verb = kit.VerbDelete
	}
	if req.verb == "" {
		return req, &kit.Error{Fault: kit.ErrInvalid, Link: req.link, Detail: fmt.Sprintf("there is no %s of this path", r.Method), Hint: "see /api/openapi.json"}
	}
	if err := kit.CheckKind(kind); err != nil {
		return req, err
	}
	if one {
		return req, req.link.Check()
	}
	return req, nil
}

// streams tells whether r asks for events.
func streams(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}

// serve authenticates req and either answers it or passes it on to the leader.
func (s *Server) serve(w *answered, req *request) error {
	if err := s.begun(req.Context()); err != nil {
		return err
	}
	node, leader, self := s.leader()
	var err error
	if req.consistency, err = s.consistency(*req); err != nil {
		return err
	}
	here := self || req.verb == kit.VerbWatch
	if req.consistency == kit.Eventual {
		if here, err = s.reached(req.Request); err != nil {
			return err
		}
		if !here && (self || leader == "" || req.Header.Get(headerForwarded) != "") {
			return errBehind
		}
	}
	if !here {
		s.forward(w, req.Request, leader)
		return nil
	}
	if err := s.missing(req.link); err != nil {
		return err
	}
	if req.caller, err = s.admit(req.Request); err != nil {
		who(w, req.caller.Subject)
		if kit.FaultOf(err) == kit.ErrUnauthenticated && !self && leader != "" && req.Header.Get(headerForwarded) == "" {
			s.forward(w, req.Request, leader) // the token may be too new for this node
			return nil
		}
		return err
	}
	who(w, req.caller.Subject)
	switch req.verb {
	case kit.VerbWatch:
		return s.watch(w, req)
	case kit.VerbRead, kit.VerbList:
		if req.consistency == kit.Linearizable {
			if err := node.Barrier(req.Context()); err != nil {
				return err
			}
		}
		if req.verb == kit.VerbRead {
			return s.read(w, *req)
		}
		return s.list(w, *req)
	case batchPath:
		return s.batch(w, req, node)
	}
	return s.write(w, req, node)
}

// consistency returns how current the read that req asks for must be: as it
// says, else as its kind is declared. For all other requests it is empty.
func (s *Server) consistency(req request) (kit.Consistency, error) {
	if req.verb != kit.VerbRead && req.verb != kit.VerbList {
		return "", nil
	}
	c := kit.Consistency(req.query.Get("consistency"))
	if k, ok := s.kinds.Find(req.link.Kind()); ok && c == kit.KindDefault {
		c = k.Read
	}
	switch c {
	case kit.KindDefault:
		return kit.Leader, nil
	case kit.Leader, kit.Eventual, kit.Linearizable:
		return c, nil
	}
	return "", &kit.Error{Fault: kit.ErrInvalid, Link: req.link, Detail: fmt.Sprintf("there is no consistency %q", string(c)), Hint: "use leader, eventual or linearizable"}
}

func (s *Server) read(w http.ResponseWriter, req request) error {
	at, err := asOf(req.query)
	if err != nil {
		return err
	}
	r, err := s.store.Read(req.link)
	if at != (kit.Position{}) {
		r, err = s.store.ReadAsOf(req.link, at)
	}
	if err != nil {
		if !req.caller.always(kit.VerbRead, req.link) && !req.caller.maybe(kit.VerbRead, req.link) {
			return req.caller.denied(kit.VerbRead, req.link)
		}
		return err
	}
	if err := req.caller.mayTo(kit.VerbRead, r); err != nil {
		return err
	}
	return answer(w, http.StatusOK, r)
}

func (s *Server) list(w http.ResponseWriter, req request) error {
	visible, err := req.caller.visible(kit.VerbList, req.link.Kind())
	if err != nil {
		return err
	}
	if req.caller.always(kit.VerbList, req.link) {
		visible = nil // all are
	}
	q, err := decodeQuery(req.link.Kind(), req.query)
	if err != nil {
		return err
	}
	p, err := s.store.ListFor(req.Context(), q, visible)
	if err != nil {
		return err
	}
	return encode(w, http.StatusOK, p)
}

// answer writes the document r with its version as the ETag.
func answer(w http.ResponseWriter, status int, r kit.Record) error {
	w.Header().Set("ETag", fmt.Sprintf(`"%d"`, r.Version))
	return encode(w, status, r)
}

func encode(w http.ResponseWriter, status int, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return &kit.Error{Op: "encode", Err: err}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, err := w.Write(b.Bytes())
	if err != nil {
		return nil // the client is gone
	}
	return nil
}

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
