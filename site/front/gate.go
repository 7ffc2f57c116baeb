package front

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Why a request was not let in.
var (
	errFull     = errors.New("too many requests are waiting")
	errShare    = errors.New("too many requests of this client are waiting")
	errWaited   = errors.New("the request waited as long as it may")
	errNoRoute  = errors.New("the front door has not been told yet where requests go")
	errFenced   = errors.New("the platform is being switched and refused the request without applying it")
	errStopping = errors.New("the front door is stopping")
)

const (
	// widenEvery is how often a release that has not emptied the queue lets
	// another ReleaseConcurrency in, so that slow requests cannot block it.
	widenEvery = 100 * time.Millisecond

	// fencePause is the time between two tries of a request that a fenced side
	// refused, as long as no other route is known.
	fencePause = 100 * time.Millisecond

	// uploadPart is the part of its time, one in so many, during which a hold
	// waits for uploads.
	uploadPart = 4

	// cutSpacing is the mean time between two streams being cut: 500 a second,
	// so that their clients do not all come back at once.
	cutSpacing = 2 * time.Millisecond
)

// A ticket is a request's place at the gate. It belongs to the request's
// goroutine, but for the fields that the gate guards.
type ticket struct {
	class  Class         // does not change while it is inside or waits
	client string        // whose it is; "" counts against no client's share
	bytes  int64         // memory that it keeps while it waits
	left   time.Duration // how long it may still wait, over all its waits
	cut    func()        // ends a Stream; nil for others

	// to is where the gate last let it go. The owner may read it from the
	// return of enter to the next call.
	to *target

	// Guarded by gate.mu.
	arrival uint64 // 0 until it first came
	inside  bool
	slot    bool          // it counts as one of those released
	place   *list.Element // in the queue, or nil
	ready   chan error    // what ended its wait in the queue
}

// gate decides who goes in and who waits. It knows no network; time is only
// used to bound waits. Its methods may be called at once.
//
// Everything is under one mutex: it is held for some 50 ns twice a request, so
// that the enter/hold race cannot exist and nothing has to be checked again.
type gate struct {
	bounds map[Class]Bound // of the requests that wait
	share  float64         // of a bound's number and bytes that one client may take
	burst  int             // waiting requests let in at once at a release

	mu       sync.Mutex
	to       *target // nil until the first route
	holding  bool
	stopped  bool
	holds    uint64 // calls of hold so far
	opens    uint64 // times that holding ended
	arrivals uint64

	inside  int // short requests and uploads inside
	uploads int // of them
	streams map[*ticket]bool
	drained chan struct{} // closed when nobody is inside or holding ends; nil if no hold waits

	queue   *list.List // of *ticket, oldest first
	parked  int        // refused by a fence, wait for the next try
	waiting map[claim]usage

	released int           // let in from the queue and not yet out
	window   int           // bound of released
	widening bool          // a timer is set that widens the window
	changed  chan struct{} // closed at each change of route or holding

	since time.Time // holding began
	stats gateStats
}

// claim is whose the room is that waiting requests take: that of a class, or
// with a client that of the client's requests of the class.
type claim struct {
	class  Class
	client string
}

// usage is room that is taken by waiting requests.
type usage struct {
	n     int
	bytes int64
}

// gateStats is what a gate counts.
type gateStats struct {
	held        uint64
	longestWait time.Duration
	lastHold    time.Duration
	lastDrain   time.Duration
}

func newGate(bounds map[Class]Bound, share float64, burst int) *gate {
	return &gate{
		bounds: fillBounds(bounds), share: share, burst: burst,
		streams: map[*ticket]bool{},
		queue:   list.New(),
		waiting: map[claim]usage{},
		changed: make(chan struct{}),
	}
}

// enter returns nil once t is inside, and waits for that if it must: while the
// gate is holding or without a route, and behind those that wait already. A
// ticket that was inside before goes back to its place by age. After an error
// t is neither inside nor waiting.
func (g *gate) enter(ctx context.Context, t *ticket) error {
	g.mu.Lock()
	if t.arrival == 0 {
		g.arrivals++
		t.arrival = g.arrivals
	}
	if g.stopped {
		g.mu.Unlock()
		return errStopping
	}
	if g.isOpen() && (t.to != nil || g.queue.Len() == 0) {
		g.admit(t)
		g.mu.Unlock()
		return nil
	}
	if err := g.reserve(t); err != nil {
		g.mu.Unlock()
		return err
	}
	g.enqueue(t)
	g.mu.Unlock()
	return g.wait(ctx, t)
}

// wait returns once t left the queue: nil if it was let in.
func (g *gate) wait(ctx context.Context, t *ticket) error {
	began := time.Now()
	limit := time.NewTimer(t.left)
	defer limit.Stop()
	var err error
	select {
	case err = <-t.ready:
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-limit.C:
		err = errWaited
	}
	waited := time.Since(began)
	t.left = max(0, t.left-waited)

	g.mu.Lock()
	defer g.mu.Unlock()
	g.stats.longestWait = max(g.stats.longestWait, waited)
	if t.inside {
		return nil // also if it was let in just as its time ended
	}
	if t.place != nil {
		g.dequeue(t)
	}
	if errors.Is(err, errWaited) && g.to == nil {
		err = errNoRoute
	}
	return err
}

