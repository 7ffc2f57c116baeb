// Package access says who may do what: tokens tell who calls, roles what they
// may do, groups who they are, and limits how much they may ask.
//
// It owns these kinds. It watches roles, groups and limits in the store itself,
// and decides nothing about a request: package rest asks it.
package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
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
	return id, Token{Subject: subject, Hash: HashOf(secret), Description: description}, TokenPrefix + id + "_" + secret
}

// HashOf returns the hash of a token's secret.
func HashOf(secret string) string {
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
