package main

import (
	"context"
	"flag"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"os"

	"landfall.dev/kit"
	"landfall.dev/kit/platform"
)

// Item is what a node keeps: as simple as a document can be.
type Item struct {
	kit.Meta
	Value string `json:"value"`
	Group string `json:"group,omitempty"`
}

// Signal is what is watched.
type Signal struct {
	kit.Meta
	Text string `json:"text"`
}

var (
	items   = kit.Define[Item]("items")
	indexed = kit.Define[Item]("indexed", kit.Index("group"))
	signals = kit.Define[Signal]("signals")
)

const subject = "services/bench"

// service declares the kinds, and the profiles of the process for who has a
// token.
func service() kit.Service {
	return kit.Service{
		Name: "bench",
		Owns: []kit.Owned{kit.Own(items, nil), kit.Own(indexed, nil), kit.Own(signals, nil)},
		Serves: []kit.Route{
			{Pattern: "GET /debug/pprof/profile", Handler: http.HandlerFunc(pprof.Profile)},
			{Pattern: "GET /debug/pprof/trace", Handler: http.HandlerFunc(pprof.Trace)},
		},
	}
}

// node runs a node until ctx ends.
func node(ctx context.Context, flags *flag.FlagSet, args []string) error {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	config := platform.FromEnvironment()
	config.Schema = "bench"
	flags.Uint64Var(&config.SnapshotEvery, "snapshot-every", 0, "after how many entries a snapshot is made; 0 for what is usual")
	flags.DurationVar(&config.SnapshotIn, "snapshot-in", 0, "how often they are counted; 0 for what is usual")
	if err := flags.Parse(args); err != nil {
		return err
	}
	n, err := platform.New(config)
	if err != nil {
		return err
	}
	n.Add(service())
	return n.Run(ctx)
}
