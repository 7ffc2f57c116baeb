// Command kitload is a small platform, the load that the benchmarks of kit
// put on it, and what they measure inside of one process.
//
//	kitload node                        run a node, as KIT_LISTEN and the like say
//	kitload fill -urls A,B,C -token T   make the documents
//	kitload load -urls A,B,C -op ...    ask for them, by many clients at once
//	kitload watch -urls A               watch by many clients, and wait for a change
//	kitload pause -urls A -data DIR     write while the node makes snapshots
//	kitload hold -documents N           hold documents in memory and measure that
//
// Each but node prints its result as JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "kitload:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say what to do: node, fill, load, watch, pause or hold")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	var result any
	var err error
	switch args[0] {
	case "node":
		return node(ctx, flags, args[1:])
	case "fill":
		result, err = fill(ctx, flags, args[1:])
	case "load":
		result, err = ask(ctx, flags, args[1:])
	case "watch":
		result, err = watch(ctx, flags, args[1:])
	case "pause":
		result, err = pause(ctx, flags, args[1:])
	case "hold":
		result, err = hold(ctx, flags, args[1:])
	default:
		err = fmt.Errorf("there is no command %q: use node, fill, load, watch, pause or hold", args[0])
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}
