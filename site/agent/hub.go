package agent

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/rest"
	"landfall.dev/site/agent/verify"
)

// hub is the only thing that the agent connects to. It never connects back.
type hub struct {
	kit.Client
	url   string
	token string
	root  string // the SHA-256 of the trust root, in hex; empty: none is pinned
	http  *http.Client
}

// Bounds of what the hub may send and of how long it may be silent.
const (
	maxAnswer   = 4 << 20
	hubSilence  = 30 * time.Second // until a response begins
	hubPatience = 15 * time.Second // of one call for documents
)

// newHub reads the token, "SECRET" or "SECRET~ROOT".
func newHub(url, token string) (*hub, error) {
	token, root, pinned := strings.Cut(strings.TrimSpace(token), "~")
	if token == "" {
		return nil, errors.New("the agent needs a token for its hub: make one by landfall token create accounts/NAME, and pass it by --token")
	}
	if b, err := hex.DecodeString(root); pinned && (err != nil || len(b) != 32) {
		return nil, errors.New("the token is damaged: after ~ comes the SHA-256 of the trust root, 64 hex digits; copy it whole")
	}
	url = strings.TrimRight(url, "/")
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = hubSilence
	c, err := rest.NewClient(url, token, rest.ClientOptions{Patience: hubPatience, Transport: transport})
	if err != nil {
		return nil, err
	}
	return &hub{Client: c, url: url, token: token, root: strings.ToLower(root), http: &http.Client{Transport: transport}}, nil
}

// get asks for a path. A status of 400 or more is an error. The caller closes
// the body.
func (h *hub) get(ctx context.Context, path string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url+path, nil)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Authorization", "Bearer "+h.token)
	res, err := h.http.Do(req)
	if err != nil {
		return nil, &kit.Error{Fault: kit.ErrUnavailable, Detail: "the hub does not answer", Err: err}
	}
	if res.StatusCode < 400 {
		return res, nil
	}
	defer res.Body.Close()
	if res.StatusCode >= 500 {
		return nil, kit.Errorf(kit.ErrUnavailable, "", "the hub answered with status %s", res.Status)
	}
	body, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	return nil, kit.DecodeProblem(res.StatusCode, body)
}

// read returns what is at a path, at most limit and one bytes.
func (h *hub) read(ctx context.Context, path string, limit int64, header http.Header) ([]byte, error) {
	res, err := h.get(ctx, path, header)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return nil, &kit.Error{Fault: kit.ErrUnavailable, Detail: "the hub's answer was cut off", Err: err}
	}
	return b, nil
}

// trusted fetches a file of the hub's signed metadata, for verify.
func (h *hub) trusted(ctx context.Context, path string) ([]byte, error) {
	return h.read(ctx, "/tuf/"+path, verify.MaxFile, nil)
}

// environment returns the environment that the token is for: the one of the
// name, or with an empty one the only one that the token may see.
func (h *hub) environment(ctx context.Context, name string) (api.Environment, error) {
	var zero api.Environment
	if name != "" {
		e, err := api.Environments.Read(ctx, h, name)
		if errors.Is(err, kit.ErrNotFound) {
			return zero, &kit.Error{
				Fault: kit.ErrNotFound, Link: api.Environments.Link(name), Detail: "the hub knows no such environment",
				Hint: "make it by landfall env create, or start the agent with the token of another",
			}
		}
		return e, err
	}
	subject, err := h.self(ctx)
	if err != nil {
		return zero, err
	}
	var seen []api.Environment
	for e, err := range api.Environments.All(ctx, h, "", "") {
		if err != nil {
			return zero, err
		}
		seen = append(seen, e)
	}
	switch len(seen) {
	case 1:
		return seen[0], nil
	case 0:
		return zero, &kit.Error{
			Fault: kit.ErrNotFound, Link: kit.Link(subject), Detail: "the environment that this token is for does not exist",
			Hint: "make it by landfall env create",
		}
	}
	return zero, &kit.Error{
		Fault: kit.ErrInvalid, Link: kit.Link(subject), Detail: fmt.Sprintf("this token is for %d environments", len(seen)),
		Hint: "use the token of an agent's account, or name the environment by --environment",
	}
}

// self returns who the hub says that the token belongs to.
func (h *hub) self(ctx context.Context) (string, error) {
	b, err := h.read(ctx, "/identity/self", maxAnswer, nil)
	if err != nil {
		return "", err
	}
	var a struct {
		Subject string `json:"subject"`
	}
	if json.Unmarshal(b, &a) != nil || a.Subject == "" {
		return "", kit.Errorf(kit.ErrInvalid, "", "%s is no hub: its answer to /identity/self is not as expected", h.url)
	}
	return a.Subject, nil
}
