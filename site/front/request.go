package front

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

const (
	// smallBody is the most that is read of a body before the gate, so that
	// the server notices when a waiting client goes away.
	smallBody = 16 << 10

	// keptBody is the most that is kept of a body to be able to send it again.
	keptBody = 1 << 20

	// headOverhead stands for what a waiting request takes besides its text.
	headOverhead = 8 << 10
)

// hopHeaders belong to one connection (RFC 9110, 7.6.1). Trailers are dropped,
// and an expected 100-continue is answered by the front door's own server.
var hopHeaders = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Http2-Settings",
}

// request is what a client asked, in a form that can be sent more than once.
type request struct {
	in      *http.Request
	out     *http.Request // as it is sent; its body is set for each try
	stream  bool          // an upgrade, or a GET that accepts an event stream
	upgrade string        // the protocol asked for

	body    []byte // what is read of the body
	whole   bool   // body is all of it
	started bool   // the rest of it has been given to a backend
	lost    error  // why the rest could not be read; set before the upload is done
}

func newRequest(in *http.Request, trustForwarded bool) *request {
	q := &request{in: in, whole: in.ContentLength == 0}
	get := in.Method == http.MethodGet
	if get && hasToken(in.Header, "Connection", "upgrade") && !strings.EqualFold(in.Header.Get("Upgrade"), "h2c") {
		q.upgrade = in.Header.Get("Upgrade")
	}
	q.stream = q.upgrade != "" || get && hasToken(in.Header, "Accept", "text/event-stream")

	h := in.Header.Clone()
	removeHop(h)
	if q.upgrade != "" {
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", q.upgrade)
	}
	if _, named := h["User-Agent"]; !named {
		h["User-Agent"] = []string{""} // else net/http names itself
	}
	forward(h, in, trustForwarded)
	q.out = &http.Request{
		Method: in.Method,
		URL:    &url.URL{Path: in.URL.Path, RawPath: in.URL.RawPath, RawQuery: in.URL.RawQuery, ForceQuery: in.URL.ForceQuery},
		Host:   in.Host,
		Header: h,
	}
	return q
}

// forward tells the backend who asked and how.
func forward(h http.Header, in *http.Request, trust bool) {
	if !trust {
		for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
			h.Del(name)
		}
	}
	if ip, _, err := net.SplitHostPort(in.RemoteAddr); err == nil {
		chain := append(h["X-Forwarded-For"], ip)
		h.Set("X-Forwarded-For", strings.Join(chain, ", "))
	}
	if h.Get("X-Forwarded-Host") == "" {
		h.Set("X-Forwarded-Host", in.Host)
	}
	if h.Get("X-Forwarded-Proto") == "" {
		proto := "http"
		if in.TLS != nil {
			proto = "https"
		}
		h.Set("X-Forwarded-Proto", proto)
	}
}

// removeHop removes the headers that concern one connection only.
func removeHop(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopHeaders {
		delete(h, name)
	}
}

// hasToken says whether one of the elements of a list header is token,
// disregarding case and parameters.
func hasToken(h http.Header, name, token string) bool {
	for _, line := range h[name] {
		for element := range strings.SplitSeq(line, ",") {
			element, _, _ = strings.Cut(element, ";")
			if strings.EqualFold(strings.TrimSpace(element), token) {
				return true
			}
		}
	}
	return false
}

// size is about the memory that q takes while it waits.
func (q *request) size() int64 {
	n := headOverhead + len(q.in.RequestURI) + len(q.body)
	for name, values := range q.in.Header {
		for _, v := range values {
			n += len(name) + len(v)
		}
	}
	return int64(n)
}

// read reads the body if it has at most limit bytes. One of unknown length is
// read up to limit; q.whole says whether that was all.
func (q *request) read(limit int64) error {
	n := q.in.ContentLength
	switch {
	case q.whole || n > limit:
		return nil
	case n > 0:
		q.body = make([]byte, n)
		if _, err := io.ReadFull(q.in.Body, q.body); err != nil {
			return fmt.Errorf("read the body: %w", err)
		}
		q.whole = true
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(q.in.Body, limit+1))
	if err != nil {
		return fmt.Errorf("read the body: %w", err)
	}
	q.body = body
	q.whole = int64(len(body)) <= limit
	return nil
}

// prepare returns q as it is to be sent to addr. If q is not whole, its
// body is used up by that.
func (q *request) prepare(addr string) *http.Request {
	if q.out.Host == "" {
		q.out.Host = addr // an HTTP/1.0 client need not name one
	}
	q.out.Body, q.out.ContentLength = nil, 0
	switch {
	case !q.whole:
		q.out.ContentLength = q.in.ContentLength
		q.out.Body = io.NopCloser(io.MultiReader(bytes.NewReader(q.body), restReader{q}))
	case len(q.body) > 0:
		q.out.ContentLength = int64(len(q.body))
		q.out.Body = io.NopCloser(bytes.NewReader(q.body))
	}
	return q.out
}

// restReader reads what was not read of a request's body.
type restReader struct{ q *request }

func (r restReader) Read(p []byte) (int, error) {
	r.q.started = true
	n, err := r.q.in.Body.Read(p)
	if err != nil && err != io.EOF {
		r.q.lost = err
	}
	return n, err
}

// repeatable says whether q can be sent again at all.
func (q *request) repeatable() bool { return q.whole || !q.started }

// mayRepeat says whether q may be sent again after a try that failed so far on
// its way.
func (q *request) mayRepeat(at progress) bool {
	return q.repeatable() && (at == unsent || at == sent && q.safe())
}

// safe says whether q's method promises to change nothing.
func (q *request) safe() bool {
	switch q.in.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	return false
}
