package shared

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/blob"
)

// peersPath is where nodes serve each other what they hold.
const peersPath = "/cluster/blobs/"

// stall is how long a node may neither take nor send a byte.
const stall = 20 * time.Second

// peers are the other nodes of the cluster.
type peers struct {
	client *http.Client
	secret string
}

func newPeers(via http.RoundTripper, secret string) *peers {
	return &peers{&http.Client{Transport: via}, secret}
}

// get takes the blob from the node n onto the shelf, unless it is not what it
// should be.
func (p *peers) get(ctx context.Context, n Node, d kit.Digest, to *shelf) error {
	res, alive, err := p.send(ctx, http.MethodGet, n, d, nil, 0)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	defer alive.stop()
	_, _, err = to.Put(ctx, alive.while(res.Body), d)
	return err
}

// offer returns nil once the node n holds the blob.
func (p *peers) offer(ctx context.Context, n Node, d kit.Digest, from *shelf) error {
	res, alive, err := p.send(ctx, http.MethodHead, n, d, nil, 0)
	if err == nil {
		alive.stop()
		return res.Body.Close()
	}
	if !errors.Is(err, kit.ErrNotFound) {
		return err
	}
	b, err := from.Open(ctx, d)
	if err != nil {
		return err
	}
	defer b.Close()
	if res, alive, err = p.send(ctx, http.MethodPut, n, d, b, b.Size()); err != nil {
		return err
	}
	alive.stop()
	return res.Body.Close()
}

// send asks the node n. Without an error the caller closes the answer's body and
// stops the watch.
func (p *peers) send(ctx context.Context, method string, n Node, d kit.Digest, body io.Reader, size int64) (*http.Response, *watch, error) {
	if !n.Alive {
		return nil, nil, kit.Errorf(kit.ErrUnavailable, "", "the node is not alive")
	}
	alive, ctx := newWatch(ctx)
	if body != nil {
		body = alive.while(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(n.URL, "/")+peersPath+string(d), body)
	if err != nil {
		alive.stop()
		return nil, nil, err
	}
	req.ContentLength = size
	req.Header.Set("Authorization", "Bearer "+p.secret)
	res, err := p.client.Do(req)
	if err != nil {
		alive.stop()
		return nil, nil, &kit.Error{Fault: kit.ErrUnavailable, Detail: "the node does not answer", Err: err}
	}
	if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusCreated {
		return res, alive, nil
	}
	defer res.Body.Close()
	defer alive.stop()
	problem, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	return nil, nil, kit.DecodeProblem(res.StatusCode, problem)
}

// Peers declares what nodes of the cluster ask each other.
func (b *Blobs) Peers() []kit.Route {
	want := sha256.Sum256([]byte("Bearer " + b.config.Secret))
	files := blob.Handler(b.shelf)
	h := kit.Handler(func(w http.ResponseWriter, r *http.Request) error {
		got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		if b.config.Secret == "" || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			return kit.Errorf(kit.ErrUnauthenticated, "", "this is for other nodes of the cluster")
		}
		if d := kit.Digest(r.PathValue("digest")); r.Method == http.MethodHead && b.shelf.has(d) {
			if err := b.shelf.touch(d); err != nil { // who asks relies on it
				return err
			}
		}
		files.ServeHTTP(w, r)
		return nil
	})
	return []kit.Route{
		{Pattern: "GET " + peersPath + "{digest}", Self: true, Handler: h},
		{Pattern: "PUT " + peersPath + "{digest}", Self: true, Handler: h},
	}
}

// watch ends a request that makes no progress.
type watch struct {
	timer *time.Timer
	end   context.CancelCauseFunc
}

func newWatch(ctx context.Context) (*watch, context.Context) {
	ctx, end := context.WithCancelCause(ctx)
	stalled := fmt.Errorf("nothing came or went for %v", stall)
	return &watch{time.AfterFunc(stall, func() { end(stalled) }), end}, ctx
}

func (w *watch) stop() {
	w.timer.Stop()
	w.end(context.Canceled)
}

// while returns r, whose bytes are progress.
func (w *watch) while(r io.Reader) io.Reader { return &watched{r, w} }

type watched struct {
	io.Reader
	watch *watch
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	w.watch.timer.Reset(stall)
	return n, err
}
