// Package access says who may do what: tokens tell who calls, roles what they
// may do, groups who they are, and limits how much they may ask.
//
// It owns these kinds, and follows them in the store itself, so that what it says
// is right as soon as they have changed. A [Policy] tells who has a token, what
// a [Caller] may do, and why. It knows nothing of HTTP and writes nothing.
package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
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

// TokenPrefix is what the text of a token begins with.
const TokenPrefix = "lf_"

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
	return id, Token{Subject: subject, Hash: hashOf(secret), Description: description}, TokenPrefix + id + "_" + secret
}

// hashOf returns the hash of a token's secret.
func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// known is what a Policy remembers of a token.
type known struct {
	subject string
	hash    [sha256.Size]byte // of the secret
	expires time.Time
}

// parseToken returns the parts of a token's text.
func parseToken(token string) (link kit.Link, hash [sha256.Size]byte, err error) {
	text, ok := strings.CutPrefix(token, TokenPrefix)
	id, secret, two := strings.Cut(text, "_")
	if !ok || !two || kit.CheckID(id) != nil {
		return "", hash, invalid("it does not look like " + TokenPrefix + "ID_SECRET")
	}
	return Tokens.Link(id), sha256.Sum256([]byte(secret)), nil
}

// TokenLink returns the link that the document of a token has, if there is one,
// or ErrUnauthenticated if it is no text of a token.
func TokenLink(token string) (kit.Link, error) {
	link, _, err := parseToken(token)
	return link, err
}

// Check returns ErrUnauthenticated unless token is a text of t that is valid
// now.
func (t Token) Check(token string, now time.Time) error {
	_, hash, err := parseToken(token)
	if err != nil {
		return err
	}
	k, err := t.known()
	if err != nil {
		return err
	}
	return k.check(hash, now)
}

// Bearer returns who makes a request with the token, or ErrUnauthenticated.
func (p *Policy) Bearer(token string, now time.Time) (*Caller, error) {
	link, hash, err := parseToken(token)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.refresh(); err != nil {
		return nil, err
	}
	t, found, err := p.token(link)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, invalid("there is none with its id; it was revoked, has expired, or is for another server")
	}
	if err := t.check(hash, now); err != nil {
		return nil, err
	}
	return p.caller(t.subject), nil
}

// check returns ErrUnauthenticated unless t has a secret with the hash, and has
// not expired.
func (t known) check(hash [sha256.Size]byte, now time.Time) error {
	switch {
	case subtle.ConstantTimeCompare(hash[:], t.hash[:]) != 1:
		return invalid("its secret is wrong")
	case !t.expires.IsZero() && now.After(t.expires):
		return invalid("it has expired")
	}
	return nil
}

func invalid(why string) error {
	return &kit.Error{Fault: kit.ErrUnauthenticated, Detail: "the token is not valid: " + why, Hint: "ask an administrator for a new one, or run landfall login"}
}

// token returns what is known of the token whose document is at l. The caller
// holds mu, after a refresh.
func (p *Policy) token(l kit.Link) (t known, found bool, err error) {
	if t, found = p.tokens[l]; found {
		return t, true, nil
	}
	r, err := p.store.Read(l)
	if err != nil {
		return known{}, false, nil
	}
	doc, err := Tokens.Decode(r)
	if err != nil {
		return t, false, err
	}
	if t, err = doc.known(); err != nil {
		return t, false, err
	}
	if len(p.tokens) >= remembered {
		clear(p.tokens)
	}
	p.tokens[l] = t
	return t, true, nil
}

// known returns what is to be remembered of t.
func (t Token) known() (known, error) {
	hash, err := hex.DecodeString(t.Hash)
	if err != nil || len(hash) != sha256.Size {
		return known{}, invalid("its document has no hash of a secret")
	}
	return known{t.Subject, [sha256.Size]byte(hash), t.Expires}, nil
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
