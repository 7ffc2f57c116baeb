package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit/rest"
	"landfall.dev/test/bench/items"
	"landfall.dev/test/bench/load"
	"landfall.dev/test/bench/steady"
)

// What is demanded of live upgrades.
const (
	wantPauseP50 = 50  // ms
	wantPauseP99 = 100 // ms
	pauseNodes   = 3
	// writeConnections are those of the writers.
	writeConnections = 256
	// resting is the time before each upgrade.
	resting = 15 * time.Second
)

const pauseSetup = `Live upgrades are those of the product: a hub, the environment's agent with its
front door and the process engine, and three nodes on each side, each a process.
Each upgrade is a deployment of the next image; green's nodes are new ones, to
which all documents are copied anew. There is one more schema for each: the odd
steps rename a field and add one, the even ones rename it back and drop the
other. All the time a program updates documents through the front door, each at
its moment, %d a second, over %d connections of plain HTTP that try nothing
again. Before each upgrade they are left alone for %v, which the agent then takes
for the platform's own pace. The pause of an upgrade is the longest that an
update took which was under way at any time from the hold until the release. So
what an update takes without a pause is part of it; how late it was sent, because
all connections were busy, is told beside.`

// pause is one upgrade as it was seen.
type pause struct {
	steady.Seen
	upgrade api.Upgrade
	whole   steady.Seen // from the order to the end
	took    time.Duration
	before  steady.Seen // in the rest before
	given   error       // why it was given up, or nil
}

// measurePauses upgrades a platform again and again while it is written.
func measurePauses(ctx context.Context, m *measurement, program string) error {
	s, err := startSite(ctx, m, program, pauseNodes)
	if err != nil {
		return err
	}
	defer s.stop()
	m.setup = append(m.setup, fmt.Sprintf(pauseSetup, m.writes, writeConnections, resting))
	d, err := s.deploy(ctx, 1)
	if err == nil && d.State != api.DeploymentPassed {
		err = errors.New(d.Error)
	}
	if err != nil {
		return fmt.Errorf("the first deployment: %w", err)
	}
	token, err := s.file(ctx, s.agent.Server, filepath.Join(s.data("agent"), "groups", "*", "0", "admin.token"))
	if err != nil {
		return err
	}
	c, err := rest.NewClient(s.front, token, rest.ClientOptions{})
	if err != nil {
		return err
	}
	documents := m.upgraded()
	if err := items.Fill(ctx, c, documents); err != nil {
		return err
	}
	w := steady.Start(ctx, steady.Plan{PerSecond: m.writes, Connections: writeConnections}, updates(s.front, token, documents))
	defer w.Stop()
	pauses, err := s.upgrades(ctx, w)
	if err != nil {
		return err
	}
	w.Stop()
	judgePauses(m, pauses, w)
	return nil
}

// updates changes one of so many documents at the URL, and tries nothing
// again.
func updates(url, token string, documents int) steady.Op {
	h := &http.Client{
		Transport: &http.Transport{MaxIdleConns: writeConnections, MaxIdleConnsPerHost: writeConnections, DisableCompression: true},
		Timeout:   time.Minute,
	}
	return func(ctx context.Context, random *rand.Rand) error {
		n := random.IntN(documents)
		req, err := http.NewRequestWithContext(ctx, http.MethodPatch, url+"/api/"+string(items.Link(n)), bytes.NewReader(items.Change(random.Int(), n)))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/merge-patch+json")
		res, err := h.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", res.Status, answer)
		}
		return err
	}
}

// upgrades makes all upgrades, one after the other.
func (s *site) upgrades(ctx context.Context, w *steady.Load) ([]pause, error) {
	var pauses []pause
	for i := range s.m.upgrades {
		rested := time.Now()
		if err := settle(ctx, rested.Add(resting)); err != nil {
			return nil, err
		}
		began := time.Now()
		u, err := s.upgrade(ctx, i+2)
		if err != nil && !errors.Is(err, errNotUpgraded) {
			return nil, err
		}
		p := pause{upgrade: u, given: err, took: time.Since(began)}
		if err == nil {
			from, _ := entered(u, api.UpgradeHolding)
			to, _ := entered(u, api.UpgradeReleased)
			if err := settle(ctx, to.Add(time.Second)); err != nil {
				return nil, err
			}
			p.before, p.Seen, p.whole = w.During(rested, began), w.During(from, to), w.During(began, time.Now())
		}
		fmt.Fprintln(s.m.out, p)
		pauses = append(pauses, p)
	}
	return pauses, nil
}

