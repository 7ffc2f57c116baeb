package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
)

// ledger runs a client command of the platform.
func (s *stage) ledger(ctx context.Context, args ...string) error {
	fmt.Fprintf(s.out, "  demo $ ledger %s\n", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, s.Ledger, args...)
	if s.terminal() {
		cmd.Stdout, cmd.Stderr = s.out, s.out
		return cmd.Run()
	}
	_, err := s.run(cmd, true)
	return err
}

// fetch returns what a URL answers.
func fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// report is what the load prints at its end.
type report struct {
	Seconds       float64
	Sent, Writes  int
	Failed, Lost  int
	P50, P99, Max float64
	Failures      []string
}

// account prints what the upgrade cost, as the clients saw it. Any request
// that failed or was lost fails the demo.
func (p *play) account(ctx context.Context) error {
	select {
	case <-p.load.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	b, err := os.ReadFile(p.path("logs/load.log"))
	if err != nil {
		return err
	}
	var r report
	line := b[bytes.LastIndexByte(bytes.TrimSpace(b), '\n')+1:]
	if i := bytes.IndexByte(b, '{'); i >= 0 {
		line = b[i:]
	}
	if err := json.NewDecoder(bytes.NewReader(line)).Decode(&r); err != nil {
		return fmt.Errorf("%w: the load did not report: %s", errBroken, b)
	}
	var upgrades []api.Upgrade
	if err := p.quiet(ctx, p.admin, &upgrades, "upgrade", "list"); err != nil {
		return err
	}
	p.say("summary")
	for _, u := range upgrades {
		if u.Link.ID() == p.upgradeID {
			p.cycles(u)
		}
	}
	if err := p.pause(upgrades); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "  all requests: %d sent in %.0f s (%d writes), %d failed, %d acknowledged writes lost; p50 %.1f ms, p99 %.1f ms, max %.1f ms\n",
		r.Sent, r.Seconds, r.Writes, r.Failed, r.Lost, r.P50, r.P99, r.Max)
	for _, f := range r.Failures {
		fmt.Fprintf(p.out, "    failed: %s\n", f)
	}
	if r.Failed+r.Lost > 0 || r.Sent == 0 {
		return fmt.Errorf("%w: %d requests failed, %d writes lost", errBroken, r.Failed, r.Lost)
	}
	fmt.Fprintf(p.out, "  nothing failed, nothing was lost (%.0f s in all)\n", time.Since(p.started).Seconds())
	return nil
}

func (p *play) cycles(u api.Upgrade) {
	fmt.Fprintln(p.out, "  cycle   documents  seconds    docs/s")
	for _, k := range u.Cycles {
		mark := ""
		if k.Final {
			mark = "  (traffic held)"
		}
		fmt.Fprintf(p.out, "  %5d  %10d %8.3f %9.0f%s\n", k.Number, k.Documents, k.Seconds, k.Rate, mark)
	}
	if u.Verified != nil {
		fmt.Fprintf(p.out, "  verified: %d documents, %d of %d buckets different\n", u.Verified.Documents, u.Verified.Different, u.Verified.Buckets)
	}
	fmt.Fprintf(p.out, "  pause at the front door: %.0f ms, predicted %.0f ms, budget %.0f ms\n", u.Pause*1000, u.Predicted*1000, u.Budget*1000)
}

// pause prints how long the requests took that came while traffic was held,
// or within a second around it.
func (p *play) pause(upgrades []api.Upgrade) error {
	var from, to time.Time
	for _, u := range upgrades {
		if u.Link.ID() != p.upgradeID {
			continue
		}
		for _, m := range u.History {
			switch m.State {
			case api.UpgradeHolding:
				from = m.At
			case api.UpgradeReleased:
				to = m.At
			}
		}
	}
	f, err := os.Open(p.path("timeline"))
	if err != nil {
		return err
	}
	defer f.Close()
	var took []float64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var at int64
		var ms float64
		var kind string
		if _, err := fmt.Sscan(lines.Text(), &at, &ms, &kind); err != nil {
			continue // the line that an interruption cut
		}
		began := time.UnixMilli(at)
		if began.After(from.Add(-100*time.Millisecond)) && began.Before(to.Add(100*time.Millisecond)) {
			took = append(took, ms)
		}
	}
	if len(took) == 0 {
		return fmt.Errorf("%w: no request fell into the switch", errBroken)
	}
	slices.Sort(took)
	at := func(q float64) float64 { return took[int(q*float64(len(took)-1))] }
	fmt.Fprintf(p.out, "  the pause as clients saw it (%d requests around the switch): p50 %.0f ms, p99 %.0f ms, max %.0f ms\n", len(took), at(0.5), at(0.99), at(1))
	return nil
}
