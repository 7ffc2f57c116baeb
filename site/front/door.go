package front

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrStale is returned for a route that is older than the present one, or
	// that contradicts it. Nothing is changed.
	ErrStale = errors.New("front: stale route")

	// ErrUploads is returned by Hold if uploads took too long. Nothing is held.
	ErrUploads = errors.New("front: uploads are under way")

	// ErrOpened is returned by Hold if Open was called before those inside
	// were done. Nothing is held.
	ErrOpened = errors.New("front: opened while the hold was waiting")
)

// Route says where requests go.
type Route struct {
	// Epoch numbers the decision. It only grows; an epoch names one side.
	Epoch int64 `json:"epoch"`

	// Side is the name of the group of instances: "blue", "green".
	Side string `json:"side"`

	// Backends are the addresses of the side's instances, as host:port. They
	// may change within an epoch.
	Backends []string `json:"backends"`
}

func (r Route) check() error {
	if r.Side == "" {
		return fmt.Errorf("front: route of epoch %d names no side", r.Epoch)
	}
	if len(r.Backends) == 0 {
		return fmt.Errorf("front: route to %s has no backends", r.Side)
	}
	for _, b := range r.Backends {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			return fmt.Errorf("front: route to %s: backend %q is not host:port", r.Side, b)
		}
	}
	return nil
}

// Options are the bounds of a front door. What is 0 has the default.
type Options struct {
	// Bounds are those of the requests that wait, by class: 20,000 of Short and
	// as many of Stream, each with 256 MiB and for 10 s; 1,000 of Upload, with 64
	// MiB and for 30 s.
	Bounds map[Class]Bound

	// ClientShare is the part of a class's number and bytes that one client may
	// take (0.5). A client is an address; with TrustForwarded that which
	// X-Forwarded-For names first.
	ClientShare float64

	// ReleaseConcurrency is how many waiting requests go in at once when the
	// door opens (256). As many more follow each 100 ms, if there are more.
	ReleaseConcurrency int

	// UpstreamConns is how many connections one backend gets (256). Streams
	// have connections of their own.
	UpstreamConns int

	// TrustForwarded keeps the X-Forwarded headers that a request brings:
	// right only behind a load balancer that sets them.
	TrustForwarded bool

	// Logger gets what happens to the door and its backends, never requests.
	Logger *slog.Logger
}

