package front

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// maxTries bounds how often a request is sent to backends that accept it and
// then fail.
const maxTries = 3

var (
	errCut         = errors.New("the platform was switched")
	errNoBackend   = errors.New("no backend accepts connections")
	errUpload      = errors.New("the client's upload broke off")
	errNoUpgrade   = errors.New("the backend switched to a protocol that nobody asked for")
	errClientGone  = errors.New("the client is gone")
	errShortAnswer = errors.New("the backend broke off its response")
)

// ServeHTTP sends r to the present side, as soon as it may go there.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.requests.Add(1)
	if r.Method == http.MethodConnect {
		d.problem(w, http.StatusMethodNotAllowed, "method not allowed", "this front door is not a tunnel: it does not serve CONNECT")
		return
	}
	x := &exchange{door: d, w: w, request: newRequest(r, d.options.TrustForwarded)}
	x.ticket.class, x.open = x.classify(d.classes.Load().of(r))
	x.ticket.client = client(r, d.options.TrustForwarded)
	x.ticket.left = d.gate.bounds[x.ticket.class].Wait
	defer d.gate.leave(&x.ticket)
	if !x.safe() && d.pace.wait(r.Context()) != nil {
		panic(http.ErrAbortHandler) // nobody is there to be answered
	}
	if inside, ok := x.admit(r.Context()); ok {
		began := time.Now()
		x.run(r.Context(), inside)
		if x.ticket.class == Short {
			d.latencies.add(time.Since(began))
		}
	}
}

// exchange is the way of one request through the door. Of its methods'
// contexts, ctx is the request's, and inside that of one stay behind the gate:
// a stream's also ends when it is cut.
type exchange struct {
	request
	door   *Door
	w      http.ResponseWriter
	ticket ticket
	open   bool // a long body makes it an Upload

	// silenced says that the door stopped listening to the client in the
	// middle of its upload. That ends the context too.
	silenced bool
}

// gone says whether there is nobody to answer.
func (x *exchange) gone(ctx context.Context) bool { return ctx.Err() != nil && !x.silenced }

// admit returns true once the request is inside and has as much of its body
// as is kept. Otherwise it has been answered.
func (x *exchange) admit(ctx context.Context) (inside context.Context, ok bool) {
	if x.in.ContentLength > 0 && !x.load(smallBody) {
		return nil, false
	}
	inside, ok = x.enter(ctx, x.door.gate.enter)
	if !ok || x.whole || x.in.ContentLength > keptBody {
		return inside, ok
	}
	// The client may be slow to send its body: a drain need not wait for it.
	x.door.gate.yield(&x.ticket)
	if !x.load(keptBody) {
		return nil, false
	}
	if !x.whole && x.open {
		x.ticket.class = Upload
	}
	return x.enter(ctx, x.door.gate.enter)
}

func (x *exchange) load(limit int64) bool {
	if err := x.read(limit); err != nil {
		x.door.problem(x.w, http.StatusBadRequest, "bad request", err.Error())
		return false
	}
	return true
}

// enter goes in by one of the gate's ways. The request has to be outside.
func (x *exchange) enter(ctx context.Context, way func(context.Context, *ticket) error) (inside context.Context, ok bool) {
	x.ticket.bytes = x.size()
	inside = ctx
	if x.ticket.class == Stream {
		var cancel context.CancelCauseFunc
		inside, cancel = context.WithCancelCause(ctx)
		x.ticket.cut = func() { cancel(errCut) }
	}
	return inside, x.passed(ctx, way(ctx, &x.ticket))
}

// passed answers the request if err kept it from being sent.
func (x *exchange) passed(ctx context.Context, err error) bool {
	if err == nil {
		return true
	}
	if x.gone(ctx) {
		panic(http.ErrAbortHandler)
	}
	x.door.problem(x.w, http.StatusServiceUnavailable, "not available at the moment",
		err.Error()+"; the request was not applied, send it again")
	return false
}

// run sends the request and delivers the response, as often as that is safe.
func (x *exchange) run(ctx, inside context.Context) {
	for try := 1; ; try++ {
		a, resp, err := x.try(inside)
		if err == nil && resp.StatusCode != http.StatusMisdirectedRequest {
			x.finish(ctx, inside, a, resp)
			return
		}
		back := x.door.gate.enter
		switch {
		case err == nil && x.repeatable():
			back = x.door.gate.fenced
		case err == nil:
			x.passed(ctx, errFenced)
			return
		case !x.again(inside, a, err, try):
			x.broken(ctx, err)
			return
		}
		x.door.retried.Add(1)
		x.door.gate.yield(&x.ticket)
		var ok bool
		if inside, ok = x.enter(ctx, back); !ok {
			return
		}
	}
}

