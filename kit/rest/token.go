package rest

import (
	"context"
	"net/http"
	"strings"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/access"
	"landfall.dev/kit/rest/audit"
	"landfall.dev/kit/rest/inproc"
	"landfall.dev/kit/store"
)

// The documents that say who may do what; see package access.
type (
	Token = access.Token
	Role  = access.Role
	Rule  = access.Rule
	// Renewal brings a role up to date.
	Renewal = access.Renewal
	Group   = access.Group
	Limit   = access.Limit
)

// The kinds of these documents.
var (
	Tokens = access.Tokens
	Roles  = access.Roles
	Groups = access.Groups
	Limits = access.Limits
)

const (
	// Everyone is the group of all callers with a token.
	Everyone = access.Everyone
	// Administrators is the role that Bootstrap makes.
	Administrators = access.Administrators
	// ServiceName is the service that owns tokens, roles, groups, limits and the
	// audit.
	ServiceName = "access"
)

// service owns the kinds of access and of the audit.
func service(kinds *store.Kinds) kit.Service {
	return kit.Service{Name: ServiceName, Owns: append(audit.Owned(), access.Owned(kinds)...)}
}

// MintToken creates a token for subject and returns its text, which cannot be
// had again.
func MintToken(ctx context.Context, c kit.Client, subject, description string) (token string, err error) {
	return access.MintToken(ctx, c, subject, description)
}

// Bootstrap makes the role that may do everything, and a token for its first
// member, users/admin, and returns the token. If there is the role already it
// changes nothing and returns "". The client is a Server's Client for
// ServiceName.
func Bootstrap(ctx context.Context, c kit.Client) (token string, err error) {
	return access.Bootstrap(ctx, c)
}

// tokenOf returns the token that r carries, if any.
func tokenOf(r *http.Request) string {
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(value)
	}
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	if c, err := r.Cookie("landfall"); err == nil {
		return c.Value
	}
	return ""
}

// catchUpWait is how long a request whose token is not known waits for this node
// to have all that the leader has, and one that only a leader can answer for a
// leader.
const catchUpWait = 500 * time.Millisecond

// leaderPoll is how often it looks meanwhile whether there is a leader.
const leaderPoll = 25 * time.Millisecond

// errUnsure is for a token that is not known here, as far as this node is.
var errUnsure = &kit.Error{
	Fault:  kit.ErrUnavailable,
	Detail: "this node does not know the token, and could not catch up with the leader to be sure",
	Hint:   "try again in a moment, or ask another node",
}

// authenticate returns who makes r. It is ErrUnauthenticated, and the caller
// nobody, if that is not known, and ErrUnavailable while the documents that tell
// are not all here; errUnsure if whether they are cannot be found out.
func (s *Server) authenticate(r *http.Request) (*access.Caller, error) {
	c, err := s.callerOf(r)
	if err != nil && s.mayBeNew(r, err) {
		if !s.caughtUp(r.Context()) {
			return &access.Caller{}, errUnsure
		}
		c, err = s.callerOf(r)
	}
	if err != nil {
		return &access.Caller{}, err
	}
	return c, nil
}

// caughtUp tells whether this node has all that the leader had at the call. A
// node that was stopped needs a moment until it knows who leads.
func (s *Server) caughtUp(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, catchUpWait)
	defer cancel()
	again := time.NewTicker(leaderPoll)
	defer again.Stop()
	for {
		if s.member().CatchUp(ctx) == nil {
			return true
		}
		if _, leader, self := s.leader(); leader != "" || self {
			return false
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return false
		}
	}
}

// mayBeNew tells whether r was refused for what the documents say, which may be
// other ones once this node has caught up.
func (s *Server) mayBeNew(r *http.Request, refused error) bool {
	if kit.FaultOf(refused) != kit.ErrUnauthenticated || r.Header.Get(headerVouch) != "" {
		return false
	}
	_, err := access.TokenLink(tokenOf(r))
	return err == nil
}

func (s *Server) callerOf(r *http.Request) (*access.Caller, error) {
	if subject, ok := inproc.Subject(r.Context()); ok {
		return s.policy.Caller(subject)
	}
	if err := s.begun(r.Context()); err != nil {
		return nil, err
	}
	subject, ok, err := s.vouched(r)
	switch {
	case err != nil:
		return nil, err
	case ok:
		return s.policy.Caller(subject)
	}
	token := tokenOf(r)
	if token == "" {
		return nil, kit.Caller{}.May("", "")
	}
	return s.policy.Bearer(token, time.Now())
}
