package kit

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"time"
)

// Service declares all that a capability may touch. Its client, services/NAME,
// can do nothing else.
type Service struct {
	Name string
	// Owns are the kinds whose documents only this service changes.
	Owns []Owned
	// Watches are its reactions to documents, its own or others'.
	Watches []Reaction
	// Reads are further kinds that it looks up without reacting to them.
	Reads []string
	// Writes are kinds of others that it creates or sends events to.
	Writes []string
	// Does are its actions on the outside world, by name.
	Does Does
	// Actions is how many actions run at once; 0 means 16.
	Actions int
	// Serves are raw HTTP handlers: git, /v2/, logs.
	Serves []Route
	// Runs are loops that live as long as the process, on every node.
	Runs []func(context.Context) error
	// Leads are loops that run on one node at a time, the one that carries out
	// the tasks: see FenceOf. A loop that returns is not called again there.
	Leads []func(context.Context) error
}

// Event is what happens to a document.
type Event struct {
	// Name is "created", "updated", the custom method's name, or for an action
	// that was carried out, its name with ".done" or ".failed".
	Name string
	// By is who caused it: "users/ada", "services/review".
	By string
	// Data is the method's arguments, the action's result, or {"error": "..."}.
	Data json.RawMessage
}

// Into reads the event's data into v; no data leaves v alone.
func (e Event) Into(v any) error {
	if len(e.Data) == 0 {
		return nil
	}
	if err := json.Unmarshal(e.Data, v); err != nil {
		return &Error{Fault: ErrInvalid, Op: e.Name, Detail: "the arguments do not fit: " + err.Error()}
	}
	return nil
}

// Next is a document's life: it returns doc after e, and what must now
// happen. It is pure: no clock, disk, network, lock or log. The leader
// evaluates it once for each event; the log carries the result.
type Next[T any] func(doc T, e Event, now time.Time) (T, []Op)

// Op is an operation that a document's life wishes for. It is kept in the
// document until it is acknowledged, attempted with back-off meanwhile, and
// so may be carried out more than once: it is idempotent by its ID.
type Op struct {
	// ID is unique in the document's pending operations; wishing for the same
	// again changes nothing.
	ID string `json:"id"`
	// Do is create, send, refuse, cancel, or the name of an action in
	// Service.Does.
	Do string `json:"do"`
	// Link is the document to create or to send to.
	Link Link `json:"link,omitempty"`
	// Event is the name of the event to send.
	Event string `json:"event,omitempty"`
	// Data is the document, the event's data, or the action's arguments.
	Data json.RawMessage `json:"data,omitempty"`
	// At is the earliest time of the first attempt; zero means now.
	At time.Time `json:"at,omitzero"`
	// Deadline, if not zero, is when the operation is given up: its context ends,
	// and the event Do+".failed" says "deadline exceeded".
	Deadline time.Time `json:"deadline,omitzero"`
	// Retry says how often and when a failed attempt is repeated; nil means for
	// ever, after 0.1 to 30 s.
	Retry *Retry `json:"retry,omitempty"`
	// Fault is why the event is refused.
	Fault Fault `json:"fault,omitempty"`
}

// The operations that need no action.
const (
	OpCreate = "create"
	OpSend   = "send"
	OpRefuse = "refuse"
	OpCancel = "cancel"
)

// Before returns op with a deadline.
func (op Op) Before(deadline time.Time) Op {
	op.Deadline = deadline
	return op
}

// Retried returns op with another way of repeating it.
func (op Op) Retried(r Retry) Op {
	op.Retry = &r
	return op
}

// Retry says how an operation is repeated after temporary errors. Between two
// attempts passes a random half to whole of a pause that begins as First and
// grows by the factor Multiplier up to Longest.
type Retry struct {
	// Attempts is how many are made in all, on any node. After the last the event
	// Do+".failed" tells the last error. 0 means without end.
	Attempts int `json:"attempts,omitempty"`
	// First and Longest are pauses, in nanoseconds; 0 means 100 ms and 30 s.
	First   time.Duration `json:"first,omitempty"`
	Longest time.Duration `json:"longest,omitempty"`
	// Multiplier is at least 1; 0 means 2.
	Multiplier float64 `json:"multiplier,omitempty"`
}

// Pause returns how long to wait after the failed attempt, counted from 0.
func (r Retry) Pause(attempt int) time.Duration {
	first, longest := cmp.Or(r.First, 100*time.Millisecond), cmp.Or(r.Longest, 30*time.Second)
	grown := float64(first) * math.Pow(max(1, cmp.Or(r.Multiplier, 2)), float64(attempt))
	d := max(2, time.Duration(min(grown, float64(longest))))
	return d/2 + rand.N(d/2)
}

// Create wishes for the document kind/id; one that exists is left alone.
func Create[T any](k Kind[T], id string, doc T) Op {
	return Op{ID: "create " + string(k.Link(id)), Do: OpCreate, Link: k.Link(id), Data: encode(doc)}
}

// Send wishes for the event name with data at the document link. An event
// that the document refuses is dropped.
func Send(link Link, name string, data any) Op {
	return Op{ID: "send " + string(link) + ":" + name, Do: OpSend, Link: link, Event: name, Data: encode(data)}
}

// SendAt is Send, not before at: a timer, if link is the document's own. A
// later wish for the same event at the same link takes the place of this one.
func SendAt(at time.Time, link Link, name string, data any) Op {
	op := Send(link, name, data)
	op.At = at
	return op
}

