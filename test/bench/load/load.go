// Package load asks a store the same thing again and again by clients that
// each wait for the answer before they ask again, and tells how fast it
// answered. It knows nothing of the store, so that the programs that load
// different ones measure alike: etcdload has this file by a link. It uses the
// standard library only, because that program is of another module.
package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Plan says how much load there shall be.
type Plan struct {
	Clients int
	// Warm is the time before requests count, For that in which they do.
	Warm, For time.Duration
}

// Op makes one request as the client with that number, from 0 on. Random is
// the client's own.
type Op func(ctx context.Context, client int, random *rand.Rand) error

// Result is what came of a Plan. The times are milliseconds.
type Result struct {
	Requests  int     `json:"requests"` // those that were answered
	PerSecond float64 `json:"perSecond"`
	Mean      float64 `json:"mean"`
	P50       float64 `json:"p50"`
	P99       float64 `json:"p99"`
	Max       float64 `json:"max"`
	Failed    int     `json:"failed"`            // those that were not
	Failure   string  `json:"failure,omitempty"` // the first
}

// client is what one client has seen.
type client struct {
	took   []time.Duration
	ended  time.Time // the last request
	failed int
	first  error
}

// Run carries p out by op. It is an error if ctx ends before, or no request
// was answered.
func Run(ctx context.Context, p Plan, op Op) (Result, error) {
	start := time.Now()
	from, to := start.Add(p.Warm), start.Add(p.Warm+p.For)
	clients := make([]client, p.Clients)
	var g sync.WaitGroup
	for i := range clients {
		g.Go(func() { clients[i].run(ctx, i, from, to, op) })
	}
	g.Wait()
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	r := sum(clients, from)
	if r.Requests == 0 {
		return r, errors.Join(errors.New("no request was answered"), errors.New(r.Failure))
	}
	return r, nil
}

// run counts the requests that begin between from and to, however late they
// are answered: the slowest belong to the picture. It makes one that counts in
// any case.
func (c *client) run(ctx context.Context, number int, from, to time.Time, op Op) {
	random := rand.New(rand.NewPCG(uint64(number), 0))
	for ctx.Err() == nil {
		began := time.Now()
		if !began.Before(to) && len(c.took)+c.failed > 0 {
			return
		}
		err := op(ctx, number, random)
		c.ended = time.Now()
		switch {
		case began.Before(from):
		case err != nil:
			c.failed++
			if c.first == nil {
				c.first = err
			}
		default:
			c.took = append(c.took, c.ended.Sub(began))
		}
	}
}

// sum is the clients' result together since from.
func sum(clients []client, from time.Time) Result {
	var r Result
	var took []time.Duration
	var total, over time.Duration
	for _, c := range clients {
		over = max(over, c.ended.Sub(from))
		took = append(took, c.took...)
		r.Failed += c.failed
		if r.Failure == "" && c.first != nil {
			r.Failure = fmt.Sprint(c.first)
		}
	}
	if r.Requests = len(took); r.Requests == 0 {
		return r
	}
	slices.Sort(took)
	for _, t := range took {
		total += t
	}
	r.PerSecond = float64(r.Requests) / over.Seconds()
	r.Mean = milliseconds(total / time.Duration(len(took)))
	r.P50, r.P99, r.Max = milliseconds(Percentile(took, 50)), milliseconds(Percentile(took, 99)), milliseconds(took[len(took)-1])
	return r
}

// Percentile returns the smallest of sorted that p percent are not above.
func Percentile(sorted []time.Duration, p int) time.Duration {
	at := (len(sorted)*p+99)/100 - 1
	return sorted[max(at, 0)]
}

// Value returns size bytes of text that no other request has written, lest a
// store find that there is nothing to change.
func Value(random *rand.Rand, size int) string {
	return fmt.Sprintf("%0*x", size, random.Uint64())
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
