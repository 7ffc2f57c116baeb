package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, groups, os.Args[1:], os.Stdout, os.Stderr))
}

// page is where the results are kept, seen from the checkout.
const page = "doc/benchmarks.md"

// run measures what args say of table and returns the exit code: 1 if a bar is
// missed or something failed, 2 if args are wrong.
func run(ctx context.Context, table []group, args []string, out, errs io.Writer) int {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(errs)
	var o options
	only := f.String("only", "", "the group to measure; empty for all")
	report := f.String("report", page, "the page to write; empty for none")
	notes := f.String("notes", "test/bench/notes", "the directory of the notes why bars are missed")
	f.StringVar(&o.only, "bars", "", "the bars to measure, with commas between; empty for all. The page is written only with all")
	f.StringVar(&o.profiles, "profiles", "", "a directory for profiles of our side")
	f.IntVar(&o.documents, "documents", 10_000_000, "how many documents a node holds")
	f.IntVar(&o.watchers, "watchers", 10_000, "how many clients watch a node")
	f.IntVar(&o.upgrades, "upgrades", 20, "how many live upgrades are made under load")
	f.IntVar(&o.writes, "writes", 2000, "how many writes a second there are meanwhile")
	f.IntVar(&o.held, "held", 10_000, "how many requests wait at the front door")
	f.IntVar(&o.rounds, "rounds", 3, "how often ours and the peer take turns")
	f.DurationVar(&o.warm, "warm", 2*time.Second, "the time before requests count")
	f.DurationVar(&o.per, "for", 8*time.Second, "the time in which requests count")
	if err := f.Parse(args); err != nil {
		return 2
	}
	selected, err := chosen(table, *only)
	if err != nil {
		fmt.Fprintln(errs, "bench:", err)
		return 2
	}
	f.Visit(func(given *flag.Flag) {
		if given.Name != "only" {
			o.command = "go run ./test/bench " + strings.Join(args, " ")
		}
	})
	code := 0
	for _, g := range selected {
		m, err := g.measure(ctx, o, out)
		if err == nil && m != nil && *report != "" && o.only == "" {
			err = m.write(*report, *notes)
		}
		if err != nil {
			fmt.Fprintln(errs, "bench:", err)
			code = 1
		}
		if m != nil && m.missed() {
			code = 1
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return 1
		}
	}
	return code
}