// yield takes t out while it is known not to be at work on any side. It keeps
// its claim: the next enter does not queue unless the gate is closed.
func (g *gate) yield(t *ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.exit(t)
}

// settle says that t, a stream, is under way and no longer part of a release.
func (g *gate) settle(t *ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.freeSlot(t)
	g.pump()
}

// leave ends t. It may be called whatever became of t.
func (g *gate) leave(t *ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.exit(t)
	g.freeSlot(t)
	g.pump()
}

// moved says whether something else than what t was told holds by now.
func (g *gate) moved(t *ticket) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.holding || g.to != t.to
}

// fenced takes t back after its side refused it, and returns nil when it is
// inside again, to be sent to whatever the route then is. If the gate knows
// nothing newer, the fence was faster than the message: t waits a little.
func (g *gate) fenced(ctx context.Context, t *ticket) error {
	g.yield(t)
	g.mu.Lock()
	if g.holding || g.to.Epoch > t.to.Epoch {
		g.mu.Unlock()
		return g.enter(ctx, t)
	}
	if err := g.reserve(t); err != nil {
		g.mu.Unlock()
		return err
	}
	g.parked++
	changed := g.changed
	g.mu.Unlock()

	began := time.Now()
	pause := time.NewTimer(min(fencePause, t.left))
	defer pause.Stop()
	select {
	case <-changed:
	case <-pause.C:
	case <-ctx.Done():
	}
	t.left = max(0, t.left-time.Since(began))

	g.mu.Lock()
	g.parked--
	g.free(t)
	g.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if t.left == 0 {
		return errFenced
	}
	return g.enter(ctx, t)
}

// hold closes the gate and returns when nobody is inside any more. If ctx ends
// before, or uploads take too much of the time until then, the gate is open
// again, unless a later hold took over.
func (g *gate) hold(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holds++
	call, opens, first := g.holds, g.opens, !g.holding
	if first {
		g.holding = true
		g.since = time.Now()
		g.signal()
	}
	var err error
	if g.inside > 0 {
		err = g.drain(ctx)
	}
	switch {
	case g.opens != opens:
		return ErrOpened
	case g.inside == 0:
		if first {
			g.stats.lastDrain = time.Since(g.since)
		}
		return nil
	}
	err = fmt.Errorf("front: hold: %d requests still inside: %w", g.inside, err)
	if g.holds == call {
		g.resume()
	}
	return err
}

// drain returns when nobody is inside or holding has ended, or with the reason
// why not. It is called with mu held.
func (g *gate) drain(ctx context.Context) error {
	if g.drained == nil {
		g.drained = make(chan struct{})
	}
	drained := g.drained
	g.mu.Unlock()
	defer g.mu.Lock()
	var patience <-chan time.Time
	if end, ok := ctx.Deadline(); ok {
		t := time.NewTimer(time.Until(end) / uploadPart)
		defer t.Stop()
		patience = t.C
	}
	for {
		select {
		case <-drained:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-patience:
			g.mu.Lock()
			uploads := g.uploads
			g.mu.Unlock()
			if uploads > 0 {
				return fmt.Errorf("%w: %d", ErrUploads, uploads)
			}
		}
	}
}

// route sends those that come in from now on to to. It does not end a hold.
func (g *gate) route(to *target) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.replace(to)
}

// open does what route does, ends a hold and lets those that wait in.
func (g *gate) open(to *target) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.check(to.Route); err != nil {
		return err
	}
	if g.holding {
		g.unhold()
	}
	return g.replace(to)
}

// goOn ends a hold as if it had not been.
func (g *gate) goOn() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.holding {
		g.resume()
	}
}

// stop refuses those that wait and those that come, and cuts the streams.
func (g *gate) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopped = true
	for g.queue.Len() > 0 {
		t := g.queue.Front().Value.(*ticket)
		g.dequeue(t)
		t.ready <- errStopping
	}
	for t := range g.streams {
		t.cut()
	}
}

// state returns what the gate knows of the door's state.
func (g *gate) state() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := State{
		Holding:     g.holding,
		Held:        g.queue.Len() + g.parked,
		InFlight:    g.inside,
		Uploads:     g.uploads,
		Streams:     len(g.streams),
		HeldTotal:   g.stats.held,
		Holds:       g.holds,
		LastHold:    g.stats.lastHold,
		LastDrain:   g.stats.lastDrain,
		LongestWait: g.stats.longestWait,
	}
	if g.to != nil {
		s.Epoch, s.Side = g.to.Epoch, g.to.Side
	}
	return s
}

// The rest is called with mu held.

func (g *gate) isOpen() bool { return g.to != nil && !g.holding }

