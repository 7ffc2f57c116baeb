package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// The pauses between attempts at something that the hub cannot do now.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 2 * time.Second
)

// sendLimit is how long one part of a log may be under way.
const sendLimit = 30 * time.Second

// retry calls f until it succeeds, fails for good or ctx ends, and returns
// what f said last.
func retry(ctx context.Context, f func() error) error {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := f()
		if err == nil || !kit.Temporary(err) || !sleep(ctx, pause/2+rand.N(pause/2)) {
			return err
		}
	}
}

// sleep returns false if ctx ends before d has passed.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// request sends a request to a raw route of the hub. The caller closes the
// answer's body. Every error is or wraps a *kit.Error.
func (r *Runner) request(ctx context.Context, method, path string, body io.Reader, size int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.Base+path, body)
	if err != nil {
		return nil, &kit.Error{Fault: kit.ErrInvalid, Err: err}
	}
	req.ContentLength = size
	if r.Authorize != nil {
		r.Authorize(req)
	}
	res, err := r.HTTP.Do(req)
	if err != nil {
		return nil, &kit.Error{Fault: kit.ErrUnavailable, Detail: "nothing answers at " + r.Base, Err: err}
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	// What cannot be read of a refusal only shortens its reason.
	problem, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	return nil, kit.DecodeProblem(res.StatusCode, problem)
}

// askLimit is how long a short question may take.
const askLimit = 30 * time.Second

// queue asks the hub which builds to take, in their order.
func (r *Runner) queue(ctx context.Context) ([]api.QueuePlace, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	res, err := r.request(ctx, http.MethodGet, "/job/queue", nil, 0)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var places []api.QueuePlace
	if err := json.NewDecoder(res.Body).Decode(&places); err != nil {
		return nil, &kit.Error{Fault: kit.ErrUnavailable, Detail: "the answer with the queue broke off", Err: err}
	}
	return places, nil
}

// sendLog appends a part to the log of b's attempt at the hub and returns how
// many bytes the hub has.
func (r *Runner) sendLog(ctx context.Context, b api.Build, offset int64, part []byte) (int64, error) {
	size, err := r.postLog(ctx, b, offset, part)
	if !errors.Is(err, kit.ErrConflict) {
		return size, err
	}
	// Either the attempt is over or the hub has lost the log's end in a crash,
	// and wants it again. Nothing at the beginning always fits.
	return r.postLog(ctx, b, 0, nil)
}

func (r *Runner) postLog(ctx context.Context, b api.Build, offset int64, part []byte) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, sendLimit)
	defer cancel()
	path := fmt.Sprintf("/logs/%s?attempt=%d&offset=%d", url.PathEscape(b.Link.ID()), b.Attempt, offset)
	res, err := r.request(ctx, http.MethodPost, path, bytes.NewReader(part), int64(len(part)))
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var answer struct {
		Size int64 `json:"size"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return 0, &kit.Error{Fault: kit.ErrUnavailable, Detail: "the answer to a part of the log broke off", Err: err}
	}
	return answer.Size, nil
}

// sealLog asks the hub to seal the log of b's attempt, and returns what it has.
func (r *Runner) sealLog(ctx context.Context, b api.Build) (seal api.LogSeal, err error) {
	path := fmt.Sprintf("/logs/%s/seal?attempt=%d", url.PathEscape(b.Link.ID()), b.Attempt)
	err = retry(ctx, func() error {
		res, err := r.request(ctx, http.MethodPost, path, nil, 0)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if err := json.NewDecoder(res.Body).Decode(&seal); err != nil {
			return &kit.Error{Fault: kit.ErrUnavailable, Detail: "the answer about the log's end broke off", Err: err}
		}
		return nil
	})
	return seal, err
}

// sendBlob stores size bytes, which open yields from their beginning, under
// their digest.
func (r *Runner) sendBlob(ctx context.Context, digest kit.Digest, size int64, open func() (io.ReadCloser, error)) error {
	return retry(ctx, func() error {
		body, err := open()
		if err != nil {
			return &kit.Error{Fault: kit.ErrInvalid, Err: err}
		}
		defer body.Close()
		res, err := r.request(ctx, http.MethodPut, "/blobs/"+string(digest), body, size)
		if err != nil {
			return err
		}
		return res.Body.Close()
	})
}
