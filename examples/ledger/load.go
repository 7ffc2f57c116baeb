package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"landfall.dev/kit"
)

// sender sends transfers as any HTTP client would: once.
type sender struct {
	url, token string
	http       http.Client
}

func (s *sender) send(ctx context.Context, o Order) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return s.do(ctx, http.MethodPost, "/transfer", bytes.NewReader(body))
}

func (s *sender) do(ctx context.Context, method, path string, body io.Reader) error {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, kit.MaxDocument))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return kit.DecodeProblem(resp.StatusCode, b)
	}
	return nil
}

// Report is what a load run prints at its end, as JSON.
type Report struct {
	Seconds float64 `json:"seconds"`
	Sent    int     `json:"sent"`
	Writes  int     `json:"writes"` // of these, transfers
	Failed  int     `json:"failed"`
	Lost    int     `json:"lost"` // acknowledged transfers that are not there
	// Milliseconds of all requests.
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
	// Slow are the requests over 50 ms: what a pause looks like to clients.
	Slow     int      `json:"slow"`
	Failures []string `json:"failures,omitempty"` // the first few
}

// run is a load run on its way.
type loadRun struct {
	sender
	accounts int
	tag      string

	mu       sync.Mutex
	report   Report
	took     []time.Duration
	acked    []string
	timeline *os.File // a line for each request: start, milliseconds, kind
}

// load sends requests at a steady rate, each at its time whether or not
// earlier ones were answered, until it is interrupted or the time is up; then
// it looks up every transfer that was acknowledged.
func load(ctx context.Context, args []string) error {
	var t target
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	t.flags(f)
	rate := f.Int("rate", 500, "requests per second")
	duration := f.Duration("duration", time.Hour, "for how long")
	accounts := f.Int("accounts", 200_000, "how many accounts seed made")
	timeline := f.String("timeline", "", "file to write each request's start and duration to")
	if err := f.Parse(args); err != nil {
		return err
	}
	if _, err := t.client(); err != nil { // reads the token's file
		return err
	}
	r := &loadRun{accounts: *accounts, tag: fmt.Sprintf("t%d", time.Now().UnixMilli())}
	r.url, r.token = t.url, t.token
	r.http.Transport = &http.Transport{MaxIdleConnsPerHost: 512, MaxConnsPerHost: 2048}
	if *timeline != "" {
		file, err := os.Create(*timeline)
		if err != nil {
			return err
		}
		defer file.Close()
		r.timeline = file
	}
	started := time.Now()
	r.send(ctx, *rate, *duration)
	r.report.Seconds = time.Since(started).Seconds()
	if err := r.lookUp(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	r.summarise()
	e := json.NewEncoder(os.Stdout)
	if err := e.Encode(r.report); err != nil {
		return err
	}
	if r.report.Failed+r.report.Lost > 0 {
		return errors.New("requests failed or writes were lost")
	}
	return nil
}

// send starts a request at each tick and returns when all are answered.
func (r *loadRun) send(ctx context.Context, rate int, duration time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	var g sync.WaitGroup
	defer g.Wait()
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			g.Go(func() { r.request(context.WithoutCancel(ctx), i) })
		}
	}
}

// request reads an account, or every other time moves a cent.
func (r *loadRun) request(ctx context.Context, i int) {
	started := time.Now()
	var err error
	id, kind := "", "read"
	if i%2 == 0 {
		err = r.do(ctx, http.MethodGet, fmt.Sprintf("/api/accounts/a%d", rand.IntN(r.accounts)), nil)
	} else {
		a := rand.IntN(r.accounts)
		b := (a + 1 + rand.IntN(r.accounts-1)) % r.accounts
		id, kind = fmt.Sprintf("%s-%d", r.tag, i), "write"
		err = r.sender.send(ctx, Order{ID: id, From: fmt.Sprintf("a%d", a), To: fmt.Sprintf("a%d", b), Amount: "0.01"})
	}
	took := time.Since(started)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Sent++
	r.took = append(r.took, took)
	if id != "" {
		r.report.Writes++
	}
	switch {
	case err != nil:
		r.report.Failed++
		if len(r.report.Failures) < 5 {
			r.report.Failures = append(r.report.Failures, err.Error())
		}
	case id != "":
		r.acked = append(r.acked, id)
	}
	if r.timeline != nil {
		fmt.Fprintf(r.timeline, "%d %.3f %s\n", started.UnixMilli(), float64(took.Microseconds())/1000, kind)
	}
}

// lookUp counts the acknowledged transfers that are gone.
func (r *loadRun) lookUp(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for _, id := range r.acked {
		g.Go(func() error {
			err := r.do(ctx, http.MethodGet, "/api/transfers/"+id, nil)
			if errors.Is(err, kit.ErrNotFound) {
				r.mu.Lock()
				r.report.Lost++
				r.mu.Unlock()
				return nil
			}
			return err
		})
	}
	return g.Wait()
}

func (r *loadRun) summarise() {
	if len(r.took) == 0 {
		return
	}
	slices.Sort(r.took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	at := func(q float64) float64 { return ms(r.took[int(q*float64(len(r.took)-1))]) }
	r.report.P50, r.report.P99, r.report.Max = at(0.5), at(0.99), at(1)
	for _, d := range r.took {
		if d > 50*time.Millisecond {
			r.report.Slow++
		}
	}
}
