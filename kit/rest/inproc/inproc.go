// Package inproc carries HTTP requests to a handler in the same process, without
// a socket, and tells the handler on whose behalf they are made.
package inproc

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
)

// Host is the host of requests that stay in the process.
const Host = "localhost"

type subjectKey struct{}

// Transport returns a transport to h whose requests are made as subject.
func Transport(h http.Handler, subject string) http.RoundTripper {
	return transport{h, subject}
}

// transport hands requests to a handler in the same process.
type transport struct {
	handler http.Handler
	subject string
}

// RoundTrip implements http.RoundTripper. It returns when the handler has
// flushed something, written much, or is done.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Context().Err() != nil {
		return nil, context.Cause(req.Context())
	}
	ctx, cancel := context.WithCancelCause(context.WithValue(req.Context(), subjectKey{}, t.subject))
	in := req.Clone(ctx)
	in.RequestURI, in.RemoteAddr, in.Host = req.URL.RequestURI(), Host, req.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := &response{header: http.Header{}, head: make(chan *http.Response, 1), request: in, cancel: cancel}
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

// response collects a response in memory, and from the first flush on
// passes it through a pipe. Only the handler's goroutine uses it.
type response struct {
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

// maxBuffer is how much of a response is collected before it streams.
const maxBuffer = 256 << 10

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
}

func (w *response) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.pipe != nil {
		return w.pipe.Write(b)
	}
	w.buffer.Write(b)
	if w.buffer.Len() > maxBuffer {
		return len(b), w.FlushError()
	}
	return len(b), nil
}

// FlushError sends what is collected; http.ResponseController calls it.
func (w *response) FlushError() error {
	if w.pipe != nil {
		return nil
	}
	w.WriteHeader(http.StatusOK)
	w.pipe, w.far = net.Pipe()
	if err := w.pipe.SetWriteDeadline(w.deadline); err != nil {
		return err
	}
	context.AfterFunc(w.request.Context(), w.abort)
	w.head <- w.answer(&body{Conn: w.far, cancel: w.cancel}, -1)
	_, err := w.pipe.Write(w.buffer.Bytes())
	w.buffer = bytes.Buffer{}
	return err
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// SetWriteDeadline is called by http.ResponseController.
func (w *response) SetWriteDeadline(t time.Time) error {
	w.deadline = t
	if w.pipe != nil {
		return w.pipe.SetWriteDeadline(t)
	}
	return nil
}

// abort makes a response that streams fail for both sides. The client's end is
// closed first, lest it takes what there is for the whole.
func (w *response) abort() {
	w.far.Close()
	w.pipe.Close()
}

// finish ends the response when the handler has returned or panicked.
func (w *response) finish() {
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
		w.head <- w.answer(&body{Reader: &w.buffer, cancel: w.cancel}, int64(w.buffer.Len()))
	}
}

func (w *response) answer(content io.ReadCloser, length int64) *http.Response {
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)),
		StatusCode:    w.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        w.header.Clone(),
		Body:          content,
		ContentLength: length,
		Request:       w.request,
	}
}

// body is the body of a local response; closing it ends the request.
type body struct {
	io.Reader          // the collected response, or nil
	Conn      net.Conn // the pipe, or nil
	cancel    context.CancelCauseFunc
}

func (b *body) Read(p []byte) (int, error) {
	if b.Conn == nil {
		return b.Reader.Read(p)
	}
	return b.Conn.Read(p)
}

func (b *body) Close() error {
	b.cancel(nil)
	if b.Conn == nil {
		return nil
	}
	return b.Conn.Close()
}

// Subject returns the subject that a client in this process acts as.
func Subject(ctx context.Context) (string, bool) {
	subject, ok := ctx.Value(subjectKey{}).(string)
	return subject, ok && strings.Contains(subject, "/")
}
