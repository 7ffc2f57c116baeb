package rest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
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
	passed := r.Header.Get(headerForwarded) != ""
	if leader == "" && !passed {
		leader = s.awaitLeader(r.Context())
	}
	target, err := url.Parse(leader)
	if leader == "" || err != nil || passed {
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

// awaitLeader returns the address of another node that leads, empty if none
// does soon: a node that was stopped, or whose leader has just died, needs a
// moment to know.
func (s *Server) awaitLeader(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, catchUpWait)
	defer cancel()
	again := time.NewTicker(leaderPoll)
	defer again.Stop()
	for {
		if _, leader, self := s.leader(); leader != "" || self {
			return leader
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ""
		}
	}
}

// looks is how often a second this node asks the leader about tokens that it
// does not know, while it cannot catch up: else who guesses tokens would have as
// many requests made there. The name that they are counted under is no subject.
const (
	looks     = 20
	looksName = "looks at tokens"
)

// vet returns ErrUnauthenticated unless who sends r, if it has a body, is known:
// this node would have to read that for the leader to refuse it. The leader is
// asked about a token that this node does not know and cannot be sure of.
func (s *Server) vet(r *http.Request) error {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	_, err := s.authenticate(r)
	if !errors.Is(err, errUnsure) {
		return err
	}
	token := tokenOf(r)
	link, malformed := access.TokenLink(token)
	if malformed != nil {
		return malformed
	}
	if len(s.secret) == 0 || s.rates.Take(looksName, looks, looks, time.Now()) > 0 {
		return err
	}
	doc, err := s.Client("services/"+ServiceName).Read(r.Context(), link, kit.ReadOptions{Consistency: kit.Leader})
	if kit.FaultOf(err) == kit.ErrNotFound {
		_, err = s.callerOf(r)
		return err
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

// errClocks says that nothing was done: who has sent the request is not at fault,
// and the clocks may be right when it comes again, or goes to another node.
var errClocks = &kit.Error{
	Fault:  kit.ErrUnavailable,
	Detail: "the clocks of the nodes differ by more than a minute",
	Hint:   "try again in a moment; set the clocks of the nodes if it stays so",
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
		age := time.Since(time.Unix(at, 0))
		if err == nil && age.Abs() < vouchAge {
			return f[0], true, nil
		}
		s.log.Warn("refused another node's request, for the clocks of the nodes differ by more than a minute", "subject", f[0], "age", age, "node", remote(r))
		return "", true, errClocks
	}
	return "", true, &kit.Error{Fault: kit.ErrUnauthenticated, Detail: "another node's request is not signed with this cluster's secret"}
}
