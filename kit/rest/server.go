package rest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/access"
	"landfall.dev/kit/rest/audit"
	"landfall.dev/kit/rest/calls"
	"landfall.dev/kit/rest/client"
	"landfall.dev/kit/rest/feed"
	"landfall.dev/kit/rest/inproc"
	"landfall.dev/kit/rest/limit"
	"landfall.dev/kit/rest/local"
	"landfall.dev/kit/rest/openapi"
	"landfall.dev/kit/rest/tracing"
	"landfall.dev/kit/store"
	"landfall.dev/kit/task"
)

// Node is the member of a cluster that a Server speaks for.
type Node = local.Node

// Options are what a Server is made of.
type Options struct {
	Store *store.Store
	Kinds *store.Kinds // of the Store
	// Node may be left out and given to Attach later.
	Node   Node
	Logger *slog.Logger
	// Secret is shared by the nodes of the cluster. With it a node vouches to the
	// leader for the clients in its process.
	Secret []byte
	// Peers carries the requests that are passed on to the leader; nil means
	// http.DefaultTransport.
	Peers http.RoundTripper
	// Heartbeat is the time between signs of life on a watch; 0 means 15 s.
	Heartbeat time.Duration
	// WriteTimeout is how long the client of a watch may take to read an event;
	// 0 means 10 s.
	WriteTimeout time.Duration
	// Limit is for callers that no document of Limits is for, and for the values
	// that these leave open. Its values other than 0 replace the defaults:
	// 50,000 requests a second, twice that at once, and 10,000 watches.
	Limit Limit
	// Watches is how many watches the node serves in all, those of services in
	// the process not counted; 0 means 20,000.
	Watches int
	// AuditRetention is how long the records of the audit are kept; 0 means 90
	// days.
	AuditRetention time.Duration
	// Tracer gets the spans of requests. Nil means that they go where the
	// environment says (OTEL_EXPORTER_OTLP_ENDPOINT), else nowhere.
	Tracer trace.TracerProvider
}

// The defaults of Options.
const (
	defaultWriteTimeout = 10 * time.Second
	defaultRequests     = 50_000
	defaultWatches      = 10_000
	defaultAllWatches   = 20_000
)

// Server is the HTTP handler of documents and of the services' own routes.
type Server struct {
	store        *store.Store
	kinds        *store.Kinds
	node         atomic.Pointer[Node]
	attached     chan struct{} // closed once there is a node
	log          *slog.Logger
	secret       []byte
	peers        http.RoundTripper
	heartbeat    time.Duration
	writeTimeout time.Duration
	policy       *access.Policy
	routes       *http.ServeMux
	origin       *http.CrossOriginProtection
	statistics   *statistics
	local        local.Server
	audit        *audit.Writer
	limit        Limit // for who has none
	allWatches   int
	rates        limit.Rates
	watches      limit.Open
	feeds        *feed.Hub
	tracer       *tracing.Tracer
}

