package webhook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"landfall.dev/kit"
)

// postTime bounds one post, from the connection to the end of the answer.
const postTime = 20 * time.Second

// The headers of a message, after the Standard Webhooks specification.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"

	// HeaderFence is the fencing number of the node that posts, see kit.FenceOf.
	HeaderFence = "Landfall-Fence"
)

// Message is the body of a post.
type Message struct {
	// Type is the kind and "created", "updated" or "deleted": "changes.updated".
	Type string `json:"type"`
	// Timestamp is when the document was changed.
	Timestamp    time.Time `json:"timestamp"`
	Subscription kit.Link  `json:"subscription"`
	// Data is the document; of a deleted one, only its envelope.
	Data kit.Record `json:"data"`
}

// compose returns the message about r, whose id is the same for each repeat.
func compose(subscription kit.Link, r kit.Record) (id string, body []byte, err error) {
	event := "updated"
	switch {
	case r.Deleted:
		event = "deleted"
	case r.Version == 1:
		event = "created"
	}
	r.Pending = nil // what the document waits for is nobody else's business
	body, err = json.Marshal(Message{r.Link.Kind() + "." + event, r.Updated, subscription, r})
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d %d %t", subscription, r.Link, r.Created.UnixMicro(), r.Version, r.Deleted))
	return "msg_" + hex.EncodeToString(sum[:16]), body, err
}

// refusal is a receiver's answer other than 2xx.
type refusal struct {
	status int
	after  time.Duration // it asks not to be tried before
}

func (e *refusal) Error() string {
	return fmt.Sprintf("the receiver answered %d %s", e.status, http.StatusText(e.status))
}

// maxAfter bounds how long a receiver can put a message off.
const maxAfter = time.Hour

// newClient returns the client that posts. With public it connects to addresses
// of the public internet only, whatever a name resolves to.
func newClient(transport http.RoundTripper, public bool) *http.Client {
	if transport == nil {
		dialer := &net.Dialer{Timeout: postTime / 2}
		if public {
			dialer.Control = onlyPublic
		}
		transport = &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: postTime / 2,
			MaxIdleConnsPerHost: maxPosts, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		}
	}
	return &http.Client{
		Transport: transport,
		// A redirect could lead to where the subscriber must not send.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func onlyPublic(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || ip == nil || !isPublic(ip) {
		return fmt.Errorf("%s is not on the public internet, and this platform posts only there", address)
	}
	return nil
}

// post sends the message about r once. A refusal is a *refusal.
func (s *stream) post(ctx context.Context, r kit.Record) error {
	id, body, err := compose(s.sub.Link, r)
	if err != nil {
		return err
	}
	now := time.Now()
	keys, err := s.vault.keys(s.sub, now)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, postTime, fmt.Errorf("the receiver took more than %v", postTime))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.sub.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	h := req.Header
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "landfall-webhook")
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	h.Set(HeaderSignature, signatures(keys, id, now, body))
	h.Set(HeaderFence, strconv.FormatInt(kit.FenceOf(ctx), 10))
	res, err := s.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var u *url.Error
		if errors.As(err, &u) {
			return u.Err // without the URL, which may have a secret in it
		}
		return err
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection is used again
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return nil
	}
	return &refusal{res.StatusCode, retryAfter(res.Header.Get("Retry-After"), now)}
}

// retryAfter reads a header Retry-After (RFC 9110, 10.2.3).
func retryAfter(text string, now time.Time) time.Duration {
	var d time.Duration
	if n, err := strconv.Atoi(text); err == nil {
		d = time.Duration(min(max(0, n), int(maxAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = at.Sub(now)
	}
	return min(max(0, d), maxAfter)
}
