package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"landfall.dev/site/front"
	"landfall.dev/test/bench/load"
	"landfall.dev/test/bench/server"
	"landfall.dev/test/bench/wrk"
)

// contender is what requests go through.
type contender struct {
	name    string
	process *server.Server // nil for none
	address string
	turns   []turn
}

// contest is between ours, the peers and no proxy at all.
type contest struct {
	wrk   string
	door  frontDoor
	sides []contender
}

// round lets each contender have a turn with so many connections.
func (c *contest) round(ctx context.Context, m *measurement, connections int) error {
	for i := range c.sides {
		s := &c.sides[i]
		if _, err := c.load(ctx, s.address, connections, m.warm); err != nil {
			return err
		}
		profiled := make(chan error, 1)
		go func() { profiled <- c.profile(ctx, m, s.name, connections) }()
		var before time.Duration
		if s.process != nil {
			before = s.process.CPU()
		}
		r, err := c.load(ctx, s.address, connections, m.per)
		if err = errors.Join(err, <-profiled); err != nil {
			return err
		}
		t := turn{Result: r}
		if s.process != nil {
			t.servers = float64((s.process.CPU() - before).Microseconds()) / float64(r.Requests)
		}
		s.turns = append(s.turns, t)
	}
	return nil
}

// profile keeps a CPU profile of our turns.
func (c *contest) profile(ctx context.Context, m *measurement, name string, connections int) error {
	if m.profiles == "" || name != "ours" {
		return nil
	}
	if err := os.MkdirAll(m.profiles, 0o755); err != nil {
		return err
	}
	path := fmt.Sprintf("/debug/pprof/profile?seconds=%d", wrk.Seconds(m.per))
	b, err := c.door.tell(ctx, http.MethodGet, path)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(m.profiles, fmt.Sprintf("front-%d.pprof", connections)), b, 0o644)
}

// load runs wrk. It is an error if more than one in a thousand requests has
// failed.
func (c *contest) load(ctx context.Context, address string, connections int, span time.Duration) (load.Result, error) {
	r, err := wrk.Run(ctx, c.wrk, "http://"+address+"/api/items/1", connections, span)
	if err == nil && r.Failed*1000 > r.Requests {
		err = fmt.Errorf("%d of %d requests to %s failed", r.Failed, r.Requests, address)
	}
	return r, err
}

// crowded compares under the load of many connections.
func (c *contest) crowded(ctx context.Context, m *measurement) error {
	for range m.rounds {
		if err := c.round(ctx, m, frontConnections); err != nil {
			return err
		}
	}
	rate := func(t turn) float64 { return t.PerSecond }
	p99 := func(t turn) float64 { return t.P99 }
	ours, haproxy, caddy := c.sides[0].turns, c.sides[1].turns, c.sides[2].turns
	m.bar("requests", "requests a second, 64 connections, against HAProxy", median(ours, rate), median(haproxy, rate), atLeast(0.7))
	m.bar("requests-caddy", "the same against Caddy", median(ours, rate), median(caddy, rate), atLeast(2))
	m.bar("p99", "ms, 99th percentile of these, against Caddy", median(ours, p99), median(caddy, p99), atMost(1))
	for i := range c.sides {
		c.sides[i].report(m, fmt.Sprintf("%d connections", frontConnections))
	}
	return nil
}

// alone compares with one connection.
func (c *contest) alone(ctx context.Context, m *measurement) error {
	for i := range c.sides {
		c.sides[i].turns = nil
	}
	for range m.rounds {
		if err := c.round(ctx, m, 1); err != nil {
			return err
		}
	}
	p50 := func(t turn) float64 { return t.P50 }
	m.bar("added", "ms at the median that the front door adds to one connection's requests", median(c.sides[0].turns, p50)-median(c.sides[3].turns, p50), wantAdded, atMost(1))
	for i := range c.sides {
		c.sides[i].report(m, "one connection")
	}
	return nil
}

// report tells the contender's rates, times and costs.
func (s *contender) report(m *measurement, load string) {
	var rates []string
	for _, t := range s.turns {
		rates = append(rates, figure(t.PerSecond))
	}
	cost := ""
	if s.process != nil {
		cost = fmt.Sprintf(", CPU of a request %s µs in the proxy", digits(median(s.turns, func(t turn) float64 { return t.servers }), 3))
	}
	m.tell("%s, %s: %s a second by round, p50 %s ms, p99 %s ms%s", load, s.name, strings.Join(rates, ", "),
		figure(median(s.turns, func(t turn) float64 { return t.P50 })), figure(median(s.turns, func(t turn) float64 { return t.P99 })), cost)
}

// tell has the door do something, or asks it.
func (d frontDoor) tell(ctx context.Context, method, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, d.control+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("the front door answers %s %s: %s", path, res.Status, b)
	}
	return b, err
}

// allWait returns once n requests wait at the door.
func (d frontDoor) allWait(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, holdTime)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	var s front.State
	for s.Held < n {
		b, err := d.tell(ctx, http.MethodGet, "/state")
		if err == nil {
			err = json.Unmarshal(b, &s)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d requests wait after %v: %w", s.Held, n, holdTime, context.Cause(ctx))
		}
	}
	return nil
}

// middle is the median of values.
func middle(values []float64) float64 { return percentile(values, 50) }

// percentile is the smallest of values that p percent are not above, NaN if
// there are none.
func percentile(values []float64, p int) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	return s[max((len(s)*p+99)/100-1, 0)]
}

// milliseconds writes durations.
func milliseconds(ds []time.Duration) string {
	var all []string
	for _, d := range ds {
		all = append(all, figure(d.Seconds()*1000))
	}
	return strings.Join(all, ", ")
}