// check says whether the gate may follow r.
func (g *gate) check(r Route) error {
	switch {
	case g.to == nil || r.Epoch > g.to.Epoch:
		return nil
	case r.Epoch < g.to.Epoch:
		return fmt.Errorf("%w: epoch %d (%s) is older than %d (%s)",
			ErrStale, r.Epoch, r.Side, g.to.Epoch, g.to.Side)
	case r.Side != g.to.Side:
		return fmt.Errorf("%w: epoch %d means %s, it cannot also mean %s",
			ErrStale, r.Epoch, g.to.Side, r.Side)
	}
	return nil
}

func (g *gate) replace(to *target) error {
	if err := g.check(to.Route); err != nil {
		return err
	}
	g.to = to
	g.signal()
	g.cutStreams()
	if g.isOpen() {
		g.release()
	}
	return nil
}

// cutStreams ends the streams of other sides than the present one.
func (g *gate) cutStreams() {
	var ends []func()
	for t := range g.streams {
		if t.to.Side != g.to.Side {
			ends = append(ends, t.cut)
		}
	}
	spread := time.Duration(len(ends)) * cutSpacing
	for _, end := range ends {
		time.AfterFunc(rand.N(spread), end)
	}
}

// resume ends a hold and lets those that wait in.
func (g *gate) resume() {
	g.unhold()
	if g.isOpen() {
		g.release()
	}
}

func (g *gate) unhold() {
	g.holding = false
	g.opens++
	g.stats.lastHold = time.Since(g.since)
	g.wakeHold()
	g.signal()
}

func (g *gate) wakeHold() {
	if g.drained != nil {
		close(g.drained)
		g.drained = nil
	}
}

func (g *gate) signal() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// admit lets t in.
func (g *gate) admit(t *ticket) {
	t.to, t.inside = g.to, true
	switch t.class {
	case Stream:
		g.streams[t] = true
		return
	case Upload:
		g.uploads++
	}
	g.inside++
}

func (g *gate) exit(t *ticket) {
	if !t.inside {
		return
	}
	t.inside = false
	switch t.class {
	case Stream:
		delete(g.streams, t)
		return
	case Upload:
		g.uploads--
	}
	g.inside--
	if g.inside == 0 && g.holding {
		g.wakeHold()
	}
}

// reserve accounts for t as one more that waits, if the bounds permit it.
func (g *gate) reserve(t *ticket) error {
	b := g.bounds[t.class]
	all, own := claim{t.class, ""}, claim{t.class, t.client}
	u := g.waiting[all]
	if u.n >= b.Held || u.bytes+t.bytes > b.Bytes {
		return errFull
	}
	if t.client != "" {
		c := g.waiting[own]
		if float64(c.n+1) > max(1, g.share*float64(b.Held)) || float64(c.bytes+t.bytes) > g.share*float64(b.Bytes) {
			return errShare
		}
		g.waiting[own] = usage{c.n + 1, c.bytes + t.bytes}
	}
	g.waiting[all] = usage{u.n + 1, u.bytes + t.bytes}
	g.stats.held++
	return nil
}

// free gives back what t has reserved.
func (g *gate) free(t *ticket) {
	g.giveBack(claim{t.class, ""}, t.bytes)
	if t.client != "" {
		g.giveBack(claim{t.class, t.client}, t.bytes)
	}
}

func (g *gate) giveBack(c claim, bytes int64) {
	u := g.waiting[c]
	if u.n == 1 {
		delete(g.waiting, c)
		return
	}
	g.waiting[c] = usage{u.n - 1, u.bytes - bytes}
}

// enqueue puts t where its age belongs: last, unless it was inside before.
func (g *gate) enqueue(t *ticket) {
	g.freeSlot(t)
	t.ready = make(chan error, 1)
	if t.to != nil {
		for e := g.queue.Front(); e != nil; e = e.Next() {
			if e.Value.(*ticket).arrival > t.arrival {
				t.place = g.queue.InsertBefore(t, e)
				return
			}
		}
	}
	t.place = g.queue.PushBack(t)
}

func (g *gate) dequeue(t *ticket) {
	g.queue.Remove(t.place)
	t.place = nil
	g.free(t)
}

func (g *gate) freeSlot(t *ticket) {
	if t.slot {
		t.slot = false
		g.released--
	}
}

// release begins to let those that wait in, burst of them at once.
func (g *gate) release() {
	g.window = g.released + g.burst
	g.pump()
	if g.queue.Len() > 0 && !g.widening {
		g.widening = true
		time.AfterFunc(widenEvery, g.widen)
	}
}

// widen lets more in at once as long as some wait.
func (g *gate) widen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.widening = g.isOpen() && g.queue.Len() > 0
	if !g.widening {
		return
	}
	g.window += g.burst
	g.pump()
	time.AfterFunc(widenEvery, g.widen)
}

// pump lets in those that wait, oldest first, as far as the window permits.
func (g *gate) pump() {
	for g.isOpen() && g.queue.Len() > 0 && g.released < g.window {
		t := g.queue.Front().Value.(*ticket)
		g.dequeue(t)
		t.slot = true
		g.released++
		g.admit(t)
		t.ready <- nil
	}
}
