package jobload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"landfall.dev/api"
)

// Uptime returns the seconds that the machine is up, as the job Talk prints them
// in its container too.
func Uptime() (float64, error) {
	b, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0, err
	}
	seconds, _, _ := strings.Cut(string(b), " ")
	return strconv.ParseFloat(seconds, 64)
}

// Talk starts n builds that print the uptime, and returns their ids once each
// has.
func (b Builds) Talk(ctx context.Context, n int) ([]string, error) {
	began, err := Uptime()
	if err != nil {
		return nil, err
	}
	var ids []string
	for range n {
		ordered, err := b.order(ctx, Talk)
		if err != nil {
			return ids, err
		}
		ids = append(ids, ordered.Link.ID())
	}
	return ids, b.Heard(ctx, ids, began)
}

// Heard waits until each build runs and its log has something that it printed
// after the uptime.
func (b Builds) Heard(ctx context.Context, ids []string, after float64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("not all builds are back"))
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	for _, id := range ids {
		g.Go(func() error { return b.heard(ctx, id, after) })
	}
	return g.Wait()
}

func (b Builds) heard(ctx context.Context, id string, after float64) error {
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		last, err := b.lastLine(ctx, id)
		if printed, wrong := strconv.ParseFloat(last, 64); err == nil && wrong == nil && printed > after {
			built, err := api.Builds.Read(ctx, b.Client, id)
			if err == nil && built.State != api.BuildRunning {
				return fmt.Errorf("build %s is %s: %s", id, built.State, built.Error)
			}
			if err == nil {
				return nil
			}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err, fmt.Errorf("the log of build %s ends with %q", id, last))
		}
	}
}

// lastLine returns the last line of a build's log that is there so far.
func (b Builds) lastLine(ctx context.Context, id string) (string, error) {
	answer, err := b.do(ctx, "GET", "/logs/"+id+"/lines", nil)
	if err != nil {
		return "", err
	}
	defer answer.Close()
	var w api.LogWindow
	if err := json.NewDecoder(answer).Decode(&w); err != nil || len(w.Lines) == 0 {
		return "", err
	}
	return w.Lines[len(w.Lines)-1].Text, nil
}

// Cancel ends builds and waits for that.
func (b Builds) Cancel(ctx context.Context, ids []string) error {
	for _, id := range ids {
		if _, err := api.Builds.Send(ctx, b.Client, id, "cancel", nil); err != nil {
			return err
		}
	}
	for _, id := range ids {
		if _, err := b.await(ctx, id, func(api.Build) bool { return false }); err != nil {
			return err
		}
	}
	return nil
}
