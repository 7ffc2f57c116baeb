package rest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
	"landfall.dev/kit/task"
)

// Node is the member of a cluster that a Server speaks for. Its methods may
// be called concurrently.
type Node interface {
	// Write has the leader decide on p and returns when the result is applied
	// here. ErrUnavailable means that nothing was changed; where that is not
	// known it is ErrTimeout.
	Write(ctx context.Context, p store.Proposal) ([]kit.Record, error)
	// Leader returns the address of the leader's Server, empty if there is none,
	// and whether this node is the leader.
	Leader() (url string, self bool)
	// Barrier returns when this node is known to have led after the call, and
	// to have applied all that was committed before it.
	Barrier(ctx context.Context) error
}

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
}

// The defaults of Options.
const (
	defaultHeartbeat    = 15 * time.Second
	defaultWriteTimeout = 10 * time.Second
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
	services     map[string]declared
	policy       *policy
	routes       *http.ServeMux
	origin       *http.CrossOriginProtection
	statistics   *statistics
	absent       map[string]string // the capability that a kind is missing without
}

// New returns a Server that knows the kinds that belong to kit itself.
func New(o Options) *Server {
	s := &Server{
		store: o.Store, kinds: o.Kinds, log: o.Logger, secret: o.Secret, peers: o.Peers,
		heartbeat: o.Heartbeat, writeTimeout: o.WriteTimeout,
		attached: make(chan struct{}),
		services: map[string]declared{},
		absent:   map[string]string{},
		policy:   newPolicy(o.Store),
		routes:   http.NewServeMux(),
		origin:   http.NewCrossOriginProtection(),
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.peers == nil {
		s.peers = http.DefaultTransport
	}
	if s.heartbeat == 0 {
		s.heartbeat = defaultHeartbeat
	}
	if s.writeTimeout == 0 {
		s.writeTimeout = defaultWriteTimeout
	}
	s.statistics = newStatistics(s.store, s.kinds)
	if o.Node != nil {
		s.Attach(o.Node)
	}
	s.Add(Service())
	s.Add(task.Service())
	return s
}

// Attach makes n serve the requests. Until then they wait for a moment, and are
// answered with 503. It must be called once.
func (s *Server) Attach(n Node) {
	s.node.Store(&n)
	close(s.attached)
}

// startWait is how long a request waits for a node that is starting.
const startWait = 3 * time.Second

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
	if _, ok := s.services[service.Name]; ok {
		panic("rest: there are two services " + service.Name)
	}
	s.services[service.Name] = declare(service)
	for _, o := range service.Owns {
		if o.Name == batchPath {
			panic("rest: a kind must not be called " + o.Name)
		}
		for _, m := range o.Methods {
			if builtIn(kit.Verb(m)) {
				panic("rest: " + o.Name + " must not have a method called " + m)
			}
		}
		s.kinds.Add(o)
	}
	for _, r := range service.Serves {
		s.routes.Handle(r.Pattern, s.route(r))
	}
}

// Absent makes the server say, to who asks for one of the kinds, that it runs
// without the service that has them.
func (s *Server) Absent(service string, kinds ...string) {
	for _, k := range kinds {
		s.absent[k] = service
	}
}

// missing returns the error for a kind that is absent.
func (s *Server) missing(l kit.Link) error {
	service, ok := s.absent[l.Kind()]
	if !ok {
		return nil
	}
	return &kit.Error{Fault: kit.ErrNotFound, Link: l, Detail: "this server runs without " + service, Hint: "start it with " + service + " among its capabilities"}
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
	if err := s.origin.Check(r); err != nil {
		s.fail(w, r, &kit.Error{Fault: kit.ErrForbidden, Detail: "the request comes from a page of another site", Err: err})
		return
	}
	rest, isAPI := strings.CutPrefix(r.URL.Path, "/api/")
	switch {
	case r.URL.Path == "/healthz":
		s.health(w, r)
	case r.URL.Path == "/metrics":
		s.signedIn(s.statistics.handler()).ServeHTTP(w, r)
	case rest == "openapi.json":
		s.signedIn(http.HandlerFunc(s.describe)).ServeHTTP(w, r)
	case isAPI && rest == "":
		s.signedIn(http.HandlerFunc(s.index)).ServeHTTP(w, r)
	case isAPI && strings.Count(rest, "/") < 2:
		s.documents(w, r, rest)
	default:
		s.routes.ServeHTTP(w, r)
	}
}

// route wraps a service's handler with authentication.
func (s *Server) route(route kit.Route) http.Handler {
	if route.Self {
		return route.Handler
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := s.authenticate(r)
		if err != nil && !(route.Anonymous && r.Header.Get("Authorization") == "") {
			s.fail(w, r, err)
			return
		}
		route.Handler.ServeHTTP(w, r.WithContext(kit.WithCaller(r.Context(), c.Caller)))
	})
}

// signedIn wraps a handler that is for everyone with a token.
func (s *Server) signedIn(h http.Handler) http.Handler {
	return s.route(kit.Route{Handler: h})
}

func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	if _, url, self := s.leader(); url == "" && !self {
		s.fail(w, r, errNoLeader)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

var errStarting = &kit.Error{Fault: kit.ErrUnavailable, Detail: "the node is starting", Hint: "try again in a moment"}

var errNoLeader = &kit.Error{Fault: kit.ErrUnavailable, Detail: "the cluster has no leader now", Hint: "try again in a moment"}

// leader returns the node, if there is one yet, and where its leader is.
func (s *Server) leader() (n Node, url string, self bool) {
	p := s.node.Load()
	if p == nil {
		return nil, "", false
	}
	url, self = (*p).Leader()
	return *p, url, self
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
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	case kit.ErrUnauthenticated:
		h.Set("WWW-Authenticate", `Basic realm="landfall", charset="UTF-8"`)
	case kit.ErrUnavailable, kit.ErrTooMany:
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
