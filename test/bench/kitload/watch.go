package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"landfall.dev/kit"
)

// watched is the result of watch.
type watched struct {
	Watchers int `json:"watchers"`
	// Opened is how long it took until all watched, Told how long it took from
	// a change until all had it, both in seconds.
	Opened float64 `json:"opened"`
	Told   float64 `json:"told"`
}

// watch opens many watches, makes a change and waits until all have seen it.
func watch(ctx context.Context, flags *flag.FlagSet, args []string) (watched, error) {
	var t target
	var w watched
	t.flags(flags)
	flags.IntVar(&w.Watchers, "watchers", 10000, "how many clients watch")
	limit := flags.Duration("limit", 5*time.Minute, "the time after which all has failed")
	if err := flags.Parse(args); err != nil {
		return w, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, *limit, fmt.Errorf("not all watches have seen the change after %v", *limit))
	defer cancel()
	clients, err := t.clients(w.Watchers)
	if err != nil {
		return w, err
	}
	ready, done := make(chan struct{}, len(clients)), make(chan struct{}, len(clients))
	g, watching := errgroup.WithContext(ctx)
	first, err := signals.Create(ctx, clients[0], "", Signal{Text: "ready"})
	if err != nil {
		return w, err
	}
	began := time.Now()
	for _, c := range clients {
		g.Go(func() error { return await(watching, c, first.Link, ready, done) })
	}
	if err := all(watching, ready, len(clients)); err != nil {
		return w, errors.Join(err, g.Wait())
	}
	w.Opened = time.Since(began).Seconds()
	began = time.Now()
	if _, err := clients[0].Update(ctx, first.Link, []byte(`{"text":"changed"}`), 0); err != nil {
		return w, err
	}
	err = all(watching, done, len(clients))
	w.Told = time.Since(began).Seconds()
	return w, errors.Join(err, g.Wait())
}

// await tells by ready that the watch shows the document, and by done that it
// shows the change.
func await(ctx context.Context, c kit.Client, link kit.Link, ready, done chan<- struct{}) error {
	for ch, err := range c.Watch(ctx, kit.WatchQuery{Kind: signals.Name}) {
		switch {
		case err != nil:
			return err
		case ch.Record.Link != link:
		case ch.Record.Version == 1:
			ready <- struct{}{}
		default:
			done <- struct{}{}
			return nil
		}
	}
	return context.Cause(ctx)
}

// all waits for n of c.
func all(ctx context.Context, c <-chan struct{}, n int) error {
	for range n {
		select {
		case <-c:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
