// Package client speaks to a rest.Server over HTTP, with attempts at other nodes
// where one does not answer, and watches that go on after they were cut.
package client

import (
	"bytes"
	"cmp"
	"context"
	crand "crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/calls"
	"landfall.dev/kit/rest/parameters"
	"landfall.dev/kit/rest/tracing"
)

// Options modify a Client.
type Options struct {
	// Transport carries the requests; nil means http.DefaultTransport.
	Transport http.RoundTripper
	// Patience is how long a call is tried again while nothing answers or the
	// server says that it cannot serve now. 0 means 10 s; less means that there
	// is one attempt.
	Patience time.Duration
	// Coalesce lets calls that are made at once by many share requests. While
	// some requests of the client are under way, the further reads, creates,
	// updates, deletes and events go together in the next one (see package
	// calls), which saves most of what HTTP costs; one caller alone is served as
	// ever. Each call keeps its own outcome, deadline and attempts.
	Coalesce bool
}

// Heartbeat is the time between signs of life on a watch, unless a server is
// told otherwise.
const Heartbeat = 15 * time.Second

// The times between attempts; how long a watch may be silent before its
// connection counts as dead, which is three heartbeats.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 5 * time.Second
	watchSilence = 3 * Heartbeat
	// attemptTime bounds one attempt, which a front door may hold for a while.
	attemptTime = time.Minute
)

// Client speaks to a rest.Server. It implements kit.Client; see there for what its
// methods promise. A read is tried again after any transient failure, and so is
// a write with a key (see kit.Once), which one that allocates an id always has.
// Any other write is tried again only if nothing of it can have been applied: it
// was not sent, or the answer was 421, 429 or 503.
//
// Its eventual reads never show less than what it has seen before, from
// whichever node.
type Client struct {
	bases    []string // of the nodes, without a trailing slash
	current  atomic.Int32
	token    string
	via      http.RoundTripper
	patience time.Duration
	session  session
	sender   *calls.Sender // nil if each call is a request
}

var _ kit.Client = (*Client)(nil)

// New returns a client of the cluster at urls, one or several addresses
// of its nodes with commas between them, which are tried in turn. It
// identifies itself by token, if that is not empty.
func New(urls, token string, o Options) (*Client, error) {
	c := &Client{token: token, via: o.Transport, patience: o.Patience}
	if c.via == nil {
		c.via = http.DefaultTransport
	}
	if o.Coalesce {
		c.sender = calls.NewSender(c.sendCalls)
	}
	if c.patience == 0 {
		c.patience = 10 * time.Second
	}
	for base := range strings.SplitSeq(urls, ",") {
		base = strings.TrimRight(strings.TrimSpace(base), "/")
		u, err := url.Parse(base)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, &kit.Error{Fault: kit.ErrInvalid, Detail: fmt.Sprintf("%q is no address of a server", base), Hint: "write it like http://127.0.0.1:7700"}
		}
		c.bases = append(c.bases, base)
	}
	return c, nil
}

// Create implements kit.Client.
func (c *Client) Create(ctx context.Context, kind, id string, body []byte, o ...kit.WriteOption) (kit.Record, error) {
	if err := kit.CheckKind(kind); err != nil {
		return kit.Record{}, err
	}
	call := call{method: http.MethodPost, path: "/api/" + kind, body: body, link: kit.NewLink(kind, id), options: kit.Written(o)}
	switch {
	case id != "":
		call.query = url.Values{"id": {id}}
	case call.options.Key == "":
		call.options.Key = crand.Text()
	}
	return c.record(ctx, call)
}

// Read implements kit.Client.
func (c *Client) Read(ctx context.Context, link kit.Link, o kit.ReadOptions) (kit.Record, error) {
	if err := link.Check(); err != nil {
		return kit.Record{}, err
	}
	call := call{method: http.MethodGet, path: "/api/" + string(link), link: link}
	call.query = parameters.Encode(kit.Query{Consistency: o.Consistency, AsOf: o.AsOf})
	return c.record(ctx, call)
}

