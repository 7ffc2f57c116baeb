package rest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"landfall.dev/kit"
)

// Token lets whoever knows its secret act as its subject. The text of a token
// is lf_ID_SECRET; only the hash of the secret is kept. Deleting the document
// revokes it, and Expires ends it.
type Token struct {
	kit.Meta
	Subject     string `json:"subject"` // "users/ada", "agents/acme"
	Hash        string `json:"hash"`    // SHA-256 of the secret, in hex
	Description string `json:"description,omitempty"`
}

// Tokens are the tokens of all callers. Who may create one may act as anybody.
var Tokens = kit.Define[Token]("tokens")

const tokenPrefix = "lf_"

var tokenAlphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// MintToken creates a token for subject and returns its text, which cannot be
// had again.
func MintToken(ctx context.Context, c kit.Client, subject, description string) (token string, err error) {
	id, doc, token := newToken(subject, description)
	if _, err := Tokens.Create(ctx, c, id, doc); err != nil {
		return "", err
	}
	return token, nil
}

func newToken(subject, description string) (id string, doc Token, text string) {
	random := make([]byte, 10+32)
	_, _ = rand.Read(random) // never fails
	id = tokenAlphabet.EncodeToString(random[:10])
	secret := tokenAlphabet.EncodeToString(random[10:])
	return id, Token{Subject: subject, Hash: hashOf(secret), Description: description}, tokenPrefix + id + "_" + secret
}

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Administrators is the role that Bootstrap makes.
const Administrators = "administrators"

// Bootstrap makes the role that may do everything, and a token for its first
// member, users/admin, and returns the token. If there is the role already it
// changes nothing and returns "". The client is a Server's Client for
// ServiceName.
func Bootstrap(ctx context.Context, c kit.Client) (token string, err error) {
	role := Role{
		Subjects: []string{"users/admin", "groups/" + Administrators},
		Rules:    []Rule{{Kinds: []string{"*"}, Verbs: []kit.Verb{"*"}}},
	}
	id, doc, token := newToken("users/admin", "made at the first start")
	var writes []kit.Write
	for _, d := range []struct {
		link kit.Link
		doc  any
	}{{Roles.Link(Administrators), role}, {Tokens.Link(id), doc}} {
		body, err := json.Marshal(d.doc)
		if err != nil {
			return "", &kit.Error{Op: "bootstrap", Err: err}
		}
		writes = append(writes, kit.Write{Verb: kit.VerbCreate, Link: d.link, Body: body})
	}
	_, err = c.Batch(ctx, writes)
	if kit.FaultOf(err) == kit.ErrConflict {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return token, nil
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
	text, ok := strings.CutPrefix(token, tokenPrefix)
	id, secret, two := strings.Cut(text, "_")
	if !ok || !two || kit.CheckID(id) != nil {
		return "", invalid("it does not look like " + tokenPrefix + "ID_SECRET")
	}
	doc := Token{Hash: hashOf("")}
	r, err := s.store.Read(Tokens.Link(id))
	known := err == nil
	if known {
		if doc, err = Tokens.Decode(r); err != nil {
			return "", err
		}
	}
	same := subtle.ConstantTimeCompare([]byte(hashOf(secret)), []byte(doc.Hash)) == 1
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

// checkToken is the life of a Token: it must be complete.
func checkToken(t Token, _ kit.Event, _ time.Time) (Token, []kit.Op) {
	if kit.Link(t.Subject).Check() != nil {
		return t, kit.Refuse(kit.ErrInvalid, "the subject %q is not written like users/ada", t.Subject)
	}
	if b, err := hex.DecodeString(t.Hash); err != nil || len(b) != sha256.Size {
		return t, kit.Refuse(kit.ErrInvalid, "the hash is not the SHA-256 of a secret in hex")
	}
	return t, nil
}