// try sends the request once. The attempt is nil if there was no connection,
// and has ended unless there is a response to deliver.
func (x *exchange) try(inside context.Context) (*attempt, *http.Response, error) {
	c, err := x.ticket.to.connect(inside, x.ticket.class == Stream)
	if err != nil {
		return nil, nil, err
	}
	a := x.start(inside, c)
	resp, err := a.response()
	if err != nil || resp.StatusCode == http.StatusMisdirectedRequest {
		a.end(false)
	}
	return a, resp, err
}

// again says whether to send the request again after a failed on err.
func (x *exchange) again(inside context.Context, a *attempt, err error, try int) bool {
	switch {
	case context.Cause(inside) == errCut:
		return true // it is a GET of which nothing was delivered
	case inside.Err() != nil:
		return false
	case a == nil:
		return x.door.gate.moved(&x.ticket)
	}
	return x.mayRepeat(a.at) && try < maxTries
}

// finish delivers resp and gives the connection back.
func (x *exchange) finish(ctx, inside context.Context, a *attempt, resp *http.Response) {
	if x.ticket.class == Stream {
		x.door.gate.settle(&x.ticket)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		err := x.tunnel(inside, a.c, resp)
		a.end(false)
		if err != nil {
			x.broken(ctx, err)
		}
		return
	}
	err := x.deliver(resp, a)
	a.end(err == nil && !resp.Close)
	if err == nil || context.Cause(inside) == errCut {
		return
	}
	if !x.gone(ctx) && errors.Is(err, errShortAnswer) {
		x.door.failed.Add(1)
		x.door.options.Logger.Warn("passed on an answer that broke off", "side", x.ticket.to.Side, "error", err)
	}
	panic(http.ErrAbortHandler) // a silent end would look complete
}

// broken answers a request that failed on its way to or in a backend.
func (x *exchange) broken(ctx context.Context, err error) {
	if x.gone(ctx) || errors.Is(err, errUpload) {
		panic(http.ErrAbortHandler)
	}
	if errors.Is(err, errNoBackend) {
		x.passed(ctx, err)
		return
	}
	x.door.options.Logger.Warn("lost an exchange", "side", x.ticket.to.Side, "error", err)
	detail := "the backend gave no usable answer; the request asked for no change, send it again"
	if !x.safe() {
		detail = "ambiguous: the request may have been applied; look before you send it again"
	}
	x.door.problem(x.w, http.StatusBadGateway, "no usable answer from the backend", detail)
}

// deliver passes resp on to the client, as it comes.
func (x *exchange) deliver(resp *http.Response, a *attempt) error {
	h := x.w.Header()
	for name, values := range passed(resp.Header) {
		h[name] = values
	}
	if _, named := h["Content-Type"]; !named {
		h["Content-Type"] = nil // else net/http guesses one
	}
	h["Landfall-Side"] = x.ticket.to.named
	if a.running() {
		h.Set("Connection", "close") // what the client still sends is not read
	}
	x.w.WriteHeader(resp.StatusCode)
	return x.copyBody(resp, a.c)
}

var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copyBody copies the body of resp, which comes from c. If its length is not
// known, then nothing stays behind in the server's buffers while the backend
// is silent.
func (x *exchange) copyBody(resp *http.Response, c *conn) error {
	live := resp.ContentLength < 0
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	for {
		if live && c.r.Buffered() == 0 {
			if err := http.NewResponseController(x.w).Flush(); err != nil {
				return errors.Join(errClientGone, err)
			}
		}
		n, err := resp.Body.Read(buf[:])
		if n > 0 {
			if _, err := x.w.Write(buf[:n]); err != nil {
				return errors.Join(errClientGone, err)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errors.Join(errShortAnswer, err)
		}
	}
}

// problem answers with problem details (RFC 9457).
func (d *Door) problem(w http.ResponseWriter, status int, title, detail string) {
	if status >= 500 {
		d.failed.Add(1)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", strconv.Itoa(1+rand.IntN(4)))
	}
	w.WriteHeader(status)
	body := struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{title, status, detail}
	json.NewEncoder(w).Encode(body) // a client that is gone needs no answer
}
