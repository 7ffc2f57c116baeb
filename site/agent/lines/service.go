package lines

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"landfall.dev/kit"
)

// protocol is what a service that is meant says in its status.
const protocol = "lines"

// answerWithin is how long a service may take until it begins to answer.
const answerWithin = 30 * time.Second

// transport carries the requests to all services.
var transport = &http.Transport{ResponseHeaderTimeout: answerWithin, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute}

// service is one side. Its methods ask one URL after the other until one
// answers.
type service struct {
	urls  []string
	token string
}

// status is what this package reads of a service's status.
type status struct {
	Protocol string  `json:"protocol"`
	Schema   int     `json:"schema"`
	Exports  []int   `json:"exports"`
	Fenced   bool    `json:"fenced"`
	Cursor   *cursor `json:"cursor"`
	Left     int64   `json:"left"`
}

// cursor is how far a service has been made a copy of the other.
type cursor struct {
	Base     string `json:"base"`
	Position string `json:"position"`
}

func (s service) status(ctx context.Context) (status, error) {
	return call[status](ctx, s, http.MethodGet, "status", nil, nil)
}

// left returns how many documents have changed after the position.
func (s service) left(ctx context.Context, after string) (int64, error) {
	st, err := call[status](ctx, s, http.MethodGet, "status", url.Values{"after": {after}}, nil)
	return st.Left, err
}

// begin makes the service expect a copy of what has changed after the base, or
// of everything if that is empty.
func (s service) begin(ctx context.Context, base string) error {
	body, err := json.Marshal(map[string]string{"base": base})
	if err == nil {
		_, err = call[status](ctx, s, http.MethodPost, "begin", nil, body)
	}
	return err
}

// maxAnswer bounds what is read of an answer that is not an export, in bytes.
const maxAnswer = 1 << 20

// call sends a request and decodes its answer.
func call[T any](ctx context.Context, s service, method, name string, q url.Values, body []byte) (T, error) {
	var out T
	res, err := s.open(ctx, method, name, q, body)
	if err != nil {
		return out, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return out, unanswered(ctx, res.Request.URL.Host, err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		return out, kit.Errorf(kit.ErrInvalid, "", "%s %s answers with something else than doc/protocol.md says: %v", method, res.Request.URL, err)
	}
	return out, nil
}

// open returns the answer, whose body the caller closes.
func (s service) open(ctx context.Context, method, name string, q url.Values, body []byte) (*http.Response, error) {
	err := error(kit.Errorf(kit.ErrUnavailable, "", "the side has no URL"))
	for _, base := range s.urls {
		address := strings.TrimSuffix(base, "/") + "/migrate/" + name
		if len(q) > 0 {
			address += "?" + q.Encode()
		}
		var res *http.Response
		res, err = s.send(ctx, method, address, body)
		if err == nil {
			return res, nil
		}
		if kit.FaultOf(err) != kit.ErrUnavailable {
			break
		}
	}
	return nil, err
}

func (s service) send(ctx context.Context, method, address string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, kit.Errorf(kit.ErrInvalid, "", "%q is no URL of an instance: %v", address, err)
	}
	return s.do(ctx, req)
}

// do sends the request, and returns the answer if it is 200.
func (s service) do(ctx context.Context, req *http.Request) (*http.Response, error) {
	req.Header.Set("Authorization", "Bearer "+s.token)
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, unanswered(ctx, req.URL.Host, err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	var bad refusal
	if res.StatusCode == http.StatusUnprocessableEntity && json.Unmarshal(text, &bad) == nil && bad.Link != "" {
		return nil, &bad
	}
	problem := kit.DecodeProblem(res.StatusCode, text)
	return nil, fmt.Errorf("%s %s: %w", req.Method, req.URL.Path, problem)
}

// refusal is the problem of a line that a service does not take.
type refusal struct {
	Link   kit.Link `json:"link"`
	Field  string   `json:"field"`
	Detail string   `json:"detail"`
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: %s: %s", r.Link, r.Field, r.Detail) }

// unanswered is the error of a request that got no answer, or half of one.
func unanswered(ctx context.Context, host string, err error) error {
	if ctx.Err() != nil {
		return &kit.Error{Fault: kit.ErrTimeout, Detail: host + " was not waited for any longer", Err: context.Cause(ctx)}
	}
	return &kit.Error{Fault: kit.ErrUnavailable, Detail: host + " does not answer", Err: err}
}
