package upgrade

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// rewatch is the time until a watch that has ended begins again.
const rewatch = time.Second

// say logs each state that an upgrade comes to, until ctx ends.
func (d *driver) say(ctx context.Context) error {
	said := map[kit.Link]int{} // moments
	for ctx.Err() == nil {
		for ch, err := range d.client.Watch(ctx, kit.WatchQuery{Kind: api.Upgrades.Name}) {
			if err != nil {
				break
			}
			u, err := api.Upgrades.Decode(ch.Record)
			if ch.Record.Deleted || err != nil {
				continue
			}
			d.sayOf(u, said)
		}
		select {
		case <-ctx.Done():
		case <-time.After(rewatch):
		}
	}
	return nil
}

// sayOf logs what is new of u.
func (d *driver) sayOf(u api.Upgrade, said map[kit.Link]int) {
	for _, m := range u.History[min(said[u.Link], len(u.History)):] {
		if m.At.Before(d.started) {
			continue // another process has said it
		}
		facts := []any{"upgrade", u.Link, "state", m.State, "at", m.At, "epoch", u.Epoch}
		if m.Text != "" {
			facts = append(facts, "text", m.Text)
		}
		if n := len(u.Cycles); n > 0 {
			facts = append(facts, "cycles", u.Cycles[n-1].Number, "left", u.Cycles[n-1].Left, "predicted", u.Cycles[n-1].Predicted.Std())
		}
		d.log.Info("reached", facts...)
	}
	said[u.Link] = len(u.History)
}

// MetricsPath is where Prometheus finds the metrics of upgrades.
const MetricsPath = "/metrics/upgrades"

// The metrics of an upgrade; those of one that has ended for good are left out.
var (
	ofOne       = []string{"upgrade", "environment"}
	metricState = prometheus.NewDesc("landfall_upgrade_state", "1 for the state that the upgrade is in.", append(ofOne, "state"), nil)
	metrics     = []struct {
		desc *prometheus.Desc
		of   func(api.Upgrade) float64
	}{
		{describe("landfall_upgrade_cycles", "Cycles that have ended."), func(u api.Upgrade) float64 { return float64(nextNumber(u) - 1) }},
		{describe("landfall_upgrade_left_documents", "Documents that were left after the last cycle."), func(u api.Upgrade) float64 { return float64(lastCycle(u).Left) }},
		{describe("landfall_upgrade_documents_per_second", "Rate of the last cycle."), func(u api.Upgrade) float64 { return lastCycle(u).Rate }},
		{describe("landfall_upgrade_predicted_pause_seconds", "Pause that the last cycle predicts."), func(u api.Upgrade) float64 { return float64(lastCycle(u).Predicted) }},
		{describe("landfall_upgrade_pause_seconds", "Time that traffic was held, 0 before the commit."), func(u api.Upgrade) float64 { return float64(u.Pause) }},
		{describe("landfall_upgrade_slowed_ratio", "Share of their rate that writers are kept from."), func(u api.Upgrade) float64 { return u.Slowed }},
		{describe("landfall_upgrade_base_p99_seconds", "Time within which 99 of 100 requests were answered before copying, 0 if it is not known."), func(u api.Upgrade) float64 { return float64(u.Sparing.Base) }},
		{describe("landfall_upgrade_p99_seconds", "The same while documents were copied last."), func(u api.Upgrade) float64 { return float64(u.Sparing.P99) }},
		{describe("landfall_upgrade_bound_documents_per_second", "Rate to which the copy is bound to spare clients, 0 for no bound."), func(u api.Upgrade) float64 { return u.Sparing.Rate }},
		{describe("landfall_upgrade_attempts", "Attempts at the cutover."), func(u api.Upgrade) float64 { return float64(u.Attempts) }},
		{describe("landfall_upgrade_back_left_documents", "Documents of green that blue does not have yet, 0 without a way back."), func(u api.Upgrade) float64 {
			if u.Back == nil {
				return 0
			}
			return float64(u.Back.Lag)
		}},
	}
)

func describe(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, ofOne, nil) }

func lastCycle(u api.Upgrade) api.Cycle {
	if len(u.Cycles) == 0 {
		return api.Cycle{}
	}
	return u.Cycles[len(u.Cycles)-1]
}

// collector tells Prometheus of upgrades.
type collector []api.Upgrade

// Describe implements prometheus.Collector.
func (collector) Describe(out chan<- *prometheus.Desc) {
	out <- metricState
	for _, m := range metrics {
		out <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	for _, u := range c {
		out <- prometheus.MustNewConstMetric(metricState, prometheus.GaugeValue, 1, u.Link.ID(), u.Environment, string(u.State))
		for _, m := range metrics {
			out <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, m.of(u), u.Link.ID(), u.Environment)
		}
	}
}

// serveMetrics answers who may list upgrades with their metrics.
func (d *driver) serveMetrics(w http.ResponseWriter, r *http.Request) error {
	if err := kit.CallerOf(r.Context()).May(kit.VerbList, kit.NewLink(api.Upgrades.Name, "")); err != nil {
		return err
	}
	var c collector
	for u, err := range api.Upgrades.All(r.Context(), d.client, "", "") {
		if err != nil {
			return err
		}
		switch u.State {
		case api.UpgradeRetired, api.UpgradeAborted, api.UpgradeRehearsed:
		default:
			c = append(c, u)
		}
	}
	all := prometheus.NewRegistry()
	all.MustRegister(c)
	promhttp.HandlerFor(all, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	return nil
}
