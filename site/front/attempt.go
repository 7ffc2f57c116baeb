package front

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// attempt is one sending of a request.
type attempt struct {
	x      *exchange
	c      *conn
	at     progress   // how far it came
	failed error      // of a body that was sent at once
	done   chan error // of one that is sent while the response is awaited
}

// start sends the request. A body that is not kept is sent by a goroutine,
// since a backend may answer before it has read all of it.
func (x *exchange) start(ctx context.Context, c *conn) *attempt {
	c.begin(ctx)
	a := &attempt{x: x, c: c}
	if x.whole {
		a.failed = x.write(c.w, c.from.addr)
		return a
	}
	http.NewResponseController(x.w).EnableFullDuplex() // HTTP/2 always is
	a.done = make(chan error, 1)
	go func() {
		err := x.write(c.w, c.from.addr)
		lost := x.lost
		a.done <- err
		if lost != nil {
			c.interrupt() // no answer is to be awaited
		}
	}()
	return a
}

// response returns what the backend answered up to the body. A backend that
// no longer listens may still have answered.
func (a *attempt) response() (*http.Response, error) {
	if a.failed != nil && a.c.written == 0 {
		return nil, a.failed
	}
	resp, at, err := a.c.receive(a.x.in)
	a.at = at
	if err == nil && resp.StatusCode == http.StatusSwitchingProtocols && a.x.upgrade == "" {
		err = errNoUpgrade
	}
	if err == nil {
		return resp, nil
	}
	ended := !a.running()
	if a.stopped() != nil && ended && a.x.lost != nil {
		err = errUpload
	}
	return nil, errors.Join(err, a.failed)
}

// running says whether the body is still being sent.
func (a *attempt) running() bool { return a.done != nil && len(a.done) == 0 }

// stopped breaks off the sending of a body, and returns how it ended.
func (a *attempt) stopped() error {
	if a.done == nil {
		return a.failed
	}
	if a.running() {
		a.c.interrupt()
		a.x.silenced = true
		http.NewResponseController(a.x.w).SetReadDeadline(time.Unix(1, 0))
	}
	a.failed = <-a.done
	a.done = nil
	return a.failed
}

// end gives the connection back; it is clean if the response was read whole.
func (a *attempt) end(clean bool) {
	early := a.running()
	failed := a.stopped()
	a.c.end(clean && !early && failed == nil)
}
