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
	Group = access.Group
	Limit = access.Limit
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

// authenticate returns who makes r. It is ErrUnauthenticated, and the caller
// nobody, if that is not known, and ErrUnavailable while the documents that tell
// are not all here.
func (s *Server) authenticate(r *http.Request) (*access.Caller, error) {
	c, err := s.callerOf(r)
	if err != nil {
		return &access.Caller{}, err
	}
	return c, nil
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
