package kit

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Fault is the kind of an error. It equals an HTTP status, survives the wire,
// and is tested with errors.Is(err, kit.ErrNotFound).
type Fault int

// The faults. Each comment says what it leaves behind.
const (
	ErrInvalid         Fault = http.StatusBadRequest            // the request makes no sense; nothing changed
	ErrUnauthenticated Fault = http.StatusUnauthorized          // no or a wrong token; nothing changed
	ErrForbidden       Fault = http.StatusForbidden             // the caller's roles do not allow it; nothing changed
	ErrNotFound        Fault = http.StatusNotFound              // no such document, kind or method
	ErrConflict        Fault = http.StatusConflict              // the document exists, or its state forbids the event; nothing changed
	ErrGone            Fault = http.StatusGone                  // the position is too old or of another epoch: list again
	ErrStale           Fault = http.StatusPreconditionFailed    // If-Match named another version; nothing changed
	ErrTooLarge        Fault = http.StatusRequestEntityTooLarge // over a limit; nothing changed
	ErrFenced          Fault = http.StatusMisdirectedRequest    // this side takes no writes any more; not applied
	ErrTooMany         Fault = http.StatusTooManyRequests       // slow down; not applied
	ErrInternal        Fault = http.StatusInternalServerError   // a defect; the outcome of a write is unknown
	ErrUnavailable     Fault = http.StatusServiceUnavailable    // no leader or not caught up; try again
	ErrTimeout         Fault = http.StatusGatewayTimeout        // the outcome of a write is unknown
	ErrFull            Fault = http.StatusInsufficientStorage   // there is no room for the bytes; nothing is kept of them
)

func (f Fault) Error() string {
	if s := http.StatusText(int(f)); s != "" {
		return strings.ToLower(s)
	}
	return fmt.Sprintf("status %d", int(f))
}

// Error is what every operation of a Client fails with. On the wire it is a
// problem detail (RFC 9457).
type Error struct {
	Fault  Fault  // the kind; 0 means that of Err, or ErrInternal
	Op     string // what was being done: "release.promote"
	Link   Link   // the document
	Detail string // what is wrong, for the user
	Hint   string // what the user can do next
	Err    error  // the cause, for the operator; not sent over the wire
}

func (e *Error) Error() string {
	var parts []string
	if e.Op != "" {
		parts = append(parts, e.Op)
	}
	if e.Link != "" {
		parts = append(parts, string(e.Link))
	}
	switch {
	case e.Detail != "":
		parts = append(parts, e.Detail)
	case e.Err == nil:
		parts = append(parts, e.Fault.Error())
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	s := strings.Join(parts, ": ")
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Unwrap makes errors.Is find the fault and the cause.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.Fault != 0 {
		errs = append(errs, e.Fault)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

// Errorf returns an Error of fault with a formatted detail.
func Errorf(fault Fault, link Link, format string, args ...any) *Error {
	return &Error{Fault: fault, Link: link, Detail: fmt.Sprintf(format, args...)}
}

// FaultOf returns the fault of err: ErrInternal if it names none, 0 if err is
// nil.
func FaultOf(err error) Fault {
	if err == nil {
		return 0
	}
	var e *Error
	if errors.As(err, &e) && e.Fault != 0 {
		return e.Fault
	}
	var f Fault
	if errors.As(err, &f) {
		return f
	}
	return ErrInternal
}

// Temporary tells whether a later attempt at the same may succeed.
func Temporary(err error) bool {
	switch FaultOf(err) {
	case ErrTooMany, ErrInternal, ErrUnavailable, ErrTimeout, ErrStale, ErrFenced:
		return true
	}
	return false
}

// problem is the wire form of an Error, application/problem+json (RFC 9457).
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Link   Link   `json:"link,omitempty"`
	Hint   string `json:"hint,omitempty"`
}

// EncodeProblem returns err as a problem detail and its HTTP status. Causes
// are left out: they are for the operator's log. An internal error shows
// nothing but its title and link.
func EncodeProblem(err error) ([]byte, int) {
	p := problem{Status: int(FaultOf(err))}
	p.Title = Fault(p.Status).Error()
	var e *Error
	if errors.As(err, &e) {
		p.Link, p.Hint = e.Link, e.Hint
		if p.Status != int(ErrInternal) {
			p.Detail = e.Detail
		}
	}
	b, _ := json.Marshal(p)
	return b, p.Status
}

// DecodeProblem returns the error that a response with status and body
// stands for. A body that is no problem detail becomes the detail's text.
func DecodeProblem(status int, body []byte) error {
	var p problem
	if json.Unmarshal(body, &p) != nil || p.Status == 0 {
		text := strings.TrimSpace(string(body))
		if len(text) > 300 {
			text = text[:300] + "..."
		}
		return &Error{Fault: Fault(status), Detail: text}
	}
	return &Error{Fault: Fault(status), Link: p.Link, Detail: p.Detail, Hint: p.Hint}
}
