package rest

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
)

// statistics are the numbers of a Server, for Prometheus.
type statistics struct {
	registry *prometheus.Registry
	kinds    *store.Kinds
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newStatistics(s *store.Store, kinds *store.Kinds) *statistics {
	t := &statistics{
		registry: prometheus.NewRegistry(),
		kinds:    kinds,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "landfall_requests_total",
			Help: "Requests for documents, by kind, verb and HTTP status.",
		}, []string{"kind", "verb", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "landfall_request_seconds",
			Help:    "Time to answer requests for documents; watches are left out.",
			Buckets: prometheus.ExponentialBuckets(0.0002, 3, 10), // 0.2 ms to 4 s
		}, []string{"kind", "verb"}),
	}
	t.registry.MustRegister(t.requests, t.seconds, documentCounts{s, kinds}, collectors.NewGoCollector())
	return t
}

func (t *statistics) handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{})
}

// observe counts an answered request. What the client made up is not used as
// a label, lest there be any number of them.
func (t *statistics) observe(kind string, verb kit.Verb, status int, took time.Duration) {
	owned, known := t.kinds.Find(kind)
	switch {
	case kind == batchPath && verb == batchPath:
	case !known:
		kind, verb = "unknown", "unknown"
	case !knownVerb(owned, verb):
		verb = "unknown"
	}
	t.requests.WithLabelValues(kind, string(verb), strconv.Itoa(status)).Inc()
	if verb != kit.VerbWatch {
		t.seconds.WithLabelValues(kind, string(verb)).Observe(took.Seconds())
	}
}

func knownVerb(o kit.Owned, v kit.Verb) bool {
	return builtIn(v) || v == store.MethodAck || slices.Contains(o.Methods, string(v))
}

// builtIn tells whether v is a verb of all kinds.
func builtIn(v kit.Verb) bool {
	switch v {
	case kit.VerbCreate, kit.VerbRead, kit.VerbList, kit.VerbWatch, kit.VerbUpdate, kit.VerbDelete:
		return true
	}
	return false
}

// documentCounts collects the number of documents of each kind.
type documentCounts struct {
	store *store.Store
	kinds *store.Kinds
}

var documentsDesc = prometheus.NewDesc("landfall_documents", "Documents of each kind.", []string{"kind"}, nil)

// Describe implements prometheus.Collector.
func (c documentCounts) Describe(out chan<- *prometheus.Desc) { out <- documentsDesc }

// Collect implements prometheus.Collector.
func (c documentCounts) Collect(out chan<- prometheus.Metric) {
	for _, name := range c.kinds.Names() {
		out <- prometheus.MustNewConstMetric(documentsDesc, prometheus.GaugeValue, float64(c.store.Count(name)), name)
	}
}

// countedWriter remembers the status that was answered.
type countedWriter struct {
	http.ResponseWriter
	status int
	wrote  bool
}

func (w *countedWriter) WriteHeader(status int) {
	if !w.wrote {
		w.status, w.wrote = status, status >= 200
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *countedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
