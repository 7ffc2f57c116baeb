package front

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"landfall.dev/kit"
)

// DoorsPath is where an agent gives orders to further doors, each below its
// name: POST a Report and get an Order, DELETE to take leave.
const DoorsPath = "/front/doors/"

// Order is all that an agent wants of a further door, each time: what a door
// has missed, the next one makes good.
type Order struct {
	// ID is another one for each order that differs.
	ID string `json:"id"`
	// Route is where requests go. Epoch 0: there is none yet.
	Route Route `json:"route"`
	// Hold, if not 0, is the number of the hold that the door is to begin or to
	// go on with, and Within how long its drain may take.
	Hold   int64         `json:"hold,omitempty"`
	Within time.Duration `json:"within,omitempty"`
	// Slow is the share for Door.Slow.
	Slow float64 `json:"slow"`
	// Rules are for Door.Classify.
	Rules []Rule `json:"rules,omitempty"`
	// Beat is how long the agent takes at most to answer the next report: until
	// then it waits for the order to change.
	Beat time.Duration `json:"beat"`
}

// Report is what a further door says to get an Order.
type Report struct {
	Order string `json:"order"`           // ID of the one that it carries out
	Held  int64  `json:"held,omitempty"`  // number of the hold in which nobody is inside any more
	Error string `json:"error,omitempty"` // why it cannot carry the order out
	State State  `json:"state"`
	// Latencies are those of Door.Latencies.
	Latencies Latencies `json:"latencies"`
}

const (
	// silence is how much longer than the beat an agent may take to answer.
	silence = 1500 * time.Millisecond

	// quickDrain is how long a drain may take to be reported together with the
	// order that it follows from.
	quickDrain = 10 * time.Millisecond

	// The times between two attempts to reach the agent.
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Second

	farewell = time.Second
	maxOrder = 4 << 20
)

var (
	errDrained = errors.New("the drain has ended")
	errSilent  = errors.New("the agent does not answer")
)

// Follower makes a door do what the agent of an environment orders, as one
// more front door of the environment.
//
//	waiting for an order ──→ following ⇄ alone (the agent does not answer)
//
// Alone, it goes on as it was ordered last: to the route that it knows, or
// holding, until requests have waited as long as they may and get 503. That is
// safe since the sides are fenced, not since doors agree. Only slowing ends.
type Follower struct {
	Door   *Door
	Name   string // the agent knows the door by it
	Agent  string // URL of the agent's API
	Token  string
	Client *http.Client
	Logger *slog.Logger

	// Of the goroutine of follow.
	beat  time.Duration // 0 before the first order
	route Route         // that the door was opened to last
	alone bool
	pause time.Duration // before the next attempt, if the last one failed

	mu        sync.Mutex
	report    Report
	hold      int64                   // that the door is in, or was and gave up; 0 if there is none
	interrupt context.CancelCauseFunc // of the talk under way; nil if there is none
}

// Run serves the clients that connect to l and follows the agent until ctx
// ends, and returns once those inside were answered. It fails if the agent
// refuses the door at the first contact.
func (f *Follower) Run(ctx context.Context, l net.Listener) error {
	u, err := url.Parse(f.Agent)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is no address of an agent: write it like http://127.0.0.1:7710", f.Agent)
	}
	if err := kit.CheckID(f.Name); err != nil {
		return fmt.Errorf("a front door cannot have the name: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	followed := make(chan error, 1)
	go func() {
		lost := f.follow(following)
		cancel(lost)
		followed <- lost
	}()
	err = f.Door.Run(ctx, l)
	stop()
	return errors.Join(<-followed, err)
}

// follow carries out orders until ctx ends.
func (f *Follower) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		o, err := f.talk(ctx)
		switch {
		case ctx.Err() != nil || errors.Is(err, errDrained):
		case err == nil:
			f.apply(ctx, o)
		case f.beat == 0 && !kit.Temporary(err):
			return fmt.Errorf("the agent at %s does not accept this front door: %w", f.Agent, err)
		default:
			f.miss(ctx, err)
		}
	}
	if f.beat == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if err := f.send(ctx, http.MethodDelete, nil, nil); err != nil {
		f.Logger.Warn("could not take leave of the agent", "error", err)
	}
	return nil
}

