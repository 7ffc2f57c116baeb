package rest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/inproc"
	"landfall.dev/kit/rest/tracing"
)

// The headers between nodes.
const (
	headerForwarded = "Landfall-Forwarded" // set once a node has passed the request on
	headerVouch     = "Landfall-Vouch"     // "subject time mac": for a client in the process of the node
)

// vouchAge is how old a vouch may be, which includes the nodes' clocks.
const vouchAge = time.Minute

// forward passes r on to the Server at leader, with the caller's credentials.
// It must be called before r's body is read.
func (s *Server) forward(w http.ResponseWriter, r *http.Request, leader string) {
	requestID(r) // which the leader takes over
	target, err := url.Parse(leader)
	if leader == "" || err != nil || r.Header.Get(headerForwarded) != "" {
		s.fail(w, r, errNoLeader)
		return
	}
	// The body is read first: once the leader's answer is passed on, the server
	// takes the body away from whoever still reads it, and the connection to the
	// leader would break in the middle of the answer.
	body, err := readAll(w, r, "", maxBatch)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	subject, inside := inproc.Subject(r.Context())
	if inside && len(s.secret) == 0 {
		s.fail(w, r, &kit.Error{Fault: kit.ErrUnavailable, Detail: "this node is not the leader, and has no secret to speak to it"})
		return
	}
	ctx, span := s.tracer.Begin(r.Context(), "forward", trace.SpanKindClient, attribute.String("server.address", target.Host))
	defer span.End()
	ctx, sent := traceSending(ctx)
	r = r.WithContext(ctx)
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.Out.Header.Set(headerForwarded, "1")
			p.Out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"]
			p.SetXForwarded()
			tracing.Inject(ctx, p.Out.Header)
			p.Out.Header.Del(headerVouch)
			if inside {
				p.Out.Header.Set(headerVouch, s.vouch(r, subject, time.Now()))
			}
		},
		Transport:     s.peers,
		FlushInterval: -1,
		ErrorLog:      slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			fault, detail := kit.ErrUnavailable, "the leader does not answer"
			if r.Method != http.MethodGet && !sent.never(err) {
				fault, detail = kit.ErrTimeout, "the leader's answer was lost; whether the change was made is unknown"
			}
			s.fail(w, r, &kit.Error{Fault: fault, Detail: detail, Err: err})
		},
	}
	if a, ok := w.(*answered); ok {
		a.passedOn = true
	}
	proxy.ServeHTTP(w, r)
}

// vouch returns the header that tells another node who makes the request r.
func (s *Server) vouch(r *http.Request, subject string, now time.Time) string {
	at := strconv.FormatInt(now.Unix(), 10)
	return fmt.Sprintf("%s %s %s", subject, at, s.mac(r, subject, at))
}

func (s *Server) mac(r *http.Request, subject, at string) string {
	m := hmac.New(sha256.New, s.secret)
	fmt.Fprintf(m, "%s\n%s\n%s\n%s", r.Method, r.URL.RequestURI(), subject, at)
	return hex.EncodeToString(m.Sum(nil))
}

// vouched returns the subject that another node vouches for in r; ok is false
// if r has no such header.
func (s *Server) vouched(r *http.Request) (subject string, ok bool, err error) {
	header := r.Header.Get(headerVouch)
	if header == "" {
		return "", false, nil
	}
	f := strings.Fields(header)
	if len(f) == 3 && len(s.secret) > 0 && hmac.Equal([]byte(f[2]), []byte(s.mac(r, f[0], f[1]))) {
		at, err := strconv.ParseInt(f[1], 10, 64)
		if age := time.Since(time.Unix(at, 0)); err == nil && age.Abs() < vouchAge {
			return f[0], true, nil
		}
		return "", true, &kit.Error{Fault: kit.ErrUnauthenticated, Detail: "the clocks of the nodes differ by more than a minute"}
	}
	return "", true, &kit.Error{Fault: kit.ErrUnauthenticated, Detail: "another node's request is not signed with this cluster's secret"}
}
