package shared

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"landfall.dev/kit"
)

const (
	look      = time.Second      // how often the voters are looked at
	passEvery = 10 * time.Minute // how often the blobs are gone through
	passAgain = 10 * time.Second // when a pass has met a node that does not answer
	atOnce    = 4                // blobs that are fetched at the same time
)

// tend goes through the blobs whenever there may be something to do.
func (b *Blobs) tend(ctx context.Context) error {
	ticks := time.NewTicker(look)
	defer ticks.Stop()
	var voters, told string
	var next time.Time
	for {
		if now := b.voters(); now != "" && (now != voters || time.Now().After(next)) {
			voters, next = now, time.Now().Add(passEvery)
			err := b.pass(ctx)
			if kit.Temporary(err) {
				next = time.Now().Add(passAgain)
			}
			if err != nil && ctx.Err() == nil && err.Error() != told {
				b.config.Logger.Warn("went through the blobs in part", "error", err)
			}
			told = fmt.Sprint(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

// voters returns who votes, empty while that is unknown.
func (b *Blobs) voters() string {
	nodes, _ := b.config.Cluster.Nodes()
	var ids []string
	for _, n := range nodes {
		if n.Voter {
			ids = append(ids, n.ID)
		}
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// pass fetches, if this node votes, what documents name and it lacks, and
// removes what none has named for long.
func (b *Blobs) pass(ctx context.Context) error {
	if err := b.config.Cluster.CatchUp(ctx); err != nil {
		return &kit.Error{Fault: kit.ErrUnavailable, Detail: "not all documents are here yet", Err: err}
	}
	named, complete, err := b.config.Cluster.Named()
	if err != nil {
		return err
	}
	held := b.shelf.all()
	for _, d := range held {
		if err := b.review(ctx, d, named[d], complete); err != nil {
			return err
		}
		delete(named, d)
	}
	nodes, self := b.config.Cluster.Nodes()
	if !slices.ContainsFunc(nodes, func(n Node) bool { return n.ID == self && n.Voter }) {
		return nil // it fetches what it is asked for
	}
	return b.fetchAll(ctx, named)
}

// review keeps or removes a blob of this node's.
func (b *Blobs) review(ctx context.Context, d kit.Digest, named, complete bool) error {
	if named {
		err := b.shelf.touch(d)
		if errors.Is(err, kit.ErrNotFound) {
			return nil
		}
		return err
	}
	if !complete {
		return nil
	}
	gone, err := b.shelf.expire(ctx, d, time.Now().Add(-b.config.Unnamed))
	if gone && err == nil {
		b.config.Logger.Debug("removed a blob that no document names", "digest", d)
	}
	return err
}

// fetchAll fetches what is missing, as far as it can be had.
func (b *Blobs) fetchAll(ctx context.Context, missing map[kit.Digest]bool) error {
	var g errgroup.Group
	g.SetLimit(atOnce)
	var mu sync.Mutex
	var first error
	failed, temporary := 0, false
	for d := range missing {
		g.Go(func() error {
			err := b.fetch(ctx, d)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed++
				temporary = temporary || kit.Temporary(err)
				if first == nil {
					first = err
				}
			}
			return nil
		})
	}
	_ = g.Wait()
	if failed == 0 {
		return nil
	}
	fault := kit.ErrNotFound
	if temporary {
		fault = kit.ErrUnavailable
	}
	return &kit.Error{Fault: fault, Detail: fmt.Sprintf("%d blobs that documents name are missing here", failed), Err: first}
}
