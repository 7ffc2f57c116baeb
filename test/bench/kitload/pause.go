package main

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"
)

// paused is the result of pause. All times are in milliseconds.
type paused struct {
	Snapshots int `json:"snapshots"`
	// During is the longest write while a snapshot was made, the median over the
	// snapshots; Longest is the longest while any of them was; Between is the
	// longest between two of them, the median.
	During  float64 `json:"during"`
	Longest float64 `json:"longest"`
	Between float64 `json:"between"`
	// Took is how long a snapshot took, the median.
	Took float64 `json:"took"`
}

// pause writes one document after the other until a node has made snapshots,
// and measures how long a write waits meanwhile.
func pause(ctx context.Context, flags *flag.FlagSet, args []string) (paused, error) {
	var t target
	t.flags(flags)
	data := flags.String("data", "", "the data directory of the node")
	count := flags.Int("snapshots", 7, "how many snapshots to wait for")
	limit := flags.Duration("limit", 5*time.Minute, "how long to wait for them")
	if err := flags.Parse(args); err != nil {
		return paused{}, err
	}
	clients, err := t.clients(1)
	if err != nil {
		return paused{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, *limit, errors.New("the node made too few snapshots"))
	defer cancel()
	random := rand.New(rand.NewPCG(0, 0))
	var p phases
	for len(p.during) < *count || len(p.between) == 0 {
		began := time.Now()
		if _, err := clients[0].Update(ctx, t.any(random), t.body(random), 0); err != nil {
			return paused{}, errors.Join(err, context.Cause(ctx))
		}
		ended := time.Now()
		unfinished, err := filepath.Glob(filepath.Join(*data, "log", "snapshots", "*.tmp"))
		if err != nil {
			return paused{}, err
		}
		p.wrote(began, ended, len(unfinished) > 0)
	}
	return paused{len(p.during), median(p.during), slices.Max(p.during), median(p.between), median(p.took)}, nil
}

// phases are the longest writes while snapshots are made, and between them.
type phases struct {
	during, between []float64
	took            []float64 // of the snapshots

	making  bool      // whether a snapshot is being made
	since   time.Time // when that has begun; zero if that was not seen
	longest float64   // since then
}

// wrote notes a write, and whether a snapshot was being made at its end. One in
// which a snapshot begins or ends counts as during it.
func (p *phases) wrote(began, ended time.Time, making bool) {
	took := milliseconds(ended.Sub(began))
	if making == p.making || p.making {
		p.longest = max(p.longest, took)
	}
	if making == p.making {
		return
	}
	switch {
	case p.since.IsZero():
	case p.making:
		p.during, p.took = append(p.during, p.longest), append(p.took, milliseconds(ended.Sub(p.since)))
	default:
		p.between = append(p.between, p.longest)
	}
	p.making, p.since, p.longest = making, ended, 0
	if making {
		p.longest = took
	}
}
