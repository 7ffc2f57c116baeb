package migrate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate/transform"
	"landfall.dev/kit/store"
)

// Client uses the endpoints of a cluster from elsewhere. Its methods may be
// called concurrently; each asks one URL after the other until the leader
// answers, and may be repeated. Their errors are or wrap an *kit.Error.
type Client struct {
	// URLs are those of the cluster's nodes, or some of them.
	URLs []string
	// Token is the cluster's.
	Token string
	// Transport carries the requests; nil means http.DefaultTransport.
	Transport http.RoundTripper
}

// Status returns how the cluster stands.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call[Status](ctx, c, http.MethodGet, statusPath, nil)
}

// Left returns how many documents changed after the position. It is ErrGone if
// deletions since then are forgotten.
func (c *Client) Left(ctx context.Context, after string) (int64, error) {
	s, err := c.status(ctx, after)
	return s.Left, err
}

// status is Status with what Left returns.
func (c *Client) status(ctx context.Context, after string) (Status, error) {
	return call[Status](ctx, c, http.MethodGet, statusPath+"?"+url.Values{"after": {after}}.Encode(), nil)
}

// Fence puts the fence up or takes it down, durably, and returns the status
// after it. It is ErrConflict if a later epoch has done so before.
func (c *Client) Fence(ctx context.Context, epoch int64, on bool) (Status, error) {
	return call[Status](ctx, c, http.MethodPost, fencePath, store.Fence{Epoch: epoch, On: on})
}

// Close puts the fence up, as Fence does, and refuses clients' reads too: for a
// side whose documents are old, because another one has taken over. Fence with
// the same epoch lets them read again.
func (c *Client) Close(ctx context.Context, epoch int64) (Status, error) {
	return call[Status](ctx, c, http.MethodPost, fencePath, store.Fence{Epoch: epoch, On: true, Closed: true})
}

// Pull has the cluster, which must be fenced, take over what changed at the
// source since the pull before.
func (c *Client) Pull(ctx context.Context, r PullRequest) (Pulled, error) {
	return call[Pulled](ctx, c, http.MethodPost, pullPath, r)
}

// Pace changes the rate of the pull that is under way, if there is one: the next
// one has that of its own request. A rate is in documents a second, 0 is no bound.
func (c *Client) Pace(ctx context.Context, rate float64) (Paced, error) {
	return call[Paced](ctx, c, http.MethodPost, pacePath, map[string]float64{"rate": rate})
}

// Quarantine returns the documents that could not be transformed.
func (c *Client) Quarantine(ctx context.Context) ([]Failure, error) {
	return call[[]Failure](ctx, c, http.MethodGet, quarantinePath, nil)
}

// Retry takes the documents in quarantine once more, and no others.
func (c *Client) Retry(ctx context.Context, r PullRequest) (Pulled, error) {
	return call[Pulled](ctx, c, http.MethodPost, retryPath, r)
}

// Waive gives the documents at the links up, which are in quarantine: pulls and
// verification go on without them. By is who has decided that. It returns the
// quarantine after it, and is ErrNotFound if one of them is not in there.
func (c *Client) Waive(ctx context.Context, by string, links ...kit.Link) ([]Failure, error) {
	return call[[]Failure](ctx, c, http.MethodPost, waivePath, waiver{By: by, Links: links})
}

// Repair finds out which documents differ from the source's, by comparing the
// sums of parts of them, and takes these over again.
func (c *Client) Repair(ctx context.Context, r PullRequest) (Pulled, error) {
	return call[Pulled](ctx, c, http.MethodPost, repairPath, r)
}

// Irreversible asks a cluster that is to take over from one with the schemas
// why its documents could not go back there: none if all can.
func (c *Client) Irreversible(ctx context.Context, schemas map[string]int) ([]string, error) {
	q := url.Values{"schemas": {transform.FormatSchemas(schemas)}}
	return call[[]string](ctx, c, http.MethodGet, irreversiblePath+"?"+q.Encode(), nil)
}

// Sums returns the digest of the cluster's documents on the side "own",
// "origin" or "returned": see Sums.Side.
func (c *Client) Sums(ctx context.Context, side string) (Sums, error) {
	return call[Sums](ctx, c, http.MethodGet, sumsPath+"?"+url.Values{"side": {side}}.Encode(), nil)
}

// Copied returns the digest of the cluster's documents on the side "copied",
// of the predecessor's kinds, whose schemas these are.
func (c *Client) Copied(ctx context.Context, schemas map[string]int) (Sums, error) {
	q := url.Values{"side": {sideCopied}, "schemas": {transform.FormatSchemas(schemas)}}
	return call[Sums](ctx, c, http.MethodGet, sumsPath+"?"+q.Encode(), nil)
}

// call sends in, JSON unless it is nil, and returns the answer.
func call[T any](ctx context.Context, c *Client, method, path string, in any) (T, error) {
	var out T
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return out, &kit.Error{Op: "encode", Err: err}
		}
	}
	res, err := c.open(ctx, method, path, body, nil)
	if err != nil {
		return out, err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		return out, unanswered(ctx, res.Request.URL.Host, err)
	}
	return out, nil
}

// open returns the answer of the first node that has one; the caller closes
// its body.
func (c *Client) open(ctx context.Context, method, path string, body []byte, header http.Header) (*http.Response, error) {
	if len(c.URLs) == 0 {
		return nil, kit.Errorf(kit.ErrInvalid, "", "the cluster has no URL")
	}
	var last error
	for _, base := range c.URLs {
		res, err := c.send(ctx, method, strings.TrimRight(base, "/")+path, body, header)
		if err == nil {
			return res, nil
		}
		last = err
		if !errors.Is(err, kit.ErrUnavailable) {
			break
		}
	}
	return nil, last
}

// maxProblem bounds what is read of an error.
const maxProblem = 64 << 10

func (c *Client) send(ctx context.Context, method, address string, body []byte, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil || req.URL.Host == "" {
		return nil, kit.Errorf(kit.ErrInvalid, "", "%q is no URL of a cluster, like http://127.0.0.1:7700", address)
	}
	maps.Copy(req.Header, header)
	req.Header.Set("Authorization", "Bearer "+c.Token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	h := http.Client{Transport: c.Transport, CheckRedirect: keepToken}
	res, err := h.Do(req)
	if err != nil {
		return nil, unanswered(ctx, req.URL.Host, err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	problem, _ := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	return nil, kit.DecodeProblem(res.StatusCode, problem)
}

// keepToken follows the way to the leader, which is of the same cluster and
// so may see its token.
func keepToken(req *http.Request, via []*http.Request) error {
	if len(via) > 3 {
		return errors.New("the nodes do not agree on who leads")
	}
	req.Header.Set("Authorization", via[0].Header.Get("Authorization"))
	return nil
}

// unanswered is the error of a request that got no answer, or half of one.
func unanswered(ctx context.Context, host string, err error) error {
	if ctx.Err() != nil {
		return &kit.Error{Fault: kit.ErrTimeout, Detail: host + " was not waited for any longer", Err: context.Cause(ctx)}
	}
	return &kit.Error{Fault: kit.ErrUnavailable, Detail: fmt.Sprintf("%s does not answer", host), Err: err}
}
