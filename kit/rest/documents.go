package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
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
}

// documents serves everything at /api/{kind}, /api/{kind}/{id} and
// /api/batch; rest is the path after /api/.
func (s *Server) documents(w http.ResponseWriter, r *http.Request, rest string) {
	began := time.Now()
	counted := &countedWriter{ResponseWriter: w, status: http.StatusOK}
	req, err := parse(r, rest)
	if err == nil {
		err = s.serve(counted, req)
	}
	if err != nil {
		s.fail(counted, r, err)
	}
	s.statistics.observe(req.link.Kind(), req.verb, counted.status, time.Since(began))
}

// parse finds out what r wants.
func parse(r *http.Request, rest string) (request, error) {
	kind, id, one := strings.Cut(rest, "/")
	id, method, custom := strings.Cut(id, ":")
	req := request{Request: r, link: kit.NewLink(kind, id), query: r.URL.Query()}
	streams := strings.Contains(r.Header.Get("Accept"), "text/event-stream")
	switch {
	case kind == batchPath && !one && r.Method == http.MethodPost:
		req.verb = batchPath
	case custom && r.Method == http.MethodPost:
		req.verb = kit.Verb(method)
	case custom:
	case !one && r.Method == http.MethodPost:
		req.verb = kit.VerbCreate
	case !one && r.Method == http.MethodGet && streams:
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

// serve authenticates req and either answers it or passes it on to the leader.
func (s *Server) serve(w http.ResponseWriter, req request) error {
	if err := s.begun(req.Context()); err != nil {
		return err
	}
	node, leader, self := s.leader()
	anywhere := req.verb == kit.VerbWatch ||
		(req.verb == kit.VerbRead || req.verb == kit.VerbList) && req.query.Get("consistency") == string(kit.Eventual)
	if !self && !anywhere {
		s.forward(w, req.Request, leader)
		return nil
	}
	if err := s.missing(req.link); err != nil {
		return err
	}
	var err error
	if req.caller, err = s.authenticate(req.Request); err != nil {
		if !self && leader != "" && req.Header.Get(headerForwarded) == "" {
			s.forward(w, req.Request, leader) // the token may be too new for this node
			return nil
		}
		return err
	}
	switch req.verb {
	case kit.VerbWatch:
		return s.watch(w, req)
	case kit.VerbRead, kit.VerbList:
		if err := s.current(req, node); err != nil {
			return err
		}
		if req.verb == kit.VerbRead {
			return s.read(w, req)
		}
		return s.list(w, req)
	case batchPath:
		return s.batch(w, req, node)
	}
	return s.write(w, req, node)
}

// current makes sure that the store is as current as the request asks for.
func (s *Server) current(req request, node Node) error {
	switch c := kit.Consistency(req.query.Get("consistency")); c {
	case kit.KindDefault, kit.Leader, kit.Eventual:
		return nil
	case kit.Linearizable:
		return node.Barrier(req.Context())
	default:
		return &kit.Error{Fault: kit.ErrInvalid, Link: req.link, Detail: fmt.Sprintf("there is no consistency %q", string(c)), Hint: "use leader, eventual or linearizable"}
	}
}

func (s *Server) read(w http.ResponseWriter, req request) error {
	if err := req.caller.May(kit.VerbRead, req.link); err != nil {
		return err
	}
	r, err := s.store.Read(req.link)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, r)
}

func (s *Server) list(w http.ResponseWriter, req request) error {
	visible, err := req.caller.visible(kit.VerbList, req.link.Kind())
	if err != nil {
		return err
	}
	q := kit.Query{
		Kind:   req.link.Kind(),
		Filter: req.query.Get("filter"),
		Order:  req.query.Get("order"),
		Token:  req.query.Get("token"),
	}
	if limit := req.query.Get("limit"); limit != "" {
		q.Limit, err = strconv.Atoi(limit)
		if err != nil || q.Limit < 1 || q.Limit > 1000 {
			return kit.Errorf(kit.ErrInvalid, req.link, "the limit %q is not a number from 1 to 1000", limit)
		}
	}
	p, err := s.store.List(q)
	if err != nil {
		return err
	}
	items := make([]kit.Record, 0, len(p.Items))
	for _, r := range p.Items {
		if visible(r.Link) {
			items = append(items, r)
		}
	}
	p.Items = items
	return encode(w, http.StatusOK, p)
}

// write creates, updates or deletes a document or sends it an event.
func (s *Server) write(w http.ResponseWriter, req request, node Node) error {
	if err := checkType(req); err != nil {
		return err
	}
	body, err := readBody(w, req, kit.MaxDocument)
	if err != nil {
		return err
	}
	wr := kit.Write{Verb: req.verb, Link: req.link, Body: body}
	if wr.IfMatch, err = ifMatch(req); err != nil {
		return err
	}
	if req.verb == kit.VerbCreate {
		if wr.Link, err = createLink(req, body); err != nil {
			return err
		}
	}
	records, err := s.propose(req, node, []kit.Write{wr})
	if err != nil {
		return err
	}
	switch req.verb {
	case kit.VerbCreate:
		w.Header().Set("Location", "/api/"+string(records[0].Link))
		return answer(w, http.StatusCreated, records[0])
	case kit.VerbDelete:
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return answer(w, http.StatusOK, records[0])
}

// batch applies several writes or none.
func (s *Server) batch(w http.ResponseWriter, req request, node Node) error {
	body, err := readBody(w, req, maxBatch)
	if err != nil {
		return err
	}
	if err := checkJSON(body, ""); err != nil {
		return err
	}
	var b batch
	if err := json.Unmarshal(body, &b); err != nil {
		return &kit.Error{Fault: kit.ErrInvalid, Op: "batch", Detail: err.Error(), Hint: `send {"writes": [{"verb": "update", "link": "kind/id", "body": {}}]}`}
	}
	if len(b.Writes) == 0 {
		return &kit.Error{Fault: kit.ErrInvalid, Op: "batch", Detail: "it has no writes"}
	}
	records, err := s.propose(req, node, b.Writes)
	if err != nil {
		return err
	}
	return encode(w, http.StatusOK, kit.Page{Items: records, Position: s.store.Position().String()})
}

// propose checks that the caller may make the writes and has the cluster
// apply them.
func (s *Server) propose(req request, node Node, writes []kit.Write) ([]kit.Record, error) {
	for _, w := range writes {
		switch w.Verb {
		case kit.VerbRead, kit.VerbList, kit.VerbWatch, "":
			return nil, kit.Errorf(kit.ErrInvalid, w.Link, "%q is no write", string(w.Verb))
		}
		if err := req.caller.May(w.Verb, w.Link); err != nil {
			return nil, err
		}
		if err := checkJSON(w.Body, w.Link); err != nil {
			return nil, err
		}
	}
	records, err := node.Write(req.Context(), store.Proposal{Writes: writes, By: req.caller.Subject, Internal: req.caller.service})
	if err == nil && len(records) != len(writes) {
		return nil, &kit.Error{Op: "write", Err: fmt.Errorf("%d writes gave %d records", len(writes), len(records))}
	}
	return records, err
}

// checkJSON says in which line b is no JSON; nothing is fine.
func checkJSON(b []byte, link kit.Link) error {
	if len(b) == 0 {
		return nil
	}
	var raw json.RawMessage
	err := json.Unmarshal(b, &raw)
	if err == nil {
		return nil
	}
	offset := len(b)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		offset = min(int(syntax.Offset), len(b))
	}
	line := 1 + bytes.Count(b[:offset], []byte("\n"))
	return kit.Errorf(kit.ErrInvalid, link, "the body is not valid JSON at line %d, byte %d: %v", line, offset, err)
}

// createLink returns the link that a new document shall have: "kind/" if its
// id is to be allocated.
func createLink(req request, body []byte) (kit.Link, error) {
	kind, id := req.link.Kind(), req.query.Get("id")
	if err := checkJSON(body, req.link); err != nil {
		return "", err
	}
	if id == "" {
		var m struct {
			Link kit.Link `json:"link"`
		}
		if err := json.Unmarshal(body, &m); err != nil {
			return "", kit.Errorf(kit.ErrInvalid, req.link, "the body is no JSON object with a link that is a string, or none")
		}
		if id = m.Link.ID(); m.Link != "" && m.Link.Kind() != kind {
			return "", kit.Errorf(kit.ErrInvalid, m.Link, "the body's link is not of the kind %s", kind)
		}
	}
	if id == "" {
		return req.link, nil
	}
	return kit.NewLink(kind, id), kit.CheckID(id)
}

func checkType(req request) error {
	given := req.Header.Get("Content-Type")
	if given == "" {
		return nil
	}
	t, _, err := mime.ParseMediaType(given)
	if err == nil && (t == "application/json" || t == "application/merge-patch+json") {
		return nil
	}
	return &kit.Error{Fault: kit.ErrInvalid, Link: req.link, Detail: fmt.Sprintf("the body's type %q is not understood", given), Hint: "send application/json"}
}

func readBody(w http.ResponseWriter, req request, limit int64) ([]byte, error) {
	b, err := readAll(w, req.Request, req.link, limit)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, nil
	}
	return b, nil
}

