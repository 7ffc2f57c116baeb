package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

// target is the running ledger that a command works on: what an agent tells
// the tests of a deployment, or flags.
type target struct{ url, token string }

func (t *target) flags(f *flag.FlagSet) {
	f.StringVar(&t.url, "url", os.Getenv("LANDFALL_TARGET"), "address of the ledger")
	f.StringVar(&t.token, "token", os.Getenv("LANDFALL_TOKEN"), "its token, or @FILE")
}

func (t *target) client() (kit.Client, error) {
	if path, ok := strings.CutPrefix(t.token, "@"); ok {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		t.token = strings.TrimSpace(string(b))
	}
	return rest.NewClient(t.url, t.token, rest.ClientOptions{})
}

// smoke opens two accounts, moves money between them in both directions and
// looks at the balances.
func smoke(ctx context.Context, args []string) error {
	var t target
	f := flag.NewFlagSet("smoke", flag.ContinueOnError)
	t.flags(f)
	if err := f.Parse(args); err != nil {
		return err
	}
	c, err := t.client()
	if err != nil {
		return err
	}
	for _, id := range []string{"smoke-a", "smoke-b"} {
		_, err := Accounts.Create(ctx, c, id, newAccount("smoke", 1000))
		if err != nil && !errors.Is(err, kit.ErrConflict) {
			return err
		}
	}
	s := sender{url: t.url, token: t.token}
	for i, o := range []Order{
		{From: "smoke-a", To: "smoke-b", Amount: "2.50"},
		{From: "smoke-b", To: "smoke-a", Amount: "2.50"},
	} {
		o.ID = fmt.Sprintf("smoke-%d", i)
		if err := s.send(ctx, o); err != nil {
			return err
		}
	}
	for _, id := range []string{"smoke-a", "smoke-b"} {
		a, err := Accounts.Read(ctx, c, id)
		if err != nil {
			return err
		}
		if got, err := a.cents(); err != nil || got != 1000 {
			return fmt.Errorf("account %s has %d cents after money went both ways, not 1000 (%v)", id, got, err)
		}
	}
	fmt.Println("smoke test passed: two transfers, both balances right")
	return nil
}

// seed fills the ledger with accounts, in batches.
func seed(ctx context.Context, args []string) error {
	var t target
	f := flag.NewFlagSet("seed", flag.ContinueOnError)
	t.flags(f)
	count := f.Int("count", 200_000, "how many accounts")
	if err := f.Parse(args); err != nil {
		return err
	}
	c, err := t.client()
	if err != nil {
		return err
	}
	const size = 1000
	for from := 0; from < *count; from += size {
		var writes []kit.Write
		for i := from; i < min(from+size, *count); i++ {
			body, err := json.Marshal(newAccount(fmt.Sprintf("owner %d", i), 100_000))
			if err != nil {
				return err
			}
			writes = append(writes, kit.Write{Verb: kit.VerbCreate, Link: Accounts.Link(fmt.Sprintf("a%d", i)), Body: body})
		}
		if _, err := c.Batch(ctx, writes); err != nil && !errors.Is(err, kit.ErrConflict) {
			return err
		}
		if done := from + len(writes); done%(size*20) == 0 || done == *count {
			fmt.Print(progress(done, *count))
		}
	}
	return nil
}

// progress draws how many accounts there are: on a terminal over the bar
// before, elsewhere as a line of its own.
func progress(done, count int) string {
	full := 30 * done / count
	bar := fmt.Sprintf("[%s%s] %d of %d accounts", strings.Repeat("#", full), strings.Repeat(" ", 30-full), done, count)
	out, err := os.Stdout.Stat()
	if err == nil && out.Mode()&os.ModeCharDevice != 0 && done < count {
		return bar + "\r"
	}
	return bar + "\n"
}