// List implements kit.Client.
func (c *Client) List(ctx context.Context, q kit.Query) (kit.Page, error) {
	if err := kit.CheckKind(q.Kind); err != nil {
		return kit.Page{}, err
	}
	var p kit.Page
	b, err := c.send(ctx, call{method: http.MethodGet, path: "/api/" + q.Kind, query: parameters.Encode(q), link: kit.NewLink(q.Kind, "")})
	if err != nil {
		return p, err
	}
	return p, decode(b, &p)
}

// Update implements kit.Client.
func (c *Client) Update(ctx context.Context, link kit.Link, patch []byte, ifMatch int64, o ...kit.WriteOption) (kit.Record, error) {
	if err := link.Check(); err != nil {
		return kit.Record{}, err
	}
	return c.record(ctx, call{method: http.MethodPatch, path: "/api/" + string(link), body: patch, ifMatch: ifMatch, link: link, options: kit.Written(o)})
}

// Delete implements kit.Client.
func (c *Client) Delete(ctx context.Context, link kit.Link, ifMatch int64, o ...kit.WriteOption) error {
	if err := link.Check(); err != nil {
		return err
	}
	_, err := c.send(ctx, call{method: http.MethodDelete, path: "/api/" + string(link), ifMatch: ifMatch, link: link, options: kit.Written(o)})
	return err
}

// Do implements kit.Client.
func (c *Client) Do(ctx context.Context, link kit.Link, method string, args []byte, o ...kit.WriteOption) (kit.Record, error) {
	if err := link.Check(); err != nil {
		return kit.Record{}, err
	}
	return c.record(ctx, call{method: http.MethodPost, path: "/api/" + string(link) + ":" + url.PathEscape(method), body: args, link: link, options: kit.Written(o)})
}

// batch is the body of a request to /api/batch; its answer is a page.
type batch struct {
	Writes []kit.Write `json:"writes"`
}

// Batch implements kit.Client.
func (c *Client) Batch(ctx context.Context, writes []kit.Write, o ...kit.WriteOption) ([]kit.Record, error) {
	body, err := json.Marshal(batch{writes})
	if err != nil {
		return nil, &kit.Error{Fault: kit.ErrInvalid, Op: "batch", Err: err}
	}
	b, err := c.send(ctx, call{method: http.MethodPost, path: "/api/batch", body: body, options: kit.Written(o)})
	if err != nil {
		return nil, err
	}
	var p kit.Page
	if err := decode(b, &p); err != nil {
		return nil, err
	}
	for i := range p.Items {
		if i < len(writes) && writes[i].Verb == kit.VerbDelete {
			p.Items[i].Deleted, p.Items[i].Body = true, nil
		}
	}
	return p.Items, nil
}

// call is a request to any of the nodes.
type call struct {
	method  string
	path    string
	query   url.Values
	body    []byte
	ifMatch int64
	options kit.WriteOptions
	link    kit.Link // for errors
}

func (c *Client) record(ctx context.Context, call call) (kit.Record, error) {
	var r kit.Record
	b, err := c.send(ctx, call)
	if err != nil {
		return r, err
	}
	// By itself, since encoding/json would look at each byte once more.
	if err := r.UnmarshalJSON(b); err != nil {
		return r, undecoded(err)
	}
	return r, nil
}

func decode(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return undecoded(err)
	}
	return nil
}

func undecoded(err error) error {
	return &kit.Error{Fault: kit.ErrInternal, Op: "decode the answer", Err: err}
}

// target returns the call's path and query.
func (call call) target() string {
	query := call.query
	if d := call.options.Durability; d != kit.Quorum {
		query = maps.Clone(query)
		if query == nil {
			query = url.Values{}
		}
		query.Set("durability", string(d))
	}
	if len(query) == 0 {
		return call.path
	}
	return call.path + "?" + query.Encode()
}

// repeatable tells whether the call may be made again though it may have been
// carried out.
func (call call) repeatable() bool { return call.method == http.MethodGet || call.options.Key != "" }

// describe sets the headers that say what the call wants.
func (call call) describe(ctx context.Context, h http.Header) {
	if call.ifMatch != 0 {
		h.Set("If-Match", fmt.Sprintf(`"%d"`, call.ifMatch))
	}
	if call.options.Key != "" {
		h.Set("Idempotency-Key", call.options.Key)
	}
	tracing.Inject(ctx, h)
}

