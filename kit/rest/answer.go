package rest

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/audit"
	"landfall.dev/kit/rest/client"
	"landfall.dev/kit/rest/inproc"
	"landfall.dev/kit/rest/local"
)

// headerRequest names a request in answers that tell of an error, in the log
// and in the audit.
const headerRequest = "X-Request-Id"

// requestID returns the id that r came with, or one that it gets now.
func requestID(r *http.Request) string {
	id := r.Header.Get(headerRequest)
	if kit.CheckID(id) != nil {
		id = strings.ToLower(rand.Text()[:16])
		r.Header.Set(headerRequest, id)
	}
	return id
}

// outcome is what became of a request.
type outcome struct {
	status   int
	subject  string // who made the request, once that is known
	err      error  // what was answered, if not the result
	passedOn bool   // the leader has answered
}

// refused tells whether the caller was not let in, not allowed, or over a limit
// of theirs.
func (o *outcome) refused() bool {
	var over *overLimit
	return o.status == http.StatusUnauthorized || o.status == http.StatusForbidden || errors.As(o.err, &over)
}

// answered is a response that remembers what became of the request.
type answered struct {
	http.ResponseWriter
	outcome
	wrote bool
	// server, if not nil, adds up to where its node has applied the log when the
	// answer begins, unless the leader has said it.
	server *Server
}

func (w *answered) WriteHeader(status int) {
	if !w.wrote {
		w.status, w.wrote = status, status >= 200
	}
	if h := w.Header(); w.server != nil && h.Get(client.HeaderPosition) == "" {
		h.Set(client.HeaderPosition, w.server.store.Position().String())
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *answered) Write(b []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// ReadFrom lets files be sent without copying them through this process.
func (w *answered) ReadFrom(r io.Reader) (int64, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	return io.Copy(w.ResponseWriter, r)
}

// FlushError is for http.ResponseController.
func (w *answered) FlushError() error { return http.NewResponseController(w.ResponseWriter).Flush() }

// Flush implements http.Flusher.
func (w *answered) Flush() { _ = w.FlushError() }

// Unwrap is for http.ResponseController.
func (w *answered) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// who notes who makes the request that w answers.
func who(w http.ResponseWriter, subject string) {
	if a, ok := w.(*answered); ok {
		a.subject = subject
	}
}

// recorded wraps a handler that is not for documents, so that what it refuses
// and administrative calls of it leave a record in the audit, also if they are
// broken off.
func (s *Server) recorded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &answered{ResponseWriter: w, outcome: outcome{status: http.StatusOK}}
		ended := false
		defer func() {
			if !ended && !a.wrote { // it has panicked, and is answered further out
				a.status = http.StatusInternalServerError
			}
			s.record(&a.outcome, r, administrative(r), kit.Verb(r.Method), r.URL.Path)
		}()
		h.ServeHTTP(a, r)
		ended = true
	})
}

// adminPaths are the routes for the cluster as a whole, adminReads those of
// them whose reading is an administrative act as well.
var (
	adminPaths = []string{"/cluster", "/migrate"}
	adminReads = []string{"/cluster/backup"}
)

// administrative tells whether a request to a route is an administrator's.
func administrative(r *http.Request) bool {
	prefixes := adminPaths
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		prefixes = adminReads
	}
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(r.URL.Path, p); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// administers tells whether op makes writes that are an administrator's.
func (s *Server) administers(op *local.Request) bool {
	return slices.ContainsFunc(op.Writes, s.adminWrite)
}

// adminWrite tells whether who makes the write administers: it changes who may do
// what, or uses a method that is declared to be for administrators.
func (s *Server) adminWrite(w kit.Write) bool {
	switch w.Link.Kind() {
	case Tokens.Name, Roles.Name, Groups.Name, Limits.Name:
		return true
	}
	k, ok := s.kinds.Find(w.Link.Kind())
	return ok && k.Audit && slices.Contains(k.Methods, string(w.Verb))
}

// recordWait is how long an administrator's answer waits for its record.
const recordWait = 5 * time.Second

// ended leaves the records that the audit needs of a request in the process.
func (s *Server) ended(ctx context.Context, op local.Request, end local.End) {
	o := outcome{status: end.Status, subject: end.Subject, err: end.Err}
	if o.refused() || s.administers(&op) {
		from := http.Request{Header: http.Header{}, RemoteAddr: inproc.Host}
		s.recordDocuments(&o, from.WithContext(ctx), &op)
	}
}

// recordDocuments leaves the records that the audit needs of op, which r has
// brought.
func (s *Server) recordDocuments(o *outcome, r *http.Request, op *local.Request) {
	if s.administers(op) {
		for i, w := range op.Writes {
			if s.adminWrite(w) {
				s.record(o, r, true, w.Verb, string(op.Written(i)))
			}
		}
		return
	}
	target := op.Link
	if len(op.Writes) == 1 {
		target = op.Written(0)
	}
	s.record(o, r, false, op.Verb, string(target))
}

// record leaves a record of the call r, of which o has become, if it was
// refused, or if it is an administrator's and was not put off.
func (s *Server) record(o *outcome, r *http.Request, admin bool, verb kit.Verb, target string) {
	if !o.refused() && !admin || o.passedOn {
		return
	}
	switch kit.Fault(o.status) {
	case kit.ErrFenced, kit.ErrTooMany, kit.ErrUnavailable:
		if !o.refused() {
			return // nothing was done, and it comes again
		}
	}
	rec := audit.Record{
		Time: time.Now(), Subject: o.subject, Verb: string(verb), Target: target, Status: o.status,
		Request: requestID(r), Remote: remote(r), Via: shorten(r.Header.Get("X-Forwarded-For")),
	}
	if behalf := kit.CallerOf(r.Context()).Subject; behalf != o.subject {
		rec.Behalf = behalf
	}
	if o.err != nil {
		rec.Reason = shorten(detail(o.err))
	}
	if o.refused() {
		s.audit.Refused(rec)
		return
	}
	if _, fenced := s.store.Fenced(); fenced {
		// This side of an upgrade takes no writes, and its caller holds traffic.
		s.log.Info("audited call", "subject", rec.Subject, "verb", rec.Verb, "target", rec.Target, "status", rec.Status, "request", rec.Request, "remote", rec.Remote)
		return
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), recordWait)
	defer cancel()
	_ = s.audit.Done(wait, rec) // the log has it if it fails
}

// remote returns the address that r comes from, without the port.
func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// shorten bounds what others have written.
func shorten(s string) string {
	const limit = 200
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}

// detail is what a user is told of err.
func detail(err error) string {
	var e *kit.Error
	if !errors.As(err, &e) || e.Detail == "" {
		return err.Error()
	}
	if e.Hint != "" {
		return e.Detail + " (" + e.Hint + ")"
	}
	return e.Detail
}
