// Package doors is all the front doors of an environment: that of the agent's
// own process, and further ones, which are processes of their own and ask for
// orders. They hold together or not at all, and lead to the same side.
//
// It owns the documents front-doors, which name the further doors. Where
// traffic goes is not decided here.
package doors

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"landfall.dev/kit"
	"landfall.dev/kit/rest"
	"landfall.dev/site/front"
)

// kind are the documents that name the environment's further front doors.
var kind = kit.Define[door]("front-doors", kit.Local())

// door says that there is a further front door, until it takes leave or is
// forgotten. What it is doing is only in memory.
type door struct {
	kit.Meta
	Address string `json:"address"` // of its process, as seen from here
}

// Owned is what the agent's service has to own for the doors.
func Owned() kit.Owned { return kit.Own[door](kind, nil) }

const (
	// serve is what a further door needs on its document, and all that it needs.
	serve kit.Verb = "serve"

	// subject is who further doors are, role what they may.
	subject = "machines/front-door"
	role    = "front-doors"
)

// Token returns a new token for a further front door, which gives no other
// right. The client is that of an administrator of the agent.
func Token(ctx context.Context, c kit.Client) (string, error) {
	_, err := rest.Roles.Create(ctx, c, role, rest.Role{
		Subjects: []string{subject},
		Rules:    []rest.Rule{{Kinds: []string{kind.Name}, Verbs: []kit.Verb{serve}}},
	})
	if err != nil && !errors.Is(err, kit.ErrConflict) {
		return "", err
	}
	return rest.MintToken(ctx, c, subject, "for a further front door")
}

const (
	// calmBeat is how often a further door hears from the agent at least, and
	// leaseBeat how often while a hold is begun or lasts.
	calmBeat  = 10 * time.Second
	leaseBeat = 500 * time.Millisecond

	// takeWait is how long a door may take to begin its lease before a hold, and
	// then to begin to hold.
	takeWait = 500 * time.Millisecond

	// leaseSpan is after what silence a door has lost its lease.
	leaseSpan = 2 * time.Second

	// forgetAfter is after what silence a door no longer counts. If it is there
	// all the same, the fence of the side that it leads to makes it wait.
	forgetAfter = 30 * time.Second
)

// Doors is all front doors of an environment. What the further ones are to do
// is one order, which each of them is told as soon as it asks. Its methods may
// be called at once, but Hold and Open are for one caller.
type Doors struct {
	own     *front.Door
	client  kit.Client
	log     *slog.Logger
	started time.Time
	boot    string // makes the ids of orders different after each start

	mu      sync.Mutex
	known   map[string]*seat
	number  int // of the order
	order   front.Order
	changed chan struct{} // closed when the order changes, a door reports, or doors are watched

	further Total     // of the further doors, since this process started
	watched time.Time // until then they report often
	past    []moment  // each second of the last ones, the oldest first
}

// seat is what is known of a further door.
type seat struct {
	seen   time.Time // when it reported last
	report front.Report
}

// New returns the doors of an environment, of which own is in this process. The
// client is that of the service which owns Owned.
func New(own *front.Door, c kit.Client, log *slog.Logger) *Doors {
	return &Doors{
		own: own, client: c, log: log, started: time.Now(), boot: rand.Text(),
		known: map[string]*seat{}, changed: make(chan struct{}),
		order: front.Order{Slow: 1, Beat: calmBeat},
	}
}

// Hold makes new requests wait at all doors, and returns when those inside are
// done, or with an error when nothing is held at any. Before the first door
// holds, each has shown that it answers.
func (d *Doors) Hold(ctx context.Context) error {
	names, err := d.lease(ctx)
	if err == nil {
		w, ctx := errgroup.WithContext(ctx)
		w.Go(func() error { return d.own.Hold(ctx) })
		w.Go(func() error { return d.hold(ctx, names) })
		err = w.Wait()
	}
	if err != nil {
		d.change(func(o *front.Order) { o.Hold, o.Within, o.Beat = 0, 0, calmBeat })
		d.own.GoOn()
	}
	return err
}

// Open ends a hold and lets traffic go to r, or fails with front.ErrStale.
// Further doors are told at once, or when they ask next: until then they hold.
func (d *Doors) Open(r front.Route) error {
	if err := d.own.Open(r); err != nil {
		return err
	}
	d.change(func(o *front.Order) { o.Route, o.Hold, o.Within, o.Beat = r, 0, 0, calmBeat })
	return nil
}

