package local

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"iter"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/access"
	"landfall.dev/kit/rest/tracing"
)

// Client is a client in the process of a Server. What the node can do itself it
// asks for directly, with the checks of any request; the rest goes to another
// client: what is for the leader, watches, and what has to be tried again.
type Client struct {
	server  *Server
	subject string
	far     kit.Client
	seen    func() kit.Position
	service atomic.Pointer[access.Caller] // who the subject is, if a service, once that is known
}

// NewClient returns a client of the server that acts as subject. The client far
// acts as the same, over HTTP; seen tells how far in the log its answers were.
func NewClient(s *Server, subject string, far kit.Client, seen func() kit.Position) *Client {
	return &Client{server: s, subject: subject, far: far, seen: seen}
}

var _ kit.Client = (*Client)(nil)

// Create implements kit.Client.
func (c *Client) Create(ctx context.Context, kind, id string, body []byte, o ...kit.WriteOption) (kit.Record, error) {
	if err := kit.CheckKind(kind); err != nil {
		return kit.Record{}, err
	}
	req := Request{Verb: kit.VerbCreate, Link: kit.NewLink(kind, ""), Options: kit.Written(o)}
	if id == "" && req.Options.Key == "" {
		req.Options.Key = crand.Text()
		o = append(slices.Clip(o), kit.Once(req.Options.Key))
	}
	done, err := c.write(ctx, &req, kit.Write{Verb: kit.VerbCreate, Link: kit.NewLink(kind, id), Body: body})
	if !done {
		r, last := c.far.Create(ctx, kind, id, body, o...)
		return r, final(last, err)
	}
	return req.first(), err
}

// Read implements kit.Client.
func (c *Client) Read(ctx context.Context, link kit.Link, o kit.ReadOptions) (kit.Record, error) {
	if err := link.Check(); err != nil {
		return kit.Record{}, err
	}
	req := Request{Verb: kit.VerbRead, Link: link, Consistency: o.Consistency, AsOf: o.AsOf}
	done, err := c.call(ctx, &req)
	if !done {
		return c.far.Read(ctx, link, o)
	}
	if err != nil {
		return kit.Record{}, err
	}
	req.Record.Link = link // which is the caller's own
	ownContent(&req.Record)
	return req.Record, nil
}

// List implements kit.Client.
func (c *Client) List(ctx context.Context, q kit.Query) (kit.Page, error) {
	if err := kit.CheckKind(q.Kind); err != nil {
		return kit.Page{}, err
	}
	req := Request{Verb: kit.VerbList, Link: kit.NewLink(q.Kind, ""), Consistency: q.Consistency, Query: q}
	done, err := c.call(ctx, &req)
	if !done {
		return c.far.List(ctx, q)
	}
	if err != nil {
		return kit.Page{}, err
	}
	for i := range req.Page.Items {
		own(&req.Page.Items[i])
	}
	return req.Page, nil
}

// Update implements kit.Client.
func (c *Client) Update(ctx context.Context, link kit.Link, patch []byte, ifMatch int64, o ...kit.WriteOption) (kit.Record, error) {
	if err := link.Check(); err != nil {
		return kit.Record{}, err
	}
	req := Request{Verb: kit.VerbUpdate, Link: link, Options: kit.Written(o)}
	done, err := c.write(ctx, &req, kit.Write{Verb: kit.VerbUpdate, Link: link, Body: patch, IfMatch: ifMatch})
	if !done {
		r, last := c.far.Update(ctx, link, patch, ifMatch, o...)
		return r, final(last, err)
	}
	return req.first(), err
}

// Delete implements kit.Client.
func (c *Client) Delete(ctx context.Context, link kit.Link, ifMatch int64, o ...kit.WriteOption) error {
	if err := link.Check(); err != nil {
		return err
	}
	req := Request{Verb: kit.VerbDelete, Link: link, Options: kit.Written(o)}
	done, err := c.write(ctx, &req, kit.Write{Verb: kit.VerbDelete, Link: link, IfMatch: ifMatch})
	if !done {
		return final(c.far.Delete(ctx, link, ifMatch, o...), err)
	}
	return err
}

