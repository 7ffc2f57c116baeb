package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"sync"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/calls"
)

// BlobsPath is where a platform serves its blobs, with the digest after it.
const BlobsPath = "/kit/blobs/"

// PutBlob stores what r yields from where it is on, durably at a majority of the
// voters, and returns its digest, by which a document can then name it. R is
// read once for the digest, and once for each attempt.
func (c *Client) PutBlob(ctx context.Context, r io.ReadSeeker) (kit.Digest, error) {
	start, err := r.Seek(0, io.SeekCurrent)
	if err != nil {
		return "", &kit.Error{Op: "put a blob", Err: err}
	}
	sum := sha256.New()
	size, err := io.Copy(sum, r)
	if err != nil {
		return "", &kit.Error{Op: "put a blob", Err: err}
	}
	d := digestOf(sum)
	res, err := c.blob(ctx, http.MethodPut, d, func() (io.Reader, int64, error) {
		_, err := r.Seek(start, io.SeekStart)
		return r, size, err
	})
	if err != nil {
		return "", err
	}
	return d, res.Body.Close()
}

// HasBlob tells whether the platform has the blob, and has it keep that for
// another day though no document may name it yet.
func (c *Client) HasBlob(ctx context.Context, d kit.Digest) (bool, error) {
	res, err := c.blob(ctx, http.MethodHead, d, noBody)
	if kit.FaultOf(err) == kit.ErrNotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, res.Body.Close()
}

// OpenBlob returns the bytes of the blob, or ErrNotFound. Reading them fails at
// the end if they are not what they should be. The caller closes it.
func (c *Client) OpenBlob(ctx context.Context, d kit.Digest) (io.ReadCloser, error) {
	res, err := c.blob(ctx, http.MethodGet, d, noBody)
	if err != nil {
		return nil, err
	}
	return &checked{res.Body, sha256.New(), d}, nil
}

func noBody() (io.Reader, int64, error) { return nil, 0, nil }

// blob makes a request for the blob, at one node after the other until one
// serves it. It can be repeated, whatever became of it.
func (c *Client) blob(ctx context.Context, method string, d kit.Digest, body func() (io.Reader, int64, error)) (*http.Response, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	began := time.Now()
	for attempt := 1; ; attempt++ {
		at := c.current.Load()
		res, after, err := c.blobAt(ctx, c.bases[int(at)%len(c.bases)], method, d, body)
		if err == nil || after < 0 || ctx.Err() != nil {
			return res, err
		}
		c.current.CompareAndSwap(at, at+1)
		wait := max(pause(attempt/len(c.bases)), min(after, longestPause))
		if attempt < len(c.bases) {
			wait = 0
		}
		if time.Since(began)+wait > c.patience || !sleep(ctx, wait) {
			return nil, err
		}
	}
}

// blobAt makes one attempt at the node at base; see once for after.
func (c *Client) blobAt(ctx context.Context, base, method string, d kit.Digest, body func() (io.Reader, int64, error)) (_ *http.Response, after time.Duration, _ error) {
	content, size, err := body()
	if err != nil {
		return nil, -1, &kit.Error{Op: "put a blob", Err: err}
	}
	req, err := http.NewRequestWithContext(ctx, method, base+BlobsPath+string(d), nil)
	if err != nil {
		return nil, -1, &kit.Error{Fault: kit.ErrInvalid, Err: err}
	}
	if size > 0 {
		lent := &lent{Reader: content, back: make(chan struct{})}
		defer func() { <-lent.back }()
		req.Body, req.ContentLength = lent, size
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.via.RoundTrip(req)
	if err != nil {
		fault := kit.ErrUnavailable
		if ctx.Err() != nil {
			fault, err = kit.ErrTimeout, context.Cause(ctx)
		}
		return nil, 0, &kit.Error{Fault: fault, Detail: "nothing answers at " + base, Err: err}
	}
	if res.StatusCode < 300 {
		return res, 0, nil
	}
	defer res.Body.Close()
	problem, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	answer := calls.Answer{Status: res.StatusCode, Header: res.Header}
	return nil, retryAfter(answer, true), kit.DecodeProblem(res.StatusCode, problem)
}

// lent is a body that is its owner's again once it was closed: the transport may
// read it longer than it waits for the answer.
type lent struct {
	io.Reader
	back chan struct{}
	once sync.Once
}

func (l *lent) Close() error {
	l.once.Do(func() { close(l.back) })
	return nil
}

// checked fails at the end if what was read does not have the digest.
type checked struct {
	io.ReadCloser
	sum    hash.Hash
	digest kit.Digest
}

func (c *checked) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.sum.Write(b[:n])
	if err == io.EOF && digestOf(c.sum) != c.digest {
		err = &kit.Error{Fault: kit.ErrUnavailable, Detail: "what came is not the blob " + string(c.digest), Hint: "get it again, from another node"}
	}
	return n, err
}

func digestOf(sum hash.Hash) kit.Digest {
	return kit.Digest("sha256:" + hex.EncodeToString(sum.Sum(nil)))
}
