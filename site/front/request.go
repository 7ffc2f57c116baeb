package front

import (
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"slices"
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

// hop says whether the header concerns one connection only (RFC 9110, 7.6.1).
// Trailers are dropped, and an expected 100-continue is answered by the front
// door's own server.
func hop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Http2-Settings":
		return true
	}
	return false
}

// request is what a client asked, in a form that can be sent more than once.
type request struct {
	in      *http.Request
	trust   bool   // keep the X-Forwarded headers that it brings
	upgrade string // the protocol asked for

	body    []byte // what is read of the body
	whole   bool   // body is all of it
	started bool   // the rest of it has been given to a backend
	lost    error  // why the rest could not be read; set before the upload is done
}

func newRequest(in *http.Request, trustForwarded bool) request {
	q := request{in: in, trust: trustForwarded, whole: in.ContentLength == 0}
	if in.Method == http.MethodGet && hasToken(in.Header, "Connection", "upgrade") && !strings.EqualFold(in.Header.Get("Upgrade"), "h2c") {
		q.upgrade = in.Header.Get("Upgrade")
	}
	return q
}

// client returns the address of who asked.
func client(in *http.Request, trust bool) string {
	if trust {
		if first, _, _ := strings.Cut(in.Header.Get("X-Forwarded-For"), ","); first != "" {
			return first
		}
	}
	ip, _, _ := net.SplitHostPort(in.RemoteAddr)
	return ip
}

// passed yields the headers in h that concern more than one connection.
func passed(h http.Header) iter.Seq2[string, []string] {
	var named []string // by Connection
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			named = append(named, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	return func(yield func(string, []string) bool) {
		for name, values := range h {
			if hop(name) || slices.Contains(named, name) {
				continue
			}
			if !yield(name, values) {
				return
			}
		}
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