// request makes the call's request to the node at base.
func (c *Client) request(ctx context.Context, base string, call call) (*http.Request, error) {
	var body io.Reader
	if len(call.body) > 0 {
		body = bytes.NewReader(call.body)
	}
	req, err := http.NewRequestWithContext(ctx, call.method, base+call.target(), body)
	if err != nil {
		return nil, &kit.Error{Fault: kit.ErrInvalid, Link: call.link, Err: err}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if call.method == http.MethodGet {
		c.session.ask(req)
	}
	call.describe(ctx, req.Header)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

// send carries the call out and returns the answer's body.
func (c *Client) send(ctx context.Context, call call) ([]byte, error) {
	began := time.Now()
	var unknown error // of the first attempt at a write that may have been applied, or may yet be
	for attempt := 1; ; attempt++ {
		at := c.current.Load()
		body, after, err := c.once(ctx, c.bases[int(at)%len(c.bases)], call)
		if err == nil {
			return body, nil
		}
		if fault := kit.FaultOf(err); call.method != http.MethodGet && (fault == kit.ErrTimeout || fault == kit.ErrInternal) {
			unknown = cmp.Or(unknown, err)
		}
		err = cmp.Or(unknown, err)
		if after < 0 || ctx.Err() != nil {
			return nil, err
		}
		c.current.CompareAndSwap(at, at+1)
		wait := max(pause(attempt/len(c.bases)), min(after, longestPause))
		if attempt < len(c.bases) {
			wait = 0
		}
		if time.Since(began)+wait > c.patience || !sleep(ctx, wait) {
			return nil, err
		}
	}
}

// once makes one attempt. For a failure it says after which time the call may
// be tried again; less than 0 means never.
func (c *Client) once(ctx context.Context, base string, call call) (body []byte, after time.Duration, err error) {
	r := c.attempt(ctx, base, call)
	again := call.repeatable()
	switch {
	case r.Err != nil && kit.FaultOf(r.Err) == kit.ErrInvalid:
		return nil, -1, r.Err
	case r.Err != nil && ctx.Err() != nil:
		return nil, -1, &kit.Error{Fault: kit.ErrTimeout, Link: call.link, Detail: "the call was given up", Err: context.Cause(ctx)}
	case r.Err != nil && (call.method == http.MethodGet || r.Unsent):
		return nil, 0, &kit.Error{Fault: kit.ErrUnavailable, Link: call.link, Detail: "nothing answers at " + base, Err: r.Err}
	case r.Err != nil:
		if !again {
			after = -1
		}
		return nil, after, &kit.Error{Fault: kit.ErrTimeout, Link: call.link, Detail: "the answer was lost; whether the change was made is unknown", Err: r.Err}
	}
	c.session.answered(r.Header)
	if r.Status < 300 {
		return r.Body, 0, nil
	}
	return nil, retryAfter(r.Answer, again), kit.DecodeProblem(r.Status, r.Body)
}

// alone makes one attempt by a request for the call only.
func (c *Client) alone(ctx context.Context, base string, call call) (r calls.Result) {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	ctx, sent := Trace(ctx)
	req, err := c.request(ctx, base, call)
	if err != nil {
		return calls.Result{Err: err}
	}
	res, err := c.via.RoundTrip(req)
	if err == nil {
		r.Status, r.Header = res.StatusCode, res.Header
		r.Body, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	r.Err, r.Unsent = err, err != nil && sent.Never(err)
	return r
}

// retryAfter returns the time after which the request that got the answer may
// be tried again, less than 0 for never. With again that does not depend on
// whether it was carried out.
func retryAfter(a calls.Answer, again bool) time.Duration {
	switch a.Status {
	case http.StatusServiceUnavailable, http.StatusMisdirectedRequest, http.StatusTooManyRequests:
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		if !again {
			return -1
		}
	default:
		return -1
	}
	seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// pause returns a random time that grows with the attempts.
func pause(attempt int) time.Duration {
	d := firstPause << min(attempt, 10)
	d = min(d, longestPause)
	return d/2 + rand.N(d/2)
}

// sleep returns false if ctx ends before d has passed.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