// Do implements kit.Client.
func (c *Client) Do(ctx context.Context, link kit.Link, method string, args []byte, o ...kit.WriteOption) (kit.Record, error) {
	if err := link.Check(); err != nil {
		return kit.Record{}, err
	}
	verb := kit.Verb(method)
	if verb == "" || BuiltIn(verb) {
		return c.far.Do(ctx, link, method, args, o...) // no method: it knows what is said to that
	}
	req := Request{Verb: verb, Link: link, Options: kit.Written(o)}
	done, err := c.write(ctx, &req, kit.Write{Verb: verb, Link: link, Body: args})
	if !done {
		r, last := c.far.Do(ctx, link, method, args, o...)
		return r, final(last, err)
	}
	return req.first(), err
}

// Batch implements kit.Client.
func (c *Client) Batch(ctx context.Context, writes []kit.Write, o ...kit.WriteOption) ([]kit.Record, error) {
	req := Request{Verb: Batch, Link: kit.NewLink(Batch, ""), Options: kit.Written(o)}
	done, err := c.write(ctx, &req, writes...)
	if !done {
		r, last := c.far.Batch(ctx, writes, o...)
		return r, final(last, err)
	}
	for i := range req.Records {
		own(&req.Records[i])
	}
	return req.Records, err
}

// Watch implements kit.Client.
func (c *Client) Watch(ctx context.Context, q kit.WatchQuery) iter.Seq2[kit.Change, error] {
	return c.far.Watch(ctx, q)
}

// final returns the error of a call whose last attempt ended with last. If the
// first one ended with first, so that nobody knows whether it was carried out,
// then no later failure tells that it was not.
func final(last, first error) error {
	if last != nil && first != nil {
		return first
	}
	return last
}

// first returns the record of the one write, if it has succeeded.
func (req *Request) first() kit.Record {
	if len(req.Records) == 0 || req.Verb == kit.VerbDelete {
		return kit.Record{}
	}
	own(&req.Records[0])
	return req.Records[0]
}

// own makes r, which may be a part of the store's memory, the caller's own, and
// what it would be over HTTP.
func own(r *kit.Record) {
	r.Link = kit.Link(strings.Clone(string(r.Link)))
	ownContent(r)
}

// ownContent is own for all but the link.
func ownContent(r *kit.Record) {
	r.Source = kit.Link(strings.Clone(string(r.Source)))
	r.Body, r.Pending = bytes.Clone(r.Body), slices.Clone(r.Pending)
	r.Seq = 0
}

// write is call for writes, whose bodies stay the caller's.
func (c *Client) write(ctx context.Context, req *Request, writes ...kit.Write) (done bool, err error) {
	req.Writes = make([]kit.Write, len(writes))
	for i, w := range writes {
		w.Body = bytes.Clone(w.Body)
		req.Writes[i] = w
	}
	return c.call(ctx, req)
}

// call does what req asks. It is not done if far has to be asked instead,
// either because this node is not to do it or because it may be tried again;
// then err says that whether a write was carried out is unknown.
func (c *Client) call(ctx context.Context, req *Request) (done bool, err error) {
	s := c.server
	began := s.Requests.Begin(req.Verb == kit.VerbRead && req.Consistency == kit.Eventual)
	if ctx.Err() != nil {
		return true, givenUp(ctx, req.Link)
	}
	node := s.Node()
	if node == nil {
		return false, nil
	}
	err = s.Settle(req)
	if !c.here(node, req) {
		return false, nil
	}
	if err == nil {
		err = c.attempt(ctx, node, req)
	}
	status := req.Status()
	if err != nil {
		status = int(kit.FaultOf(err))
	}
	s.Requests.Ended(req.Link.Kind(), string(req.Verb), status, began)
	if err != nil || len(req.Writes) > 0 {
		s.Ended(ctx, *req, End{Status: status, Subject: c.subject, Err: err})
	}
	if err == nil {
		return true, nil
	}
	return c.failed(ctx, req, err)
}

