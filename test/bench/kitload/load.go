package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"landfall.dev/kit"
	"landfall.dev/kit/rest"
	"landfall.dev/test/bench/load"
)

// target is the cluster that is asked, and what for.
type target struct {
	urls  []string
	token string
	keys  int
	size  int
	// separate gives each user a client that coalesces nothing.
	separate bool
}

// flags makes flags of t.
func (t *target) flags(f *flag.FlagSet) {
	f.Func("urls", "the nodes' addresses, with commas between", func(s string) error {
		t.urls = strings.Split(s, ",")
		return nil
	})
	f.StringVar(&t.token, "token", "", "the token of the clients")
	f.IntVar(&t.keys, "keys", 10000, "how many documents there are")
	f.IntVar(&t.size, "size", 256, "the bytes of a document's value")
	f.BoolVar(&t.separate, "separate", false, "give each client its own connection, instead of calls that share requests")
}

// clients returns a client for each of n users. Those who begin at the same
// node share one, as the users of a program do, and it coalesces their calls;
// or with separate each has one, and a connection, of its own.
func (t *target) clients(n int) ([]kit.Client, error) {
	if len(t.urls) == 0 {
		return nil, errors.New("say by -urls where the nodes are")
	}
	transport := &http.Transport{MaxIdleConns: n, MaxIdleConnsPerHost: n}
	clients := make([]kit.Client, n)
	for i := range clients {
		if i >= len(t.urls) && !t.separate {
			clients[i] = clients[i%len(t.urls)]
			continue
		}
		first := i % len(t.urls)
		urls := slices.Concat(t.urls[first:], t.urls[:first])
		c, err := rest.NewClient(strings.Join(urls, ","), t.token, rest.ClientOptions{Transport: transport, Coalesce: !t.separate})
		if err != nil {
			return nil, err
		}
		clients[i] = c
	}
	return clients, nil
}

func (t *target) body(random *rand.Rand) []byte {
	return fmt.Appendf(nil, `{"value":%q}`, load.Value(random, t.size))
}

// filled is the result of fill.
type filled struct {
	Documents int     `json:"documents"`
	Seconds   float64 `json:"seconds"`
}

// fill makes the documents, a thousand in a batch.
func fill(ctx context.Context, flags *flag.FlagSet, args []string) (filled, error) {
	var t target
	t.flags(flags)
	if err := flags.Parse(args); err != nil {
		return filled{}, err
	}
	const writers, batch = 4, 1000
	clients, err := t.clients(writers)
	if err != nil {
		return filled{}, err
	}
	began := time.Now()
	var next atomic.Int64
	body := t.body(rand.New(rand.NewPCG(0, 0)))
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range clients {
		g.Go(func() error {
			for {
				from := int(next.Add(batch)) - batch
				if from >= t.keys {
					return nil
				}
				var writes []kit.Write
				for n := from; n < min(from+batch, t.keys); n++ {
					writes = append(writes, kit.Write{Verb: kit.VerbCreate, Link: items.Link(strconv.Itoa(n + 1)), Body: body})
				}
				if _, err := c.Batch(ctx, writes); err != nil {
					return err
				}
			}
		})
	}
	err = g.Wait()
	return filled{t.keys, time.Since(began).Seconds()}, err
}

// ask loads the cluster with one kind of request.
func ask(ctx context.Context, flags *flag.FlagSet, args []string) (load.Result, error) {
	var t target
	var p load.Plan
	t.flags(flags)
	name := flags.String("op", "update", "update, linearizable, leader or eventual")
	flags.IntVar(&p.Clients, "clients", 64, "how many clients ask at once")
	flags.DurationVar(&p.Warm, "warm", 2*time.Second, "the time before requests count")
	flags.DurationVar(&p.For, "for", 8*time.Second, "the time in which requests count")
	if err := flags.Parse(args); err != nil {
		return load.Result{}, err
	}
	clients, err := t.clients(p.Clients)
	if err != nil {
		return load.Result{}, err
	}
	op, err := t.op(*name, clients)
	if err != nil {
		return load.Result{}, err
	}
	return load.Run(ctx, p, op)
}

// op returns the operation with the name.
func (t *target) op(name string, clients []kit.Client) (load.Op, error) {
	switch name {
	case "update":
		return func(ctx context.Context, client int, random *rand.Rand) error {
			_, err := clients[client].Update(ctx, t.any(random), t.body(random), 0)
			return err
		}, nil
	case "linearizable", "leader", "eventual":
		how := kit.ReadOptions{Consistency: kit.Consistency(name)}
		return func(ctx context.Context, client int, random *rand.Rand) error {
			r, err := clients[client].Read(ctx, t.any(random), how)
			if err == nil && len(r.Body) != t.size+len(`{"value":""}`) {
				err = fmt.Errorf("%s has not the value that was written: %s", r.Link, json.RawMessage(r.Body))
			}
			return err
		}, nil
	}
	return nil, fmt.Errorf("there is no operation %q: use update, linearizable, leader or eventual", name)
}

// any returns the link of one of the documents.
func (t *target) any(random *rand.Rand) kit.Link {
	return items.Link(strconv.Itoa(random.IntN(t.keys) + 1))
}