// ifMatch returns the version in the If-Match header, 0 if there is none.
func ifMatch(req request) (int64, error) {
	given := req.Header.Get("If-Match")
	if given == "" || given == "*" {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.Trim(given, `"`), 10, 64)
	if err != nil || n < 1 {
		return 0, &kit.Error{Fault: kit.ErrInvalid, Link: req.link, Detail: fmt.Sprintf("If-Match: %s names no version", given), Hint: `write it as the ETag was: "3"`}
	}
	return n, nil
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

// index lists the kinds.
func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	var kinds []kindInfo
	for _, name := range s.kinds.Names() {
		if k, ok := s.kinds.Find(name); ok {
			kinds = append(kinds, kindInfo{name, k.Schema, s.store.Count(name)})
		}
	}
	if err := encode(w, http.StatusOK, map[string]any{"kinds": kinds}); err != nil {
		s.fail(w, r, err)
	}
}

// readAll returns r's body of at most limit bytes.
func readAll(w http.ResponseWriter, r *http.Request, l kit.Link, limit int64) ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, kit.Errorf(kit.ErrTooLarge, l, "the body has more than %d bytes", limit)
	}
	if err != nil {
		return nil, &kit.Error{Fault: kit.ErrInvalid, Link: l, Detail: "the body could not be read to its end", Err: err}
	}
	return b, nil
}
