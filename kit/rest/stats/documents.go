package stats

import "github.com/prometheus/client_golang/prometheus"

// Documents tells Prometheus the number of documents of each kind.
type Documents struct {
	Kinds func() []string
	Count func(kind string) int
}

var documentsDesc = prometheus.NewDesc("landfall_documents", "Documents of each kind.", []string{"kind"}, nil)

// Describe implements prometheus.Collector.
func (d Documents) Describe(out chan<- *prometheus.Desc) { out <- documentsDesc }

// Collect implements prometheus.Collector.
func (d Documents) Collect(out chan<- prometheus.Metric) {
	for _, kind := range d.Kinds() {
		out <- prometheus.MustNewConstMetric(documentsDesc, prometheus.GaugeValue, float64(d.Count(kind)), kind)
	}
}