// Route is Open for a start: it does not end a hold.
func (d *Doors) Route(r front.Route) error {
	if err := d.own.Route(r); err != nil {
		return err
	}
	d.change(func(o *front.Order) {
		if r.Epoch >= o.Route.Epoch { // else an Open came in between
			o.Route = r
		}
	})
	return nil
}

// Slow does what front.Door.Slow does at all doors.
func (d *Doors) Slow(share float64) error {
	if err := d.own.Slow(share); err != nil {
		return err
	}
	d.change(func(o *front.Order) { o.Slow = share })
	return nil
}

// Classify does what front.Door.Classify does at all doors.
func (d *Doors) Classify(rules []front.Rule) error {
	if err := d.own.Classify(rules); err != nil {
		return err
	}
	d.change(func(o *front.Order) { o.Rules = rules })
	return nil
}

// change makes every further door get another order and returns its id.
func (d *Doors) change(f func(o *front.Order)) (id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(&d.order)
	d.number++
	d.order.ID = d.boot + "-" + strconv.Itoa(d.number)
	d.signal()
	return d.order.ID
}

// signal wakes all that wait. The caller holds mu.
func (d *Doors) signal() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// Serves are the routes of the agent's API that are about front doors.
func (d *Doors) Serves() []kit.Route {
	return []kit.Route{
		{Pattern: "GET /front", Handler: http.HandlerFunc(d.tell)},
		{Pattern: "POST " + front.DoorsPath + "{name}", Handler: kit.Handler(d.instruct)},
		{Pattern: "DELETE " + front.DoorsPath + "{name}", Handler: kit.Handler(d.leave)},
	}
}

// instruct answers the report of a further door with its order.
func (d *Doors) instruct(w http.ResponseWriter, r *http.Request) error {
	name, err := d.who(r)
	if err != nil {
		return err
	}
	var report front.Report
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&report); err != nil {
		return kit.Errorf(kit.ErrInvalid, kind.Link(name), "the report cannot be read: %v", err)
	}
	if err := d.admit(r.Context(), name, r.RemoteAddr); err != nil {
		return err
	}
	o, err := d.answer(r.Context(), name, report)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(o) // a door that is gone asks again
	return nil
}

// who returns the name of the door that makes r, if it may.
func (d *Doors) who(r *http.Request) (string, error) {
	name := r.PathValue("name")
	link := kind.Link(name)
	if err := kit.CallerOf(r.Context()).May(serve, link); err != nil {
		return "", err
	}
	return name, link.Check()
}

// admit takes the door in, durably, unless it is known.
func (d *Doors) admit(ctx context.Context, name, address string) error {
	d.mu.Lock()
	_, known := d.known[name]
	d.mu.Unlock()
	if known {
		return nil
	}
	_, err := kind.Create(ctx, d.client, name, door{Address: address})
	if err != nil && !errors.Is(err, kit.ErrConflict) {
		return err
	}
	d.log.Info("took in a further front door", "name", name, "address", address)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known[name] == nil {
		d.known[name] = &seat{}
	}
	return nil
}

// answer notes the report and returns the order, as soon as it is another than
// the one reported or the beat is over.
func (d *Doors) answer(ctx context.Context, name string, report front.Report) (front.Order, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.known[name]
	if s == nil { // forgotten this moment
		s = &seat{}
		d.known[name] = s
	}
	d.further.add(s.report, report)
	s.seen, s.report = time.Now(), report
	d.signal()
	for end := s.seen.Add(d.beat()); d.order.ID == report.Order && time.Now().Before(end); end = s.seen.Add(d.beat()) {
		beat, changed := time.NewTimer(time.Until(end)), d.changed
		d.mu.Unlock()
		select {
		case <-changed:
		case <-beat.C:
		case <-ctx.Done():
		}
		beat.Stop()
		d.mu.Lock()
		if ctx.Err() != nil {
			return front.Order{}, kit.Errorf(kit.ErrUnavailable, "", "the agent is stopping, or nobody waits for the answer")
		}
	}
	return d.order, nil
}