// talk sends a report and returns the answer, for which the agent takes its
// time unless it is another order than the one reported.
func (f *Follower) talk(ctx context.Context) (Order, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(f.beat+silence, func() { cancel(errSilent) })
	defer silent.Stop()
	f.mu.Lock()
	f.interrupt = cancel
	report := f.report
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.interrupt = nil
		f.mu.Unlock()
	}()
	report.State, report.Latencies = f.Door.State(), f.Door.Latencies()
	var o Order
	body, err := json.Marshal(report)
	if err == nil {
		err = f.send(ctx, http.MethodPost, body, &o)
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	return o, err
}

// send makes a request to the agent.
func (f *Follower) send(ctx context.Context, method string, body []byte, answer any) error {
	r, err := http.NewRequestWithContext(ctx, method, f.Agent+DoorsPath+url.PathEscape(f.Name), bytes.NewReader(body))
	if err != nil {
		return kit.Errorf(kit.ErrInvalid, "", "%v", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+f.Token)
	resp, err := f.Client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxOrder))
	switch {
	case err != nil:
		return err
	case resp.StatusCode >= 300:
		return kit.DecodeProblem(resp.StatusCode, b)
	case answer == nil:
		return nil
	}
	return json.Unmarshal(b, answer)
}

// miss notes that the agent did not answer, and waits before the next attempt.
func (f *Follower) miss(ctx context.Context, err error) {
	if !f.alone {
		f.alone = true
		s, what := f.Door.State(), "lost the agent and goes on as it was told last"
		if f.beat == 0 {
			what = "waits for the agent"
		}
		f.Logger.Warn(what, "agent", f.Agent, "holding", s.Holding, "side", s.Side, "error", err)
		_ = f.Door.Slow(1) // the share is a valid one
	}
	f.pause = min(max(2*f.pause, firstRetry), lastRetry)
	again := time.NewTimer(f.pause)
	defer again.Stop()
	select {
	case <-again.C:
	case <-ctx.Done():
	}
}

// apply carries o out, unless that is done.
func (f *Follower) apply(ctx context.Context, o Order) {
	if f.alone || f.beat == 0 {
		f.Logger.Info("follows the agent", "agent", f.Agent, "name", f.Name)
		f.alone, f.pause = false, 0
	}
	f.beat = max(o.Beat, time.Millisecond)
	f.mu.Lock()
	known := o.ID == f.report.Order
	f.report.Order = o.ID
	f.mu.Unlock()
	if known {
		return
	}
	err := errors.Join(f.Door.Classify(o.Rules), f.Door.Slow(o.Slow))
	if o.Hold == 0 {
		err = errors.Join(err, f.open(o.Route))
	}
	f.mu.Lock()
	again := o.Hold == f.hold
	f.report.Error = ""
	if err != nil {
		f.report.Error = err.Error()
		f.Logger.Error("could not carry out what the agent ordered", "error", err)
	}
	f.mu.Unlock()
	if o.Hold != 0 && !again {
		f.begin(ctx, o)
	}
}

// open ends a hold and lets requests go to r, if that is news.
func (f *Follower) open(r Route) error {
	f.mu.Lock()
	held := f.hold != 0
	f.hold, f.report.Held = 0, 0
	f.mu.Unlock()
	same := r.Epoch == f.route.Epoch && r.Side == f.route.Side && slices.Equal(r.Backends, f.route.Backends)
	if r.Epoch == 0 || same && !held && f.Door.State().Epoch != 0 {
		return nil
	}
	f.route = r
	return f.Door.Open(r)
}

// begin holds. The outcome goes into the report.
func (f *Follower) begin(ctx context.Context, o Order) {
	f.mu.Lock()
	f.hold, f.report.Held = o.Hold, 0
	f.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(ctx, o.Within)
		defer cancel()
		err := f.Door.Hold(ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.hold != o.Hold {
			return // it was ended meanwhile
		}
		f.report.Held = o.Hold
		if err != nil {
			f.report.Held, f.report.Error = 0, err.Error()
		}
		if f.interrupt != nil {
			f.interrupt(errDrained)
		}
	}()
	quick := time.NewTimer(quickDrain)
	defer quick.Stop()
	select {
	case <-done:
	case <-quick.C:
	}
}