func (o *Options) fill() {
	setDefault(&o.ClientShare, 0.5)
	setDefault(&o.ReleaseConcurrency, 256)
	setDefault(&o.UpstreamConns, 256)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func setDefault[T int | int64 | float64 | time.Duration](p *T, to T) {
	if *p <= 0 {
		*p = to
	}
}

// Door is a front door. It starts without a route: requests wait for one.
// Its methods may be called at once.
type Door struct {
	options Options
	gate    *gate
	pace    pace
	classes atomic.Pointer[classes] // nil before Classify

	requests atomic.Uint64
	failed   atomic.Uint64
	retried  atomic.Uint64

	latencies latencies

	mu       sync.Mutex          // orders changes of the route
	backends map[string]*backend // those of the present route, by address
}

// New returns a door that has no route yet.
func New(o Options) *Door {
	o.fill()
	return &Door{
		options:  o,
		gate:     newGate(o.Bounds, o.ClientShare, o.ReleaseConcurrency),
		backends: map[string]*backend{},
	}
}

// Route sends the requests that come from now on to r; those inside go on
// where they are, streams of another side are cut. It does not end a hold.
// It returns ErrStale if r is older than the present route, or names another
// side in the same epoch.
func (d *Door) Route(r Route) error { return d.change(r, d.gate.route) }

// Classify declares the classes of routes, instead of what was declared before.
// Requests that are here already keep theirs. After an error nothing is changed.
func (d *Door) Classify(rules []Rule) error {
	c, err := newClasses(rules)
	if err != nil {
		return err
	}
	d.classes.Store(c)
	return nil
}

// Slow lets writes, which are all but GET, HEAD and OPTIONS, through at a share
// of the rate that they have had in the last seconds, until it is called with 1.
// While they are slowed the share is of the rate before that. Writes are delayed
// by that for at most a second, and none fails; reads are not touched.
func (d *Door) Slow(share float64) error {
	changed, err := d.pace.slow(share)
	if changed {
		d.options.Logger.Info("changed the rate of writes", "share", share, "rate", d.State().WriteRate)
	}
	return err
}

// Hold makes new requests wait and returns when those inside are done. Streams
// are not waited for, and uploads for a quarter of the time until ctx's deadline;
// then it returns ErrUploads. If ctx ends first, it returns ctx's error. After an
// error nothing is held any more, unless Hold was called again meanwhile. Holding
// again while all is held changes nothing.
func (d *Door) Hold(ctx context.Context) error {
	err := d.gate.hold(ctx)
	s := d.State()
	if err != nil {
		d.options.Logger.Warn("gave up holding", "error", err, "side", s.Side)
		return err
	}
	d.options.Logger.Info("held", "side", s.Side, "drain", s.LastDrain, "waiting", s.Held)
	return nil
}

// Open does what Route does and ends a hold: the requests that wait go to r,
// oldest first and paced, then new ones. It may be repeated.
func (d *Door) Open(r Route) error {
	waiting := d.State().Held
	if err := d.change(r, d.gate.open); err != nil {
		return err
	}
	s := d.State()
	d.options.Logger.Info("opened", "side", s.Side, "epoch", s.Epoch, "held", s.LastHold, "waiting", waiting)
	return nil
}

// GoOn ends a hold as if it had not been: traffic goes where it went before.
// Without a hold it changes nothing.
func (d *Door) GoOn() { d.gate.goOn() }

// change makes r the route by means of set.
func (d *Door) change(r Route, set func(*target) error) error {
	if err := r.check(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	to := &target{Route: r, named: []string{r.Side}}
	to.Backends = slices.Clone(r.Backends)
	next := make(map[string]*backend, len(r.Backends))
	for _, addr := range r.Backends {
		b := d.backends[addr]
		if b == nil {
			b = newBackend(addr, d.options.UpstreamConns, d.options.Logger)
		}
		next[addr] = b
		to.backends = append(to.backends, b)
	}
	if err := set(to); err != nil {
		return err
	}
	for addr, b := range d.backends {
		if next[addr] == nil {
			b.close()
		}
	}
	d.backends = next
	return nil
}

// State is what a door is doing and has done.
type State struct {
	Holding  bool   `json:"holding"`
	Epoch    int64  `json:"epoch"` // 0 without a route
	Side     string `json:"side"`
	Held     int    `json:"held"`     // requests that wait
	InFlight int    `json:"inFlight"` // short requests and uploads inside
	Uploads  int    `json:"uploads"`  // of them
	Streams  int    `json:"streams"`

	Requests  uint64 `json:"requests"`  // that came, in all
	Failed    uint64 `json:"failed"`    // answered 502 or 503 by the door, or broken off by a backend
	HeldTotal uint64 `json:"heldTotal"` // times that a request had to wait
	Retried   uint64 `json:"retried"`   // times that a request was sent again
	Holds     uint64 `json:"holds"`

	WriteRate    float64       `json:"writeRate"`    // writes a second, lately
	SlowedTo     float64       `json:"slowedTo"`     // share of their former rate at which writes go through; 0: not slowed
	Delayed      int           `json:"delayed"`      // writes that are delayed by that now
	DelayedTotal uint64        `json:"delayedTotal"` // and ever were
	LongestDelay time.Duration `json:"longestDelay"` // of one write

	LastHold    time.Duration `json:"lastHold"`    // from Hold to Open, of the last hold that ended
	LastDrain   time.Duration `json:"lastDrain"`   // from Hold until nobody was inside
	LongestWait time.Duration `json:"longestWait"` // of one request
}

// State returns what the door is doing now.
func (d *Door) State() State {
	s := d.gate.state()
	d.pace.state(&s)
	s.Requests = d.requests.Load()
	s.Failed = d.failed.Load()
	s.Retried = d.retried.Load()
	return s
}

// Bounds of clients and of the end of Run.
const (
	maxRequestHead = 64 << 10
	headTimeout    = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	stopGrace      = 10 * time.Second
)

// ballast is bytes that are never touched but count as live for the garbage
// collector, which lets garbage grow by as much before it runs. In a busy door
// little lives and much does not: it would run 30 times a second, and take a
// tenth of the processor time.
const ballast = 16 << 20

// Run serves the clients that connect to l until ctx ends, and returns once
// those inside were answered. Requests that wait then get 503, streams end.
func (d *Door) Run(ctx context.Context, l net.Listener) error {
	weight := make([]byte, ballast)
	defer runtime.KeepAlive(&weight[0])
	srv := &http.Server{
		Handler:           d,
		MaxHeaderBytes:    maxRequestHead,
		ReadHeaderTimeout: headTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(d.options.Logger.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("front: serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	d.gate.stop()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		d.options.Logger.Warn("broke off requests", "error", err)
		srv.Close()
	}
	<-served
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.backends {
		b.close()
	}
	return nil
}