// settle waits for what is under way to be answered.
func settle(ctx context.Context, until time.Time) error {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// String tells of one upgrade.
func (p pause) String() string {
	if p.given != nil {
		return fmt.Sprintf("after %.1f s: %v", p.took.Seconds(), p.given)
	}
	ms := func(d time.Duration) string { return figure(d.Seconds() * 1000) }
	var states []string
	for i, h := range p.upgrade.History {
		if i > 0 {
			states = append(states, fmt.Sprintf("%s %s", p.upgrade.History[i-1].State, ms(h.At.Sub(p.upgrade.History[i-1].At))))
		}
	}
	return fmt.Sprintf("upgrade in %.1f s, %d cycles: the longest update took %s ms (%s before the hold, %s after it), none was answered for %s ms; recorded %s ms, predicted %s ms; 99 %% answered within %s ms before, %s ms while it copied (ms in each state: %s)",
		p.took.Seconds(), len(p.upgrade.Cycles), ms(p.Longest), ms(p.Before), ms(p.After), ms(p.Gap), ms(p.upgrade.Pause.Std()), ms(p.upgrade.Predicted.Std()),
		ms(p.upgrade.Sparing.Base.Std()), ms(p.upgrade.Sparing.P99.Std()), strings.Join(states, ", "))
}

// judgePauses makes the bars of what was seen.
func judgePauses(m *measurement, pauses []pause, w *steady.Load) {
	var longest, due, gaps, recorded, predicted, took, before, whole []float64
	for _, p := range pauses {
		if p.given != nil {
			longest = append(longest, math.Inf(1))
			continue
		}
		ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
		longest, due, gaps = append(longest, ms(p.Longest)), append(due, ms(p.Due)), append(gaps, ms(p.Gap))
		recorded, predicted = append(recorded, ms(p.upgrade.Pause.Std())), append(predicted, ms(p.upgrade.Predicted.Std()))
		took, before, whole = append(took, p.took.Seconds()), append(before, ms(p.before.Longest)), append(whole, ms(p.whole.Longest))
	}
	answered, failed, failure := w.Outcome()
	what := fmt.Sprintf("ms, the longest that an update took which was held, %%s of %d upgrades of %s documents", len(pauses), count(m.upgraded()))
	m.bar("pause-p50", fmt.Sprintf(what, "median"), percentile(longest, 50), wantPauseP50, atMost(1))
	m.bar("pause-p99", fmt.Sprintf(what, "99th percentile"), percentile(longest, 99), wantPauseP99, atMost(1))
	m.bar("pause-failures", "updates that failed, of all", float64(failed), float64(answered+failed), atMost(0))
	if failure != "" {
		m.tell("the first of them failed by: %s", failure)
	}
	for _, s := range []struct {
		what   string
		values []float64
	}{
		{"pauses, ms", longest}, {"pauses from when updates were due, ms", due}, {"times without an answer to anybody, ms", gaps},
		{"pauses that the upgrades recorded, ms", recorded}, {"pauses that they predicted, ms", predicted},
		{"from the order until green was in charge, s", took}, {"the longest that an update took in all that time, ms", whole},
		{"the longest that one took in the rest before, ms", before},
	} {
		if len(s.values) > 0 {
			m.tell("%s: p50 %s, p99 %s", s.what, figure(percentile(s.values, 50)), figure(percentile(s.values, 99)))
		}
	}
	if took, late := w.Times(); len(took) > 0 {
		ms := func(all []time.Duration, p int) string { return figure(load.Percentile(all, p).Seconds() * 1000) }
		m.tell("all %d updates: p50 %s ms, p99 %s ms; sent late by p50 %s ms, p99 %s ms", len(took), ms(took, 50), ms(took, 99), ms(late, 50), ms(late, 99))
	}
}
