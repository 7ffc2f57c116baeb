// Package door lets those who know a cluster's token in to its endpoints for
// migrations, and answers them.
package door

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"landfall.dev/kit"
)

// maxRequest bounds the body of a request.
const maxRequest = 64 << 10

// Handler answers a request, or returns why not before it has written.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Door lets callers in.
type Door struct {
	token  [sha256.Size]byte // the hash of the cluster's token
	closed bool              // there is no token, so nobody is let in
}

// New returns a door for those who know the token; if that is empty, for nobody.
func New(clusterToken string) Door {
	return Door{token: sha256.Sum256([]byte(clusterToken)), closed: clusterToken == ""}
}

// Route returns the route of h behind the door.
func (d Door) Route(pattern string, h Handler) kit.Route {
	return kit.Route{Pattern: pattern, Self: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := d.authorize(r)
		if err == nil {
			r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
			err = h(w, r)
		}
		if err != nil {
			fail(w, r, err)
		}
	})}
}

func (d Door) authorize(r *http.Request) error {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	sum := sha256.Sum256([]byte(token))
	if ok && !d.closed && subtle.ConstantTimeCompare(sum[:], d.token[:]) == 1 {
		return nil
	}
	return &kit.Error{
		Fault:  kit.ErrUnauthenticated,
		Detail: "the cluster's token is needed",
		Hint:   "pass it as Authorization: Bearer TOKEN; it is in cluster.token in the data directory of a node",
	}
}

// Elsewhere is the error that the leader, at the address, has to be asked.
type Elsewhere string

func (e Elsewhere) Error() string { return "the leader is " + string(e) }

func fail(w http.ResponseWriter, r *http.Request, err error) {
	h := w.Header()
	var leader Elsewhere
	if errors.As(err, &leader) {
		h.Set("Location", strings.TrimSuffix(string(leader), "/")+r.URL.RequestURI())
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	if r.Context().Err() != nil && errors.Is(err, context.Cause(r.Context())) {
		err = &kit.Error{Fault: kit.ErrTimeout, Detail: "the request was given up"}
	}
	body, status := kit.EncodeProblem(err)
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	switch kit.Fault(status) {
	case kit.ErrUnauthenticated:
		h.Set("WWW-Authenticate", `Bearer realm="landfall"`)
	case kit.ErrUnavailable, kit.ErrTooMany:
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// Answer writes v, JSON.
func Answer(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return &kit.Error{Op: "encode", Err: err}
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(append(body, '\n'))
	return nil
}

// Decode reads the request's body, JSON, into v.
func Decode(r *http.Request, v any) error {
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		return kit.Errorf(kit.ErrInvalid, "", "the request's body is not as expected: %v", err)
	}
	return nil
}
