package rest

import (
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"sync/atomic"
)

// sending knows whether anything of a request was sent. Its error alone does
// not tell: net/http repeats a request with an idempotency key by itself, and
// then the error is that of the last attempt.
type sending struct{ begun atomic.Bool }

// traceSending returns the context for one request, and what is known of it.
func traceSending(ctx context.Context) (context.Context, *sending) {
	s := new(sending)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { s.begun.Store(true) }}), s
}

// never tells whether the request that failed with err was never sent: no
// connection was made.
func (s *sending) never(err error) bool {
	var op *net.OpError
	return !s.begun.Load() && errors.As(err, &op) && op.Op == "dial"
}
