package rest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"landfall.dev/kit"
)

// Client returns a client that acts as subject and whose round trips stay in
// the process. They pass the same checks as any request.
func (s *Server) Client(subject string) kit.Client {
	c, err := NewClient("http://"+localHost, "", ClientOptions{Transport: localTransport{s, subject}})
	if err != nil {
		panic("rest: " + err.Error()) // the address is constant
	}
	return c
}

// HTTP returns an HTTP client for the server's own routes, at any host, that
// acts as subject and whose round trips stay in the process.
func (s *Server) HTTP(subject string) *http.Client {
	return &http.Client{Transport: localTransport{s, subject}}
}

// localHost is the host of requests that stay in the process.
const localHost = "localhost"

type subjectKey struct{}

// localTransport hands requests to a handler in the same process.
type localTransport struct {
	handler http.Handler
	subject string
}

// RoundTrip implements http.RoundTripper. It returns when the handler has
// flushed something, written much, or is done.
func (t localTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Context().Err() != nil {
		return nil, context.Cause(req.Context())
	}
	ctx, cancel := context.WithCancelCause(context.WithValue(req.Context(), subjectKey{}, t.subject))
	in := req.Clone(ctx)
	in.RequestURI, in.RemoteAddr, in.Host = req.URL.RequestURI(), localHost, req.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := &localResponse{header: http.Header{}, head: make(chan *http.Response, 1), request: in, cancel: cancel}
	go func() {
		defer in.Body.Close()
		defer w.finish()
		t.handler.ServeHTTP(w, in)
	}()
	select {
	case res := <-w.head:
		if res == nil {
			cancel(nil)
			return nil, errors.New("the handler has panicked")
		}
		return res, nil
	case <-ctx.Done():
		cancel(nil)
		return nil, context.Cause(ctx)
	}
}

// localResponse collects a response in memory, and from the first flush on
// passes it through a pipe. Only the handler's goroutine uses it.
type localResponse struct {
	header   http.Header
	status   int
	buffer   bytes.Buffer
	head     chan *http.Response
	request  *http.Request
	cancel   context.CancelCauseFunc
	pipe     net.Conn // nil until it streams
	far      net.Conn // the client's end of the pipe
	deadline time.Time
}

// localBuffer is how much of a response is collected before it streams.
const localBuffer = 256 << 10

func (w *localResponse) Header() http.Header { return w.header }

func (w *localResponse) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
}

func (w *localResponse) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.pipe != nil {
		return w.pipe.Write(b)
	}
	w.buffer.Write(b)
	if w.buffer.Len() > localBuffer {
		return len(b), w.FlushError()
	}
	return len(b), nil
}

// FlushError sends what is collected; http.ResponseController calls it.
func (w *localResponse) FlushError() error {
	if w.pipe != nil {
		return nil
	}
	w.WriteHeader(http.StatusOK)
	w.pipe, w.far = net.Pipe()
	if err := w.pipe.SetWriteDeadline(w.deadline); err != nil {
		return err
	}
	context.AfterFunc(w.request.Context(), w.abort)
	w.head <- w.response(&localBody{Conn: w.far, cancel: w.cancel}, -1)
	_, err := w.pipe.Write(w.buffer.Bytes())
	w.buffer = bytes.Buffer{}
	return err
}

// Flush implements http.Flusher.
func (w *localResponse) Flush() { _ = w.FlushError() }

// SetWriteDeadline is called by http.ResponseController.
func (w *localResponse) SetWriteDeadline(t time.Time) error {
	w.deadline = t
	if w.pipe != nil {
		return w.pipe.SetWriteDeadline(t)
	}
	return nil
}

// abort makes a response that streams fail for both sides. The client's end is
// closed first, lest it takes what there is for the whole.
func (w *localResponse) abort() {
	w.far.Close()
	w.pipe.Close()
}

// finish ends the response when the handler has returned or panicked.
func (w *localResponse) finish() {
	panicked := recover() != nil
	switch {
	case w.pipe != nil && panicked:
		w.abort()
	case w.pipe != nil:
		w.pipe.Close()
	case panicked:
		w.head <- nil
	default:
		w.WriteHeader(http.StatusOK)
		w.head <- w.response(&localBody{Reader: &w.buffer, cancel: w.cancel}, int64(w.buffer.Len()))
	}
}

func (w *localResponse) response(body io.ReadCloser, length int64) *http.Response {
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)),
		StatusCode:    w.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        w.header.Clone(),
		Body:          body,
		ContentLength: length,
		Request:       w.request,
	}
}

// localBody is the body of a local response; closing it ends the request.
type localBody struct {
	io.Reader          // the collected response, or nil
	Conn      net.Conn // the pipe, or nil
	cancel    context.CancelCauseFunc
}

func (b *localBody) Read(p []byte) (int, error) {
	if b.Conn == nil {
		return b.Reader.Read(p)
	}
	return b.Conn.Read(p)
}

func (b *localBody) Close() error {
	b.cancel(nil)
	if b.Conn == nil {
		return nil
	}
	return b.Conn.Close()
}

// local returns the subject that a client in this process acts as.
func local(ctx context.Context) (string, bool) {
	subject, ok := ctx.Value(subjectKey{}).(string)
	return subject, ok && strings.Contains(subject, "/")
}
