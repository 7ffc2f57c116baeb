package rest

import (
	"context"
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/access"
	"landfall.dev/kit/rest/audit"
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

// verify returns the subject of the token.
func (s *Server) verify(token string, now time.Time) (subject string, err error) {
	invalid := func(why string) error {
		return &kit.Error{Fault: kit.ErrUnauthenticated, Detail: "the token is not valid: " + why, Hint: "ask an administrator for a new one, or run landfall login"}
	}
	text, ok := strings.CutPrefix(token, access.TokenPrefix)
	id, secret, two := strings.Cut(text, "_")
	if !ok || !two || kit.CheckID(id) != nil {
		return "", invalid("it does not look like " + access.TokenPrefix + "ID_SECRET")
	}
	doc := Token{Hash: access.HashOf("")}
	r, err := s.store.Read(Tokens.Link(id))
	known := err == nil
	if known {
		if doc, err = Tokens.Decode(r); err != nil {
			return "", err
		}
	}
	same := subtle.ConstantTimeCompare([]byte(access.HashOf(secret)), []byte(doc.Hash)) == 1
	switch {
	case !known:
		return "", invalid("there is none with its id; it was revoked, has expired, or is for another server")
	case !same:
		return "", invalid("its secret is wrong")
	case !doc.Expires.IsZero() && now.After(doc.Expires):
		return "", invalid("it has expired")
	}
	return doc.Subject, nil
}
