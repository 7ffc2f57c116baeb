package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/calls"
)

// attempt makes one attempt at the call, together with others if the client
// coalesces and it may.
func (c *Client) attempt(ctx context.Context, base string, call call) calls.Result {
	alone := func() calls.Result { return c.alone(ctx, base, call) }
	body, ok := call.inLine()
	if c.sender == nil || !ok {
		return alone()
	}
	line := calls.Call{Method: call.method, Path: call.target(), Header: http.Header{}, Body: body}
	call.describe(ctx, line.Header)
	sort := calls.SortWrites
	if call.method == http.MethodGet {
		sort = call.query.Get("consistency")
	}
	return c.sender.Do(ctx, calls.Lane{Base: base, Sort: sort}, line, call.repeatable(), alone)
}

// inLine returns the call's body as one line. It is false for a call that goes
// alone: its answer or its body may be large, its body is no JSON, or it waits
// for all nodes, and others would wait with it.
func (call call) inLine() (body []byte, ok bool) {
	one := strings.Contains(string(call.link), "/") && (call.link.ID() != "" || call.method == http.MethodPost)
	if !one || len(call.body) >= calls.LargeBody || call.options.Durability == kit.All {
		return nil, false
	}
	if bytes.IndexByte(call.body, '\n') < 0 {
		return call.body, len(call.body) == 0 || json.Valid(call.body)
	}
	var b bytes.Buffer
	err := json.Compact(&b, call.body)
	return b.Bytes(), err == nil
}

// sendCalls sends lines of calls to the server at base; see calls.Send.
func (c *Client) sendCalls(ctx context.Context, base string, body []byte, repeatable bool) (*http.Response, bool, error) {
	ctx, sent := Trace(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+calls.Path, bytes.NewReader(body))
	if err != nil {
		return nil, true, err
	}
	req.Header.Set("Content-Type", calls.ContentType)
	if repeatable {
		req.Header["Idempotency-Key"] = nil // which is not sent, and tells net/http
	}
	c.session.ask(req)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.via.RoundTrip(req)
	return res, err != nil && sent.Never(err), err
}