// New returns a Server that knows the kinds that belong to kit itself.
func New(o Options) *Server {
	s := &Server{
		store: o.Store, kinds: o.Kinds, log: o.Logger, secret: o.Secret, peers: o.Peers,
		heartbeat: o.Heartbeat, writeTimeout: o.WriteTimeout,
		attached: make(chan struct{}),
		policy:   access.NewPolicy(o.Store, o.Kinds),
		routes:   http.NewServeMux(),
		origin:   http.NewCrossOriginProtection(),
		feeds:    feed.NewHub(o.Store),
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.peers == nil {
		s.peers = http.DefaultTransport
	}
	if s.heartbeat == 0 {
		s.heartbeat = client.Heartbeat
	}
	if s.writeTimeout == 0 {
		s.writeTimeout = defaultWriteTimeout
	}
	s.limit = Limit{
		Requests: cmp.Or(o.Limit.Requests, defaultRequests), Burst: o.Limit.Burst,
		Watches: cmp.Or(o.Limit.Watches, defaultWatches),
	}
	s.allWatches = cmp.Or(o.Watches, defaultAllWatches)
	s.audit = audit.NewWriter(s.Client("services/"+ServiceName), s.log, o.AuditRetention)
	s.statistics = newStatistics(s)
	s.tracer = tracing.New(o.Tracer, s.log)
	s.local = local.Server{Store: s.store, Kinds: s.kinds, Policy: s.policy, Tracer: s.tracer, Log: s.log, Node: s.member, Requests: s.statistics.requests, Ended: s.ended}
	if o.Node != nil {
		s.Attach(o.Node)
	}
	s.Add(service(s.kinds))
	s.Add(task.Service())
	return s
}

// Attach makes n serve the requests. Until then they wait for a moment, and are
// answered with 503. It must be called once.
func (s *Server) Attach(n Node) {
	s.node.Store(&n)
	close(s.attached)
}

// startWait is how long a request waits for a node that is starting: as long as a
// front door makes it wait for a switch.
const startWait = 10 * time.Second

// begun returns once there is a node. Before, not even a token is known. A
// request waits for that, since who sent it, as a front door does, takes a
// node that accepts connections for one that answers.
func (s *Server) begun(ctx context.Context) error {
	if s.node.Load() != nil {
		return nil
	}
	wait := time.NewTimer(startWait)
	defer wait.Stop()
	select {
	case <-s.attached:
		return nil
	case <-wait.C:
	case <-ctx.Done():
	}
	return errStarting
}

// Add makes the service's kinds known, mounts its routes and lets its client
// do what it declares. It must not be called once requests are served, and
// panics if another service has the name, a kind or a route.
func (s *Server) Add(service kit.Service) {
	s.policy.Declare(service)
	for _, o := range service.Owns {
		if o.Name == local.Batch {
			panic("rest: a kind must not be called " + o.Name)
		}
		for _, m := range o.Methods {
			if local.BuiltIn(kit.Verb(m)) {
				panic("rest: " + o.Name + " must not have a method called " + m)
			}
		}
		s.kinds.Add(o)
	}
	for _, r := range service.Serves {
		s.routes.Handle(r.Pattern, s.route(r))
	}
}

// Client returns a client that acts as subject, in the process. Its calls pass
// the same checks as any request.
func (s *Server) Client(subject string) kit.Client {
	far, err := NewClient("http://"+inproc.Host, "", ClientOptions{Transport: inproc.Transport(s, subject)})
	if err != nil {
		panic("rest: " + err.Error()) // the address is constant
	}
	return local.NewClient(&s.local, subject, far, far.Seen)
}

// HTTP returns an HTTP client for the server's own routes, at any host, that
// acts as subject and whose round trips stay in the process.
func (s *Server) HTTP(subject string) *http.Client {
	return &http.Client{Transport: inproc.Transport(s, subject)}
}

// Absent makes the server say, to who asks for one of the kinds, that it runs
// without the service that has them.
func (s *Server) Absent(service string, kinds ...string) {
	s.local.Absent(service, kinds...)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			s.log.Error("request panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			s.fail(w, r, kit.ErrInternal)
		}
	}()
	r = tracing.Extract(r)
	if s.tracer.On && !streams(r) {
		traced, span := s.tracer.Server(r)
		a := &answered{ResponseWriter: w, outcome: outcome{status: http.StatusOK}}
		w, r = a, traced
		defer func() { tracing.Answered(span, a.status) }()
	}
	s.dispatch(w, r)
}

// dispatch hands r to whoever serves its path.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	if n := headerSize(r); n > maxHeader {
		s.fail(w, r, kit.Errorf(kit.ErrTooLarge, "", "the address and the headers have %d bytes, the limit is %d", n, maxHeader))
		return
	}
	if s.origin.Check(r) != nil {
		s.recorded(http.HandlerFunc(s.crossSite)).ServeHTTP(w, r)
		return
	}
	if s.closed(r) {
		s.fail(w, r, errClosed)
		return
	}
	timed(w, r)
	rest, isAPI := strings.CutPrefix(r.URL.Path, "/api/")
	switch {
	case r.URL.Path == "/healthz":
		s.health(w, r)
	case r.URL.Path == "/stats":
		s.stats(r.URL.Query().Get("kind")).ServeHTTP(w, r)
	case isAPI && strings.HasSuffix(rest, ":stats") && !strings.Contains(rest, "/"):
		s.stats(strings.TrimSuffix(rest, ":stats")).ServeHTTP(w, r)
	case r.URL.Path == "/metrics":
		s.signedIn(http.HandlerFunc(s.statistics.metrics)).ServeHTTP(w, r)
	case rest == "openapi.json":
		s.signedIn(http.HandlerFunc(s.describe)).ServeHTTP(w, r)
	case isAPI && rest == "":
		s.signedIn(http.HandlerFunc(s.index)).ServeHTTP(w, r)
	case isAPI && rest == explainPath:
		s.recorded(http.HandlerFunc(s.explain)).ServeHTTP(w, r)
	case r.URL.Path == calls.Path:
		s.recorded(http.HandlerFunc(s.together)).ServeHTTP(w, r)
	case isAPI && strings.Count(rest, "/") < 2:
		s.documents(w, r, rest)
	default:
		s.routes.ServeHTTP(w, r)
	}
}

