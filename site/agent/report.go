package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// reporter keeps the hub's copies of statuses and upgrades up to date. The hub
// may be away for any time; then it gets the latest ones.
type reporter struct {
	client kit.Client
	hub    kit.Client
	log    *slog.Logger

	mu      sync.Mutex
	pending map[kit.Link]report // by the link at the hub
	news    chan struct{}
}

// report is a document for the hub.
type report struct {
	source kit.Record // the own document that it is made of
	body   json.RawMessage
}

// keepOrders is how long deployments are remembered after the hub knows how
// they have ended.
const keepOrders = 7 * 24 * time.Hour

// reportID is the id of a document at the hub that tells of the own one with
// the id; agents may only write such ids.
func reportID(environment, id string) string { return environment + "~" + id }

// run reports until ctx ends.
func (r *reporter) run(ctx context.Context) error {
	var g sync.WaitGroup
	defer g.Wait()
	g.Go(func() { r.watch(ctx, orders.Name, r.ofOrder) })
	g.Go(func() { r.watch(ctx, api.Upgrades.Name, r.ofUpgrade) })
	wait := pause{first: hubPause, longest: longHubPause}
	for sleep(ctx, lookAgain, r.news) {
		for r.round(ctx) != nil && sleep(ctx, wait.longer(), nil) {
		}
		wait.reset()
	}
	return nil
}

// watch notes what has to be reported of the kind's documents, of which all
// that exist come first.
func (r *reporter) watch(ctx context.Context, kind string, tell func(kit.Record) (kit.Link, json.RawMessage, error)) {
	wait := pause{first: hubPause, longest: longHubPause}
	for ctx.Err() == nil {
		for ch, err := range r.client.Watch(ctx, kit.WatchQuery{Kind: kind}) {
			if err != nil {
				r.log.Debug("watch ended", "kind", kind, "error", err)
				break
			}
			wait.reset()
			if ch.Record.Deleted {
				continue
			}
			link, body, err := tell(ch.Record)
			if err != nil {
				r.log.Error("document could not be read", "link", ch.Record.Link, "error", err)
				continue
			}
			r.mu.Lock()
			r.pending[link] = report{ch.Record, body}
			r.mu.Unlock()
			wake(r.news)
		}
		sleep(ctx, wait.longer(), nil)
	}
}

func (r *reporter) ofOrder(rec kit.Record) (kit.Link, json.RawMessage, error) {
	o, err := orders.Decode(rec)
	if err != nil {
		return "", nil, err
	}
	body, err := json.Marshal(o.status())
	return api.Statuses.Link(reportID(o.Environment, rec.Link.ID())), body, err
}

func (r *reporter) ofUpgrade(rec kit.Record) (kit.Link, json.RawMessage, error) {
	u, err := api.Upgrades.Decode(rec)
	return api.Upgrades.Link(reportID(u.Environment, rec.Link.ID())), rec.Body, err
}

// round sends all that is pending, in the order in which it came about. It stops at the first document that the hub
// does not take now.
func (r *reporter) round(ctx context.Context) error {
	r.mu.Lock()
	batch := maps.Clone(r.pending)
	r.mu.Unlock()
	inOrder := func(a, b kit.Link) int { return cmp.Compare(batch[a].source.Seq, batch[b].source.Seq) }
	for _, link := range slices.SortedFunc(maps.Keys(batch), inOrder) {
		p := batch[link]
		err := put(ctx, r.hub, link, p.body)
		if f := kit.FaultOf(err); f == kit.ErrInvalid || f == kit.ErrTooLarge {
			r.log.Error("the hub does not want a report", "link", link, "error", err)
			err = nil
		}
		if err == nil {
			err = r.remember(ctx, p.source)
		}
		if err != nil {
			level := slog.LevelDebug // the follower says that the hub is away
			if !kit.Temporary(err) {
				level = slog.LevelError
			}
			r.log.Log(ctx, level, "report is sent again", "link", link, "error", err)
			return err
		}
		r.mu.Lock()
		if r.pending[link].source.Version == p.source.Version {
			delete(r.pending, link)
		}
		r.mu.Unlock()
	}
	return nil
}

// remember lets an order expire whose end the hub knows, if nothing depends on
// it: releases are remembered for ever.
func (r *reporter) remember(ctx context.Context, rec kit.Record) error {
	if rec.Kind != orders.Name || !rec.Expires.IsZero() {
		return nil
	}
	o, err := orders.Decode(rec)
	if err != nil || !o.State.over() || o.Deployment == "" {
		return err
	}
	patch, err := json.Marshal(map[string]time.Time{"expires": time.Now().UTC().Add(keepOrders)})
	if err != nil {
		return err
	}
	_, err = r.client.Update(ctx, rec.Link, patch, 0)
	if errors.Is(err, kit.ErrNotFound) {
		return nil
	}
	return err
}

// put makes the document at link have the body's fields and no others.
func put(ctx context.Context, c kit.Client, link kit.Link, body json.RawMessage) error {
	old, err := c.Read(ctx, link, kit.ReadOptions{})
	if errors.Is(err, kit.ErrNotFound) {
		_, err = c.Create(ctx, link.Kind(), link.ID(), body)
		return err
	}
	if err != nil {
		return err
	}
	patch, err := kit.DiffPatch(old.Body, body)
	if err != nil || string(patch) == "{}" {
		return err
	}
	_, err = c.Update(ctx, link, patch, old.Version)
	return err
}