// leave forgets a door that takes leave.
func (d *Doors) leave(w http.ResponseWriter, r *http.Request) error {
	name, err := d.who(r)
	if err != nil {
		return err
	}
	if err := d.forget(r.Context(), name); err != nil {
		return err
	}
	d.log.Info("let a further front door go", "name", name)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (d *Doors) forget(ctx context.Context, name string) error {
	if err := d.client.Delete(ctx, kind.Link(name), 0); err != nil && !errors.Is(err, kit.ErrNotFound) {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.known, name)
	d.signal()
	return nil
}

// counted returns the names of the doors without which there is no hold. Those
// that were not heard of for too long are forgotten; one that is known from
// before this process started is given time to report again.
func (d *Doors) counted(ctx context.Context) ([]string, error) {
	var names []string
	for doc, err := range kind.All(ctx, d.client, "", "") {
		if err != nil {
			return nil, err
		}
		name := doc.Link.ID()
		d.mu.Lock()
		if d.known[name] == nil {
			d.known[name] = &seat{seen: d.started}
		}
		silent := time.Since(d.known[name].seen)
		d.mu.Unlock()
		if silent <= forgetAfter {
			names = append(names, name)
			continue
		}
		if err := d.forget(ctx, name); err != nil {
			return nil, err
		}
		d.log.Warn("forgot a front door that was silent", "name", name, "silent", silent)
	}
	return names, nil
}

// lease makes the counted doors report often, and returns them once all do.
func (d *Doors) lease(ctx context.Context) ([]string, error) {
	names, err := d.counted(ctx)
	if err != nil {
		return nil, err
	}
	id := d.change(func(o *front.Order) { o.Beat = leaseBeat })
	return names, d.taken(ctx, names, id)
}

// hold makes all doors hold, also those that come later, and returns once
// nobody is inside those with the names.
func (d *Doors) hold(ctx context.Context, names []string) error {
	n := time.Now().UnixNano() // no hold of another process has it
	within := time.Minute
	if end, ok := ctx.Deadline(); ok {
		within = time.Until(end)
	}
	id := d.change(func(o *front.Order) { o.Hold, o.Within = n, within })
	if err := d.taken(ctx, names, id); err != nil {
		return err
	}
	return d.all(ctx, names, "drain", func(s *seat) bool { return s.report.Held == n })
}

// taken waits until the doors with the names carry the order out, or fails.
func (d *Doors) taken(ctx context.Context, names []string, id string) error {
	ctx, cancel := context.WithTimeout(ctx, takeWait)
	defer cancel()
	return d.all(ctx, names, "answer", func(s *seat) bool { return s.report.Order == id })
}

// all waits until is for all doors with the names. It fails on the first of
// them that cannot do what is ordered, or takes leave, or loses its lease.
func (d *Doors) all(ctx context.Context, names []string, what string, is func(*seat) bool) error {
	look := time.NewTicker(leaseBeat)
	defer look.Stop()
	for began := time.Now(); ; {
		left, changed, err := d.left(names, began, is)
		if err != nil || left == "" {
			return err
		}
		select {
		case <-changed:
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("the front door %s did not %s in time: %w", left, what, context.Cause(ctx))
		}
	}
}

// left returns one of the doors for which is does not hold, "" if there is
// none, and what is closed when that may change.
func (d *Doors) left(names []string, began time.Time, is func(*seat) bool) (left string, changed <-chan struct{}, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range names {
		s, why := d.known[name], ""
		switch {
		case s == nil:
			why = "it has taken leave"
		case s.report.Order == d.order.ID && s.report.Error != "":
			why = s.report.Error
		case !is(s) && time.Since(s.seen) > leaseSpan && time.Since(began) > leaseSpan:
			why = fmt.Sprintf("it has been silent for %v", time.Since(s.seen).Round(time.Millisecond))
		case !is(s):
			left = name
		}
		if why != "" {
			return "", nil, kit.Errorf(kit.ErrUnavailable, kind.Link(name), "the front door does not hold: %s", why)
		}
	}
	return left, d.changed, nil
}

// Further is what GET /front tells of a further door.
type Further struct {
	Name string    `json:"name"`
	Seen time.Time `json:"seen,omitzero"`
	// Behind tells that it has not said yet that it carries out the latest order.
	Behind bool        `json:"behind,omitempty"`
	Error  string      `json:"error,omitempty"`
	State  front.State `json:"state"`
}

// tell answers GET /front with the state of the own door and of the others.
func (d *Doors) tell(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(struct {
		front.State
		Doors []Further `json:"doors,omitempty"`
	}{d.own.State(), d.Further()})
}

// Further returns what is known of the further doors, by name.
func (d *Doors) Further() []Further {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []Further
	for _, name := range slices.Sorted(maps.Keys(d.known)) {
		s := d.known[name]
		list = append(list, Further{name, s.seen, s.report.Order != d.order.ID, s.report.Error, s.report.State})
	}
	return list
}
