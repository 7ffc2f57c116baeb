package local

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/access"
	"landfall.dev/kit/rest/tracing"
	"landfall.dev/kit/store"
)

// Batch takes the place of the kind and of the verb of a request with several
// writes.
const Batch = "batch"

// BuiltIn tells whether v is a verb of all kinds.
func BuiltIn(v kit.Verb) bool {
	switch v {
	case kit.VerbCreate, kit.VerbRead, kit.VerbList, kit.VerbWatch, kit.VerbUpdate, kit.VerbDelete:
		return true
	}
	return false
}

// Request is what somebody asks of documents, and then what came of it.
type Request struct {
	Verb   kit.Verb // or the custom method, or Batch
	Link   kit.Link // "kind/" for a collection
	Caller *access.Caller

	Consistency kit.Consistency  // of a read or a list
	AsOf        kit.Position     // of a read
	Query       kit.Query        // of a list
	Writes      []kit.Write      // of all others but a watch
	Options     kit.WriteOptions // of the writes

	Record  kit.Record   // that was read
	Page    kit.Page     // that was listed
	Records []kit.Record // that were written, one for each of the writes
}

// Status is that of a request without an error.
func (req *Request) Status() int {
	switch {
	case req.Options.Durability == kit.Async:
		return http.StatusAccepted
	case req.Verb == kit.VerbCreate:
		return http.StatusCreated
	case req.Verb == kit.VerbDelete:
		return http.StatusNoContent
	}
	return http.StatusOK
}

// Written returns the link of the nth of the writes, with the id that was
// allocated if one was.
func (req *Request) Written(n int) kit.Link {
	if n < len(req.Records) && req.Records[n].Link != "" {
		return req.Records[n].Link
	}
	return req.Writes[n].Link
}

// Settle finds out how current the read that req asks for must be: as it says,
// else as its kind is declared. For all other requests that means nothing.
func (s *Server) Settle(req *Request) error {
	if req.Verb != kit.VerbRead && req.Verb != kit.VerbList {
		req.Consistency = ""
		return nil
	}
	if req.Consistency == kit.KindDefault {
		if k, ok := s.Kinds.Find(req.Link.Kind()); ok {
			req.Consistency = k.Read
		}
	}
	switch req.Consistency {
	case kit.KindDefault:
		req.Consistency = kit.Leader
	case kit.Leader, kit.Eventual, kit.Linearizable:
	default:
		return &kit.Error{Fault: kit.ErrInvalid, Link: req.Link, Detail: fmt.Sprintf("there is no consistency %q", string(req.Consistency)), Hint: "use leader, eventual or linearizable"}
	}
	return nil
}

// Perform does what req asks, other than a watch, which is for this node to do.
func (s *Server) Perform(ctx context.Context, node Node, req *Request) error {
	if req.Consistency == kit.Linearizable {
		if err := node.Barrier(ctx); err != nil {
			return err
		}
	}
	switch req.Verb {
	case kit.VerbRead:
		return s.read(req)
	case kit.VerbList:
		return s.list(ctx, req)
	}
	return s.write(ctx, node, req)
}

func (s *Server) read(req *Request) (err error) {
	if req.AsOf == (kit.Position{}) {
		req.Record, err = s.Store.Read(req.Link)
	} else {
		req.Record, err = s.Store.ReadAsOf(req.Link, req.AsOf)
	}
	if err != nil {
		if denied := req.Caller.MayMiss(kit.VerbRead, req.Link); denied != nil {
			return denied
		}
		return err
	}
	if req.Caller.Always(kit.VerbRead, req.Link) {
		return nil // mostly, and what it is need not be handed on
	}
	return req.Caller.MayTo(kit.VerbRead, req.Record)
}

func (s *Server) list(ctx context.Context, req *Request) error {
	visible, err := req.Caller.Visible(kit.VerbList, req.Link.Kind())
	if err != nil {
		return err
	}
	if req.Caller.Always(kit.VerbList, req.Link) {
		visible = nil // all are
	}
	req.Page, err = s.Store.ListFor(ctx, req.Query, visible)
	return err
}

