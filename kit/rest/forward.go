package rest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/access"
	"landfall.dev/kit/rest/client"
	"landfall.dev/kit/rest/inproc"
	"landfall.dev/kit/rest/local"
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
	r.Header.Del(headerVouch) // only a leader heeds it
	if err := s.vet(r); err != nil {
		s.fail(w, r, err)
		return
	}
	// The body is read first: once the leader's answer is passed on, the server
	// takes the body away from whoever still reads it, and the connection to the
	// leader would break in the middle of the answer.
	body, err := readAll(w, r, "", local.MaxBatch)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	subject, inside := inproc.Subject(r.Context())
	if inside && len(s.secret) == 0 {
		s.fail(w, r, &kit.Error{Fault: kit.ErrUnavailable, Detail: "this node is not the leader, and has no secret to speak to it"})
		return
	}
	ctx, span := s.tracer.Begin(r.Context(), "forward", trace.SpanKindClient, attribute.String("server.address", target.Host))
	defer span.End()
	ctx, sent := client.Trace(ctx)
	out, err := http.NewRequestWithContext(ctx, r.Method, leader, bytes.NewReader(body))
	if err != nil {
		s.fail(w, r, &kit.Error{Op: "forward", Err: err})
		return
	}
	out.URL.Path, out.URL.RawPath, out.URL.RawQuery = r.URL.Path, r.URL.RawPath, r.URL.RawQuery
	out.Header = endToEnd(r.Header)
	out.Header.Set(headerForwarded, "1")
	if !inside {
		out.Header.Set("X-Forwarded-For", strings.Join(append(slices.Clone(r.Header["X-Forwarded-For"]), remote(r)), ", "))
	}
	tracing.Inject(ctx, out.Header)
	if inside {
		out.Header.Set(headerVouch, s.vouch(r, subject, time.Now()))
	}
	if a, ok := w.(*answered); ok {
		a.passedOn = true
	}
	res, err := s.peers.RoundTrip(out)
	if err != nil {
		fault, detail := kit.ErrUnavailable, "the leader does not answer"
		if r.Method != http.MethodGet && !sent.Never(err) {
			fault, detail = kit.ErrTimeout, "the leader's answer was lost; whether the change was made is unknown"
		}
		s.fail(w, r, &kit.Error{Fault: fault, Detail: detail, Err: err})
		return
	}
	defer res.Body.Close()
	maps.Copy(w.Header(), endToEnd(res.Header))
	w.WriteHeader(res.StatusCode)
	if err := passOn(w, res); err != nil {
		panic(http.ErrAbortHandler) // it has begun: the client has to see that the rest is missing
	}
}

// vet returns ErrUnauthenticated unless who sends r, if it has a body, is known:
// this node would have to read that for the leader to refuse it. The leader is
// asked about a token that this node does not know, for it may be too new.
func (s *Server) vet(r *http.Request) error {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	_, unknown := s.authenticate(r)
	if kit.FaultOf(unknown) != kit.ErrUnauthenticated {
		return unknown
	}
	token := tokenOf(r)
	link, err := access.TokenLink(token)
	if err != nil || len(s.secret) == 0 {
		return unknown
	}
	doc, err := s.Client("services/"+ServiceName).Read(r.Context(), link, kit.ReadOptions{Consistency: kit.Leader})
	if kit.FaultOf(err) == kit.ErrNotFound {
		return unknown
	}
	if err != nil {
		return err
	}
	t, err := Tokens.Decode(doc)
	if err != nil {
		return err
	}
	return t.Check(token, time.Now())
}

// hopByHop are the headers that are about one connection (RFC 9110, 7.6.1, and
// those that came before it).
var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// endToEnd returns the headers that are not about one connection.
func endToEnd(h http.Header) http.Header {
	out := h.Clone()
	for _, names := range h["Connection"] {
		for name := range strings.SplitSeq(names, ",") {
			out.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopByHop {
		delete(out, name)
	}
	return out
}

// passOn writes the body of res: at once, or as it comes if nobody knows how
// much it is.
func passOn(w http.ResponseWriter, res *http.Response) error {
	if res.Body == http.NoBody {
		return nil
	}
	if res.ContentLength > 0 {
		_, err := io.Copy(w, io.LimitReader(res.Body, res.ContentLength))
		return err
	}
	flush := http.NewResponseController(w)
	part := make([]byte, 8<<10)
	for {
		n, err := res.Body.Read(part)
		if n > 0 {
			if _, err := w.Write(part[:n]); err != nil {
				return err
			}
			_ = flush.Flush() // where that is not possible it goes on as it may
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
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
	if subject, ok := r.Context().Value(vouchedKey{}).(string); ok {
		return subject, true, nil
	}
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
