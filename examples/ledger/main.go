package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"landfall.dev/kit/platform"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ledger:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return serve(ctx)
	}
	switch args[0] {
	case "smoke":
		return smoke(ctx, args[1:])
	case "seed":
		return seed(ctx, args[1:])
	case "load":
		return load(ctx, args[1:])
	}
	return fmt.Errorf("there is no command %q: use smoke, seed or load, or none to run a node", args[0])
}

func serve(ctx context.Context) error {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	config := platform.FromEnvironment()
	config.Schema, config.Blobs = schema, paperBytes
	node, err := platform.New(config)
	if err != nil {
		return err
	}
	node.Add(Service(node.Client("services/ledger")))
	return node.Run(ctx)
}
