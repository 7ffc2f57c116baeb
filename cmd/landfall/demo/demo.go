package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Config says what to play with.
type Config struct {
	Landfall, Ledger string // the binaries
	Source           string // the checkout
	Dir              string // for everything; empty makes a temporary one
	Engine           string // docker or process
	Documents        int
	Rate             int // requests per second
	Keep             bool

	hub string // address
}

func (c Config) hubURL() string { return "http://" + c.hub }

// errBroken tells that the path did not end as it must.
var errBroken = errors.New("the demo did not end as it must")

// Play plays the whole path and returns an error if any of it fails, or any
// request failed or was lost.
func Play(ctx context.Context, c Config, out io.Writer) error {
	if c.Dir == "" {
		dir, err := os.MkdirTemp("", "landfall-demo-")
		if err != nil {
			return err
		}
		c.Dir = dir
	}
	var err error
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return err
	}
	if found, err := os.ReadDir(c.Dir); err == nil && len(found) > 0 {
		return fmt.Errorf("%s is not empty: the demo starts anew, name another directory by --dir", c.Dir)
	}
	if c.Source, err = filepath.Abs(c.Source); err != nil {
		return err
	}
	if c.hub, err = freeAddress(); err != nil {
		return err
	}
	s := &stage{Config: c, out: out, started: time.Now()}
	err = s.play(ctx)
	if err != nil {
		fmt.Fprintf(out, "\nThe logs are in %s\n", s.path("logs"))
	}
	if c.Keep && err == nil {
		fmt.Fprintf(out, "\nIt all keeps running: open %s and sign in with the token in %s\nPress Ctrl-C to end it.\n", s.hubURL(), s.path("hub/admin.token"))
		<-ctx.Done()
	}
	s.clear(context.WithoutCancel(ctx))
	if err == nil && !c.Keep {
		return os.RemoveAll(c.Dir)
	}
	return err
}

// play is the path, act by act.
func (s *stage) play(ctx context.Context) error {
	s.say("preparing: a module proxy of this checkout, the ledger's sources, a warm build cache (engine: %s)", s.Engine)
	tools, err := s.prepare(ctx)
	if err != nil {
		return err
	}
	p := &play{stage: s}
	for _, act := range []func(context.Context) error{
		func(ctx context.Context) error { return p.raise(ctx, tools) },
		p.deliverFirst, p.fill, p.refuse, p.fail, p.pass, p.land, p.upgrade, p.account,
	} {
		ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("this act takes too long"))
		err := act(ctx)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}
