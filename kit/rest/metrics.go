package rest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/access"
	"landfall.dev/kit/rest/local"
	"landfall.dev/kit/rest/stats"
	"landfall.dev/kit/store"
)

// statistics are the numbers of a Server.
type statistics struct {
	server   *Server
	requests *stats.Requests
	process  []prometheus.Collector // not about kinds
	since    time.Time
}

func newStatistics(s *Server) *statistics {
	watches := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "landfall_watches", Help: "Watches that are open, those of services in the process not counted.",
	}, func() float64 { return float64(s.watches.Len()) })
	return &statistics{server: s, requests: stats.New(s.counted), process: []prometheus.Collector{watches, collectors.NewGoCollector()}, since: time.Now()}
}

// verbMetrics allows to see the numbers of a kind in GET /metrics, and nothing
// of its documents.
const verbMetrics kit.Verb = "metrics"

// metrics serves GET /metrics: of the kinds that the caller may list, or has
// verbMetrics on. Who has none of these is refused.
func (t *statistics) metrics(w http.ResponseWriter, r *http.Request) {
	c, err := t.server.policy.Caller(kit.CallerOf(r.Context()).Subject)
	if err != nil {
		t.server.fail(w, r, err)
		return
	}
	seen := map[string]bool{}
	for _, kind := range t.server.kinds.Names() {
		all := kit.NewLink(kind, "")
		if c.Always(kit.VerbList, all) || c.Always(verbMetrics, all) {
			seen[kind] = true
		}
	}
	if len(seen) == 0 {
		t.server.fail(w, r, &kit.Error{
			Fault: kit.ErrForbidden, Detail: c.Subject + " may see the metrics of no kind",
			Hint: `ask an administrator for a role with the verb metrics: {"kinds":["*"],"verbs":["metrics"]}`,
		})
		return
	}
	// What is about no kind, as batches are, is for all who are let in.
	shown := func(kind string) bool {
		_, known := t.server.kinds.Find(kind)
		return seen[kind] || !known
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(t.process...)
	registry.MustRegister(t.requests.Of(shown), stats.Documents{Kinds: func() []string { return slices.Sorted(maps.Keys(seen)) }, Count: t.server.store.Count})
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

// Stats is what GET /stats tells of a node, since it was started.
type Stats struct {
	Since   time.Time   `json:"since"`
	Watches int         `json:"watches"`
	Kinds   []KindStats `json:"kinds"` // those of which the caller may list documents
}

// KindStats is what is told of a kind. It has verbs that were used.
type KindStats struct {
	Kind      string       `json:"kind"`
	Documents int          `json:"documents"` // -1 for a caller who may list only some
	Verbs     []stats.Verb `json:"verbs"`
}

// tell serves GET /stats and /stats?kind=, also as /api/{kind}:stats.
func (t *statistics) tell(w http.ResponseWriter, r *http.Request, only string) error {
	c, err := t.server.policy.Caller(kit.CallerOf(r.Context()).Subject)
	if err != nil {
		return err
	}
	names := t.server.kinds.Names()
	if only != "" {
		if _, err := c.Visible(kit.VerbList, only); err != nil {
			return err
		}
		if _, ok := t.server.kinds.Find(only); !ok {
			return &kit.Error{Fault: kit.ErrNotFound, Detail: fmt.Sprintf("there is no kind %q", only), Hint: "GET /api/ lists them"}
		}
		names = []string{only}
	}
	out := Stats{Since: t.since, Watches: t.server.watches.Len(), Kinds: []KindStats{}}
	for _, name := range names {
		if n, ok := t.server.count(c, name); ok {
			out.Kinds = append(out.Kinds, KindStats{name, n, t.requests.Kind(name)})
		}
	}
	return encode(w, http.StatusOK, out)
}

// count returns how many documents the kind has, -1 if c may list only some of
// them. It is not ok if that is none.
func (s *Server) count(c *access.Caller, kind string) (n int, ok bool) {
	if _, err := c.Visible(kit.VerbList, kind); err != nil {
		return 0, false
	}
	if !c.Always(kit.VerbList, kit.NewLink(kind, "")) {
		return -1, true
	}
	return s.store.Count(kind), true
}

// counted returns what a request of the verb for the kind is counted as. What the
// client made up is not used as a label, lest there be any number of them.
func (s *Server) counted(kind, verb string) (string, string) {
	owned, known := s.kinds.Find(kind)
	switch {
	case kind == local.Batch && verb == local.Batch:
	case !known:
		return "unknown", "unknown"
	case !knownVerb(owned, kit.Verb(verb)):
		return kind, "unknown"
	}
	return kind, verb
}

func knownVerb(o kit.Owned, v kit.Verb) bool {
	return local.BuiltIn(v) || v == store.MethodAck || slices.Contains(o.Methods, string(v))
}
