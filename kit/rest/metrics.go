package rest

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/local"
	"landfall.dev/kit/rest/stats"
	"landfall.dev/kit/store"
)

// statistics are the numbers of a Server.
type statistics struct {
	server   *Server
	registry *prometheus.Registry
	requests *stats.Requests
	since    time.Time
}

func newStatistics(s *Server) *statistics {
	t := &statistics{server: s, registry: prometheus.NewRegistry(), requests: stats.New(), since: time.Now()}
	watches := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "landfall_watches", Help: "Watches that are open, those of services in the process not counted.",
	}, func() float64 { return float64(s.watches.Len()) })
	t.registry.MustRegister(t.requests, watches, stats.Documents{Kinds: s.kinds.Names, Count: s.store.Count}, collectors.NewGoCollector())
	return t
}

func (t *statistics) handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{})
}

// Stats is what GET /stats tells of a node, since it was started.
type Stats struct {
	Since   time.Time   `json:"since"`
	Watches int         `json:"watches"`
	Kinds   []KindStats `json:"kinds"`
}

// KindStats is what is told of a kind. It has verbs that were used.
type KindStats struct {
	Kind      string       `json:"kind"`
	Documents int          `json:"documents"`
	Verbs     []stats.Verb `json:"verbs"`
}

// tell serves GET /stats and /stats?kind=, also as /api/{kind}:stats.
func (t *statistics) tell(w http.ResponseWriter, r *http.Request, only string) error {
	names := t.server.kinds.Names()
	if only != "" {
		if _, ok := t.server.kinds.Find(only); !ok {
			return &kit.Error{Fault: kit.ErrNotFound, Detail: fmt.Sprintf("there is no kind %q", only), Hint: "GET /api/ lists them"}
		}
		names = []string{only}
	}
	now := time.Now()
	out := Stats{Since: t.since, Watches: t.server.watches.Len(), Kinds: []KindStats{}}
	for _, name := range names {
		out.Kinds = append(out.Kinds, KindStats{name, t.server.store.Count(name), t.requests.Kind(name, now)})
	}
	return encode(w, http.StatusOK, out)
}

// observe counts a request that began then and is answered. What the client made up is not used as
// a label, lest there be any number of them.
func (t *statistics) observe(kind string, verb kit.Verb, status int, began time.Time) {
	now := time.Now()
	took := now.Sub(began)
	owned, known := t.server.kinds.Find(kind)
	switch {
	case kind == local.Batch && verb == local.Batch:
	case !known:
		kind, verb = "unknown", "unknown"
	case !knownVerb(owned, verb):
		verb = "unknown"
	}
	if verb == kit.VerbWatch {
		took = -1
	}
	t.requests.Observe(kind, string(verb), status, took, now)
}

func knownVerb(o kit.Owned, v kit.Verb) bool {
	return local.BuiltIn(v) || v == store.MethodAck || slices.Contains(o.Methods, string(v))
}