// maxPins is how often a write by a caller whose role depends on the document is
// tried again because the document has changed.
const maxPins = 10

// write checks the writes, whose bodies are JSON, and that the caller may make
// them, and has the cluster apply them.
func (s *Server) write(ctx context.Context, node Node, req *Request) error {
	if err := checkWrites(req); err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		proposal := store.Proposal{
			Writes: req.Writes, By: req.Caller.Subject, Internal: req.Caller.Service,
			Durability: req.Options.Durability, Key: req.Options.Key,
		}
		pins, denied := s.Policy.Permit(req.Caller, req.Writes)
		if denied != nil || pins != nil { // it depends on what the documents are
			if done, err := s.repeat(req, proposal); done || err != nil {
				return err
			}
		}
		if denied != nil {
			return denied
		}
		proposal.Pins = pins
		// The span is the leader's decision, and the log until a majority has it.
		ctx, span := s.Tracer.Begin(ctx, "write", trace.SpanKindInternal, attribute.Int("landfall.writes", len(req.Writes)))
		records, err := node.Write(ctx, proposal)
		tracing.Done(span, err)
		switch {
		case pins != nil && attempt < maxPins && errors.Is(err, kit.ErrStale):
			continue // it was changed meanwhile: what it is now has to be looked at
		case err != nil:
			return err
		case req.Options.Durability == kit.Async:
			records = unapplied(req.Writes)
		case len(records) != len(req.Writes):
			return &kit.Error{Op: "write", Err: fmt.Errorf("%d writes gave %d records", len(req.Writes), len(records))}
		}
		req.Records = records
		return nil
	}
}

// repeat answers writes that the caller made before, as their key tells, and
// tells whether it has. What they may be done to is not as it was then.
func (s *Server) repeat(req *Request, p store.Proposal) (done bool, err error) {
	if p.Key == "" || !req.Caller.MayRepeat(req.Writes) {
		return false, nil
	}
	records, done, err := s.Store.Repeated(p, time.Now())
	if err != nil || !done {
		return false, err
	}
	req.Records = req.Caller.Shown(req.Writes, records)
	if req.Options.Durability == kit.Async {
		req.Records = unapplied(req.Writes)
	}
	return true, nil
}

// maxWrites is how many writes a batch may have.
const maxWrites = 10_000

// HeaderKey makes a write happen once: see kit.Once.
const HeaderKey = "Idempotency-Key"

// maxKey is the length limit of an idempotency key, in bytes.
const maxKey = 100

// checkWrites returns what is wrong with the writes of req and their options.
func checkWrites(req *Request) error {
	switch {
	case len(req.Writes) == 0:
		return &kit.Error{Fault: kit.ErrInvalid, Op: "batch", Detail: "it has no writes"}
	case len(req.Writes) > maxWrites:
		return kit.Errorf(kit.ErrTooLarge, "", "the batch has %d writes, the limit is %d: split it", len(req.Writes), maxWrites)
	}
	for _, w := range req.Writes {
		switch w.Verb {
		case kit.VerbRead, kit.VerbList, kit.VerbWatch, "":
			return kit.Errorf(kit.ErrInvalid, w.Link, "%q is no write", string(w.Verb))
		}
	}
	switch o := &req.Options; o.Durability {
	case "quorum":
		o.Durability = kit.Quorum
	case kit.Quorum, kit.All, kit.Async:
	default:
		return &kit.Error{Fault: kit.ErrInvalid, Link: req.Link, Detail: fmt.Sprintf("there is no durability %q", string(o.Durability)), Hint: "use quorum, all or async"}
	}
	if key := req.Options.Key; key != "" && (len(key) > maxKey || kit.CheckID(key) != nil) {
		return kit.Errorf(kit.ErrInvalid, req.Link, "the %s is not 1 to %d bytes of letters, digits and . _ ~ -", HeaderKey, maxKey)
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
