package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/tracing"
	"landfall.dev/kit/store"
)

// write creates, updates or deletes a document or sends it an event.
func (s *Server) write(w http.ResponseWriter, req *request, node Node) error {
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
	o, err := writeOptions(req)
	if err != nil {
		return err
	}
	records, err := s.propose(req, node, []kit.Write{wr}, o)
	if err != nil {
		return err
	}
	if o.Durability == kit.Async {
		return encode(w, http.StatusAccepted, records[0])
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
func (s *Server) batch(w http.ResponseWriter, req *request, node Node) error {
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
	o, err := writeOptions(req)
	if err != nil {
		return err
	}
	records, err := s.propose(req, node, b.Writes, o)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if o.Durability == kit.Async {
		status = http.StatusAccepted
	}
	return encode(w, status, kit.Page{Items: records, Position: s.store.Position().String()})
}

// maxWrites is how many writes a batch may have.
const maxWrites = 1000

// headerKey makes a write happen once: see kit.Once.
const headerKey = "Idempotency-Key"

// maxKey is the length limit of an idempotency key, in bytes.
const maxKey = 100

// writeOptions returns what req says of when the write is acknowledged, and of
// its repetition.
func writeOptions(req *request) (kit.WriteOptions, error) {
	o := kit.WriteOptions{Durability: kit.Durability(req.query.Get("durability")), Key: req.Header.Get(headerKey)}
	switch o.Durability {
	case "quorum":
		o.Durability = kit.Quorum
	case kit.Quorum, kit.All, kit.Async:
	default:
		return o, &kit.Error{Fault: kit.ErrInvalid, Link: req.link, Detail: fmt.Sprintf("there is no durability %q", string(o.Durability)), Hint: "use quorum, all or async"}
	}
	if o.Key != "" && (len(o.Key) > maxKey || kit.CheckID(o.Key) != nil) {
		return o, kit.Errorf(kit.ErrInvalid, req.link, "the %s is not 1 to %d bytes of letters, digits and . _ ~ -", headerKey, maxKey)
	}
	return o, nil
}

// propose checks that the caller may make the writes and has the cluster
// apply them.
func (s *Server) propose(req *request, node Node, writes []kit.Write, o kit.WriteOptions) ([]kit.Record, error) {
	req.writes = slices.Clone(writes)
	if err := checkWrites(writes); err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		permitted, pinned, err := s.permit(req.caller, writes)
		if err != nil {
			return nil, err
		}
		// The span is the leader's decision, and the log until a majority has it.
		ctx, span := s.tracer.Begin(req.Context(), "write", trace.SpanKindInternal, attribute.Int("landfall.writes", len(writes)))
		records, err := node.Write(ctx, store.Proposal{
			Writes: permitted, By: req.caller.Subject, Internal: req.caller.service,
			Durability: o.Durability, Key: o.Key,
		})
		tracing.Done(span, err)
		switch {
		case pinned && attempt < maxPins && errors.Is(err, kit.ErrStale):
			continue // it was changed meanwhile: what it is now has to be looked at
		case err == nil && o.Durability == kit.Async:
			return unapplied(writes), nil
		case err == nil && len(records) != len(writes):
			return nil, &kit.Error{Op: "write", Err: fmt.Errorf("%d writes gave %d records", len(writes), len(records))}
		}
		for i, r := range records {
			req.writes[i].Link = r.Link
		}
		return records, err
	}
}

// checkWrites returns what is wrong with the writes themselves.
func checkWrites(writes []kit.Write) error {
	if len(writes) > maxWrites {
		return kit.Errorf(kit.ErrTooLarge, "", "the batch has %d writes, the limit is %d: split it", len(writes), maxWrites)
	}
	for _, w := range writes {
		switch w.Verb {
		case kit.VerbRead, kit.VerbList, kit.VerbWatch, "":
			return kit.Errorf(kit.ErrInvalid, w.Link, "%q is no write", string(w.Verb))
		}
		if err := checkJSON(w.Body, w.Link); err != nil {
			return err
		}
	}
	return nil
}

// unapplied returns what is known of writes that are not applied yet: their links.
func unapplied(writes []kit.Write) []kit.Record {
	records := make([]kit.Record, len(writes))
	for i, w := range writes {
		if w.Link.ID() != "" {
			records[i].Link = w.Link
		}
	}
	return records
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
func createLink(req *request, body []byte) (kit.Link, error) {
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

func checkType(req *request) error {
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

func readBody(w http.ResponseWriter, req *request, limit int64) ([]byte, error) {
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
func ifMatch(req *request) (int64, error) {
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
