// Package metrics tells Prometheus of live upgrades.
package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// Path is where Prometheus finds the metrics of upgrades.
const Path = "/metrics/upgrades"

// The metrics of an upgrade; those of one that has ended for good are left out.
var (
	ofOne       = []string{"upgrade", "environment"}
	metricState = prometheus.NewDesc("landfall_upgrade_state", "1 for the state that the upgrade is in.", append(ofOne, "state"), nil)
	metrics     = []struct {
		desc *prometheus.Desc
		of   func(api.Upgrade) float64
	}{
		{describe("landfall_upgrade_cycles", "Cycles that have ended."), func(u api.Upgrade) float64 { return float64(u.LastCycle().Number) }},
		{describe("landfall_upgrade_left_documents", "Documents that were left after the last cycle."), func(u api.Upgrade) float64 { return float64(u.LastCycle().Left) }},
		{describe("landfall_upgrade_documents_per_second", "Rate of the last cycle."), func(u api.Upgrade) float64 { return u.LastCycle().Rate }},
		{describe("landfall_upgrade_predicted_pause_seconds", "Pause that the last cycle predicts."), func(u api.Upgrade) float64 { return float64(u.LastCycle().Predicted) }},
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

// Handler answers who may list the upgrades of c with their metrics.
func Handler(c kit.Client) http.Handler {
	return kit.Handler(func(w http.ResponseWriter, r *http.Request) error {
		if err := kit.CallerOf(r.Context()).May(kit.VerbList, kit.NewLink(api.Upgrades.Name, "")); err != nil {
			return err
		}
		var going collector
		for u, err := range api.Upgrades.All(r.Context(), c, "", "") {
			if err != nil {
				return err
			}
			switch u.State {
			case api.UpgradeRetired, api.UpgradeAborted, api.UpgradeRehearsed:
			default:
				going = append(going, u)
			}
		}
		all := prometheus.NewRegistry()
		all.MustRegister(going)
		promhttp.HandlerFor(all, promhttp.HandlerOpts{}).ServeHTTP(w, r)
		return nil
	})
}