// Call wishes for the action with args. Its outcome comes back as the event
// action+".done" with the action's result, or action+".failed". It panics on
// the name of an operation that needs no action: that is a mistake of the
// program.
func Call(action, id string, args any) Op {
	switch action {
	case OpCreate, OpSend, OpRefuse, OpCancel:
		panic("kit: an action must not be called " + action)
	}
	return Op{ID: action + " " + id, Do: action, Data: encode(args)}
}

// Cancel takes the operation with the id back, as "carry 1" for an action that
// was wished for by Call("carry", "1", ...). If it is being carried out, its
// context ends; no event tells of it. One that is not pending is no error.
func Cancel(id string) Op { return Op{ID: id, Do: OpCancel} }

// Refuse makes the event fail with fault and a reason for the user; the
// document stays as it was, whatever else was wished for.
func Refuse(fault Fault, format string, args ...any) []Op {
	detail, _ := json.Marshal(fmt.Sprintf(format, args...))
	return []Op{{ID: OpRefuse, Do: OpRefuse, Fault: fault, Data: detail}}
}

func encode(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic("kit: " + err.Error())
	}
	return b
}

// Owned is a kind with its life, in a form that does not depend on its type.
type Owned struct {
	*Definition
	// Methods are the custom methods that callers may use, if their roles allow.
	Methods []string
	// Audit says that who uses one of the Methods administers.
	Audit bool
	// Step applies e to the document r. It returns the new body, without the
	// envelope, the wished operations, or the error that e is refused with.
	Step func(r Record, e Event, now time.Time) (json.RawMessage, []Op, error)
}

// Own declares that the service owns k, whose documents live by next; nil
// means that they only hold what is written to them. Methods are the events
// that callers may send.
func Own[T any](k Kind[T], next Next[T], methods ...string) Owned {
	o := Owned{Definition: k.Definition, Methods: methods}
	if next == nil {
		return o
	}
	o.Step = func(r Record, e Event, now time.Time) (json.RawMessage, []Op, error) {
		doc, err := k.Decode(r)
		if err != nil {
			return nil, nil, &Error{Fault: ErrInvalid, Link: r.Link, Detail: fmt.Sprintf("the document does not fit its kind: %v", err)}
		}
		before, err := ownFields(doc)
		if err != nil {
			return nil, nil, err
		}
		doc, ops := next(doc, e, now)
		for _, op := range ops {
			if op.Do == OpRefuse {
				var detail string
				_ = json.Unmarshal(op.Data, &detail)
				return nil, nil, &Error{Fault: op.Fault, Op: e.Name, Link: r.Link, Detail: detail}
			}
		}
		after, err := ownFields(doc)
		if err != nil {
			return nil, nil, err
		}
		patch, err := diff(before, after, &original{value: r.Body})
		if err != nil {
			return nil, nil, err
		}
		body, err := MergePatch(r.Body, patch)
		return body, ops, err
	}
	return o
}

func ownFields(doc any) (json.RawMessage, error) {
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, &Error{Op: "encode", Err: err}
	}
	return StripEnvelope(b)
}

// Reaction is what a service does about changed documents of a kind.
type Reaction struct {
	Kind string
	// React returns the wished operations for r as it is now. It is called for
	// the latest version of each changed document, at least once.
	React func(r Record, now time.Time) ([]Op, error)
}

// On declares that react is called for each changed document of k. It must be
// pure, and its operations idempotent: links are made from doc's link.
func On[T any](k Kind[T], react func(doc T, now time.Time) []Op) Reaction {
	return Reaction{Kind: k.Name, React: func(r Record, now time.Time) ([]Op, error) {
		doc, err := k.Decode(r)
		if err != nil {
			return nil, err
		}
		return react(doc, now), nil
	}}
}

// Does are actions by name.
type Does map[string]Action

// Action carries an operation out, for the document r that wished for it. Its
// result becomes the data of the event NAME.done. A temporary error (see
// Temporary; errors without a fault are) is tried again with back-off; any
// other becomes the event NAME.failed with {"error": "..."}.
//
// Its context ends when the operation is cancelled or past its deadline, or
// when this node no longer carries out the tasks; the cause says which. Another
// node may then be at it already: what must not be done twice takes FenceOf.
type Action func(ctx context.Context, r Record, op Op) (any, error)

// Route is a raw HTTP handler below a pattern of net/http's ServeMux. The
// request's context tells its caller by CallerOf.
type Route struct {
	Pattern string
	Handler http.Handler
	// Anonymous lets requests without a token through; CallerOf is then zero.
	Anonymous bool
	// Self tells that the handler checks its callers itself, by something other
	// than a token.
	Self bool
}

// Caller is who makes a request.
type Caller struct {
	Subject string // "users/ada", "services/review", "agents/acme"; empty: nobody
	Groups  []string
	// Allowed tells whether the caller's roles allow the verb on the link, or on
	// the kind for "kind/".
	Allowed func(v Verb, l Link) bool
}

// May returns ErrForbidden, or ErrUnauthenticated for nobody, unless c may do
// v to l.
func (c Caller) May(v Verb, l Link) error {
	if c.Allowed != nil && c.Allowed(v, l) {
		return nil
	}
	if c.Subject == "" {
		return &Error{Fault: ErrUnauthenticated, Link: l, Detail: "a token is needed", Hint: "pass it as Authorization: Bearer TOKEN, or run landfall login"}
	}
	return &Error{Fault: ErrForbidden, Link: l, Detail: fmt.Sprintf("%s may not %s this", c.Subject, v), Hint: "ask an administrator for a role that allows it"}
}

type callerKey struct{}

// WithCaller returns ctx with the caller of a request.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns the caller of the request that ctx belongs to.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
