package main

import (
	"context"
	"encoding/json"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"

	"golang.org/x/sync/errgroup"

	"landfall.dev/site/front"
)

// spare are the files that a process has open beside those of its clients.
const spare = 1000

// door runs a front door until ctx ends.
func door(ctx context.Context, flags *flag.FlagSet, args []string) error {
	listen := flags.String("listen", "127.0.0.1:0", "the address of the front door")
	backend := flags.String("backend", "", "the address of the backend")
	control := flags.String("control", "127.0.0.1:0", "the address to hold and open it by")
	clients := flags.Uint64("clients", 10_000, "how many connections it gets")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := descriptors(*clients + spare); err != nil {
		return err
	}
	controlled, err := net.Listen("tcp", *control) // first: who finds the door finds this
	if err != nil {
		return err
	}
	defer controlled.Close()
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	route := front.Route{Epoch: 1, Side: "blue", Backends: []string{*backend}}
	d := front.New(front.Options{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err := d.Open(route); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.Run(ctx, l) })
	g.Go(func() error { return serve(ctx, controlled, controls(d, route)) })
	return g.Wait()
}

// controls holds and opens d for route.
func controls(d *front.Door, route front.Route) http.Handler {
	do := func(f func(context.Context) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if err := f(r.Context()); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			_ = json.NewEncoder(w).Encode(d.State())
		}
	}
	m := http.NewServeMux()
	m.Handle("POST /hold", do(d.Hold))
	m.Handle("POST /open", do(func(context.Context) error { return d.Open(route) }))
	m.Handle("GET /state", do(func(context.Context) error { return nil }))
	m.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	return m
}