// here tells whether this node may do what req asks: the leader may, and any
// that is as far as this client has seen for an eventual read.
func (c *Client) here(node Node, req *Request) bool {
	if req.Consistency != kit.Eventual {
		_, leads := node.Leader()
		return leads
	}
	seen, at := c.seen(), c.server.Store.Position()
	return seen == kit.Position{} || at.Epoch == seen.Epoch && at.Seq >= seen.Seq
}

// failed tells whether the call ends with err, and what the caller is told.
func (c *Client) failed(ctx context.Context, req *Request, err error) (done bool, told error) {
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return true, givenUp(ctx, req.Link)
	}
	// The causes of internal errors go to the log only, as over HTTP.
	body, status := kit.EncodeProblem(err)
	told = kit.DecodeProblem(status, body)
	reads := req.Verb == kit.VerbRead || req.Verb == kit.VerbList
	switch kit.Fault(status) {
	case kit.ErrUnavailable, kit.ErrFenced, kit.ErrTooMany:
		return false, nil // nothing was changed
	case kit.ErrTimeout:
		switch {
		case reads:
			return false, nil
		case req.Options.Key != "":
			return false, told
		}
	case kit.ErrInternal:
		c.server.Log.Error("request failed", "verb", req.Verb, "link", req.Link, "subject", c.subject, "error", err)
	}
	return true, told
}

func givenUp(ctx context.Context, l kit.Link) error {
	return &kit.Error{Fault: kit.ErrTimeout, Link: l, Detail: "the call was given up", Err: context.Cause(ctx)}
}

// attemptTime bounds one attempt at what other nodes are needed for.
const attemptTime = time.Minute

// attempt checks req as a request over HTTP is checked, and performs it.
func (c *Client) attempt(ctx context.Context, node Node, req *Request) (err error) {
	s := c.server
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("request panicked", "verb", req.Verb, "link", req.Link, "panic", p, "stack", string(debug.Stack()))
			err = kit.ErrInternal
		}
	}()
	if s.Tracer.On {
		var span trace.Span
		ctx, span = s.Tracer.Begin(ctx, string(req.Verb), trace.SpanKindInternal, attribute.String("landfall.link", string(req.Link)))
		defer func() { tracing.Done(span, err) }()
	}
	if err := s.Missing(req.Link); err != nil {
		return err
	}
	if req.Caller, err = c.caller(); err != nil {
		return err
	}
	if err := req.checkWritten(); err != nil {
		return err
	}
	if len(req.Writes) > 0 || req.Consistency == kit.Linearizable { // it waits for other nodes
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, attemptTime)
		defer cancel()
	}
	return s.Perform(ctx, node, req)
}

// caller returns who the client acts as. The rights of a service never change.
func (c *Client) caller() (*access.Caller, error) {
	if service := c.service.Load(); service != nil {
		return service, nil
	}
	caller, err := c.server.Policy.Caller(c.subject)
	if err == nil && caller.Service {
		c.service.Store(caller)
	}
	return caller, err
}

// checkWritten checks the writes as they are checked when they come over HTTP.
func (req *Request) checkWritten() (err error) {
	size, limit := 0, kit.MaxDocument
	if req.Verb == Batch {
		limit = MaxBatch
	}
	for i := range req.Writes {
		w := &req.Writes[i]
		if size += len(w.Body); size > limit {
			return TooLarge(req.Link, int64(limit))
		}
		if w.Body, err = CheckBody(w.Body, req.Link); err != nil {
			return err
		}
	}
	if req.Verb == kit.VerbCreate {
		w := &req.Writes[0]
		w.Link, err = CreateLink(w.Link.Kind(), w.Link.ID(), w.Body)
	}
	return err
}