// describe serves the OpenAPI 3.1 description of the kinds that the caller may
// do anything to.
func (s *Server) describe(w http.ResponseWriter, r *http.Request) {
	c, err := s.policy.Caller(kit.CallerOf(r.Context()).Subject)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	// It is made anew each time, for it is asked for rarely.
	var kinds []kit.Owned
	for _, name := range s.kinds.Names() {
		if k, ok := s.kinds.Find(name); ok && concerns(k, c) {
			kinds = append(kinds, k)
		}
	}
	b, err := json.Marshal(openapi.Describe(kinds))
	if err != nil {
		s.fail(w, r, &kit.Error{Op: "describe", Err: err})
		return
	}
	w.Header().Set("Content-Type", "application/vnd.oai.openapi+json")
	_, _ = w.Write(b)
}

// concerns tells whether c may do anything to some document of the kind.
func concerns(k kit.Owned, c *access.Caller) bool {
	verbs := []kit.Verb{kit.VerbCreate, kit.VerbRead, kit.VerbList, kit.VerbWatch, kit.VerbUpdate, kit.VerbDelete}
	for _, m := range k.Methods {
		verbs = append(verbs, kit.Verb(m))
	}
	return slices.ContainsFunc(verbs, func(v kit.Verb) bool {
		_, err := c.Visible(v, k.Name)
		return err == nil
	})
}

// stats returns a handler that tells the statistics of a kind, or of all for "".
func (s *Server) stats(kind string) http.Handler {
	return s.signedIn(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.statistics.tell(w, r, kind); err != nil {
			s.fail(w, r, err)
		}
	}))
}

// Shutdown sends the traces that were not sent yet.
func (s *Server) Shutdown(ctx context.Context) error { return s.tracer.Shutdown(ctx) }

// crossSite refuses a request that a page of another site makes a browser send.
func (s *Server) crossSite(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, &kit.Error{Fault: kit.ErrForbidden, Detail: "the request comes from a page of another site"})
}

// route wraps a service's handler with authentication.
func (s *Server) route(route kit.Route) http.Handler {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		untimed(w)
		route.Handler.ServeHTTP(w, r)
	})
	if !route.Self {
		h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := s.admitHere(r)
			who(w, c.Subject)
			if err != nil && !(route.Anonymous && r.Header.Get("Authorization") == "") {
				s.fail(w, r, err)
				return
			}
			untimed(w)
			route.Handler.ServeHTTP(w, r.WithContext(kit.WithCaller(r.Context(), c.Caller)))
		})
	}
	return s.recorded(h)
}

// signedIn wraps a handler that is for everyone with a token.
func (s *Server) signedIn(h http.Handler) http.Handler {
	return s.route(kit.Route{Handler: h})
}

func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	n, url, self := s.leader()
	switch begins, ok := n.(interface{ Prepared() bool }); {
	case url == "" && !self:
		s.fail(w, r, errNoLeader)
		return
	case ok && self && !begins.Prepared():
		s.fail(w, r, errStarting)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

var errStarting = &kit.Error{Fault: kit.ErrUnavailable, Detail: "the node is starting", Hint: "try again in a moment"}

var errNoLeader = &kit.Error{Fault: kit.ErrUnavailable, Detail: "the cluster has no leader now", Hint: "try again in a moment"}

// leader returns the node, if there is one yet, and where its leader is.
func (s *Server) leader() (n Node, url string, self bool) {
	n = s.member()
	if n == nil {
		return nil, "", false
	}
	url, self = n.Leader()
	return n, url, self
}

// member returns the node, nil if there is none yet.
func (s *Server) member() Node {
	if p := s.node.Load(); p != nil {
		return *p
	}
	return nil
}

// fail answers r with err. The causes of internal errors go to the log only.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil && errors.Is(err, context.Cause(r.Context())) {
		err = &kit.Error{Fault: kit.ErrTimeout, Detail: "the request was given up"}
	}
	body, status := kit.EncodeProblem(err)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	switch kit.Fault(status) {
	case kit.ErrInternal:
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "request", requestID(r), "error", err)
	case kit.ErrUnauthenticated:
		h.Set("WWW-Authenticate", `Basic realm="landfall", charset="UTF-8"`)
	case kit.ErrUnavailable, kit.ErrTooMany:
		h.Set("Retry-After", retryIn(err))
	}
	h.Set(headerRequest, requestID(r))
	if a, ok := w.(*answered); ok {
		a.err = err
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
