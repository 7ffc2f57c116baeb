// Package presence tells a hub which runner there is, how its engines are and
// how much they have to do, for people to see.
package presence

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"time"

	"landfall.dev/api"
	"landfall.dev/engine/fleet"
	"landfall.dev/kit"
)

const (
	// lookEvery is the time between two looks, each of which is reported if
	// something has changed.
	lookEvery = 5 * time.Second
	// reportEvery is the longest time between two reports.
	reportEvery = api.RunnerSilent / 2
	// diskStep is by how much free disk has to change to be news.
	diskStep = 1 << 30
)

// Engines tell how they are.
type Engines interface {
	Health() []fleet.Health
}

// Reporter reports on a runner.
type Reporter struct {
	Name    string
	Client  kit.Client
	Engines Engines
	Dir     string // where its workspaces are
	Logger  *slog.Logger
}

// Run reports until ctx ends. That the hub does not take a report is logged, once
// for each reason: builds go on without.
func (r Reporter) Run(ctx context.Context) error {
	ticks := time.NewTicker(lookEvery)
	defer ticks.Stop()
	var last api.RunnerReport
	var at time.Time
	refused := ""
	for {
		if now := r.look(); time.Since(at) >= reportEvery || !alike(now, last) {
			err := r.send(ctx, now)
			switch {
			case ctx.Err() != nil:
			case err == nil:
				last, at, refused = now, time.Now(), ""
			case err.Error() != refused:
				refused = err.Error()
				r.Logger.Warn("the hub took no report of this runner", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticks.C:
		}
	}
}

// look returns how everything is.
func (r Reporter) look() api.RunnerReport {
	report := api.RunnerReport{DiskFree: freeDisk(r.Dir), Engines: []api.RunnerEngine{}}
	for _, h := range r.Engines.Health() {
		e := api.RunnerEngine{Name: h.Name, Type: h.Engine.Name(), Labels: h.Labels, Slots: h.Slots, Used: h.Used, Health: api.EngineAnswers}
		switch {
		case h.Lost:
			e.Health = api.EngineLost
		case h.Suspect:
			e.Health = api.EngineSuspect
		}
		if e.Health != api.EngineAnswers {
			e.Since, e.Error = h.Since.UTC(), h.Err.Error()
		}
		report.Engines = append(report.Engines, e)
	}
	return report
}

// alike tells whether b says nothing that a does not say.
func alike(a, b api.RunnerReport) bool {
	return a.DiskFree/diskStep == b.DiskFree/diskStep && reflect.DeepEqual(a.Engines, b.Engines)
}

// send sends a report; the first one makes the runner's document.
func (r Reporter) send(ctx context.Context, report api.RunnerReport) error {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	_, err := api.Runners.Send(ctx, r.Client, r.Name, "report", report)
	if errors.Is(err, kit.ErrNotFound) {
		_, err = api.Runners.Create(ctx, r.Client, r.Name, api.Runner{RunnerReport: report})
	}
	return err
}
