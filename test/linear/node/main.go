// Command node is a node of the platform whose histories are checked. The
// kinds are small; all else is kit's own.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/platform"
)

// Register holds one number.
type Register struct {
	kit.Meta
	Value int64 `json:"value"`
}

// List holds numbers in the order in which they were appended.
type List struct {
	kit.Meta
	Values []int64 `json:"values"`
}

// Pair is one of two documents that always change together.
type Pair struct {
	kit.Meta
	Value int64 `json:"value"`
}

// Entry is a document that is made once and stays.
type Entry struct {
	kit.Meta
	Text string `json:"text"`
}

var (
	registers = kit.Define[Register]("registers")
	lists     = kit.Define[List]("lists")
	pairs     = kit.Define[Pair]("pairs")
	entries   = kit.Define[Entry]("entries")
)

func service() kit.Service {
	return kit.Service{Name: "linear", Owns: []kit.Owned{
		kit.Own[Register](registers, nil),
		kit.Own(lists, nextList, "append"),
		kit.Own[Pair](pairs, nil),
		kit.Own[Entry](entries, nil),
	}}
}

func nextList(l List, e kit.Event, _ time.Time) (List, []kit.Op) {
	if e.Name == "append" {
		var v int64
		if err := e.Into(&v); err != nil {
			return l, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
		l.Values = append(l.Values, v)
	}
	return l, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	config := platform.FromEnvironment()
	config.Schema = "linear-1"
	config.SnapshotEvery, config.SnapshotIn = 200, time.Second
	var err error
	if config.Grace, err = time.ParseDuration(os.Getenv("LINEAR_GRACE")); err != nil {
		return err
	}
	node, err := platform.New(config)
	if err != nil {
		return err
	}
	node.Add(service())
	return node.Run(ctx)
}
