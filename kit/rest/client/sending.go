package client

import (
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"sync/atomic"
)

// Sending knows whether anything of a request was sent. Its error alone does
// not tell: net/http repeats a request with an idempotency key by itself, and
// then the error is that of the last attempt.
type Sending struct{ begun atomic.Bool }

// Trace returns the context for one request, and what is known of it.
func Trace(ctx context.Context) (context.Context, *Sending) {
	s := new(Sending)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { s.begun.Store(true) }}), s
}

// Never tells whether the request that failed with err was never sent: no
// connection was made.
func (s *Sending) Never(err error) bool {
	var op *net.OpError
	return !s.begun.Load() && errors.As(err, &op) && op.Op == "dial"
}
