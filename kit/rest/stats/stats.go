// Package stats counts the requests of a server: how many, how fast, with what
// outcome, for each kind and verb. It tells them as JSON and to Prometheus from
// the same numbers.
package stats

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// bounds are the upper ends of the histograms' buckets, in seconds: from 50 µs
// to 13 s, each twice the one before.
var bounds = prometheus.ExponentialBuckets(50e-6, 2, 19)

// The rates are counted in slots of time; there are enough for the longest.
const (
	slot  = 5 * time.Second
	slots = int(5*time.Minute/slot) + 1
)

// Requests counts requests. Its methods may be called concurrently.
type Requests struct {
	mu     sync.Mutex
	series map[key]*series
}

// New returns Requests without any.
func New() *Requests { return &Requests{series: map[key]*series{}} }

type key struct{ kind, verb string }

// series are the numbers of one kind and verb.
type series struct {
	codes   map[int]uint64
	timed   uint64
	sum     float64 // of the seconds of the timed ones
	buckets []uint64
	longest float64

	last  int64 // the newest slot, counted from 1970
	rates [slots]uint32
}

// Observe counts a request that was answered with the status at now. One that
// took less than 0 has no time.
func (r *Requests) Observe(kind, verb string, status int, took time.Duration, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := key{kind, verb}
	s := r.series[k]
	if s == nil {
		s = &series{codes: map[int]uint64{}, buckets: make([]uint64, len(bounds)+1)}
		r.series[k] = s
	}
	s.codes[status]++
	s.advance(now)
	s.rates[s.last%int64(slots)]++
	if took < 0 {
		return
	}
	seconds := took.Seconds()
	i, _ := slices.BinarySearch(bounds, seconds)
	s.buckets[i]++
	s.timed++
	s.sum += seconds
	s.longest = max(s.longest, seconds)
}

// advance makes the slot of now the newest.
func (s *series) advance(now time.Time) {
	n := now.UnixNano() / int64(slot)
	if n <= s.last {
		return
	}
	for i := max(s.last+1, n-int64(slots)+1); i <= n; i++ {
		s.rates[i%int64(slots)] = 0
	}
	s.last = n
}

// rate returns the requests a second in the whole slots of the span before now.
func (s *series) rate(span time.Duration, now time.Time) float64 {
	s.advance(now)
	n := int64(span / slot)
	var sum uint64
	for i := s.last - n; i < s.last; i++ {
		if i >= 0 {
			sum += uint64(s.rates[i%int64(slots)])
		}
	}
	return float64(sum) / span.Seconds()
}

// Verb are the numbers of one verb of a kind.
type Verb struct {
	Verb  string `json:"verb"`
	Count uint64 `json:"count"`
	// Codes are the answers by HTTP status.
	Codes map[string]uint64 `json:"codes"`
	// Rate1m and Rate5m are requests a second in the last one and five minutes.
	Rate1m float64 `json:"rate1m"`
	Rate5m float64 `json:"rate5m"`
	// Seconds is how long they took; watches have none.
	Seconds *Seconds `json:"seconds,omitempty"`
}

// Seconds is how long requests took, in seconds. The quantiles are the upper
// ends of the buckets that they are in.
type Seconds struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
	// Buckets are the histogram: how many took at most so long.
	Buckets []Bucket `json:"buckets"`
}

// Bucket is how many took at most Within seconds.
type Bucket struct {
	Within float64 `json:"within"`
	Count  uint64  `json:"count"`
}

// Kind returns the numbers of the kind, sorted by verb.
func (r *Requests) Kind(kind string, now time.Time) []Verb {
	r.mu.Lock()
	defer r.mu.Unlock()
	verbs := []Verb{}
	for k, s := range r.series {
		if k.kind != kind {
			continue
		}
		v := Verb{Verb: k.verb, Codes: map[string]uint64{}, Rate1m: s.rate(time.Minute, now), Rate5m: s.rate(5*time.Minute, now)}
		for code, n := range s.codes {
			v.Codes[strconv.Itoa(code)] = n
			v.Count += n
		}
		if s.timed > 0 {
			v.Seconds = s.seconds()
		}
		verbs = append(verbs, v)
	}
	slices.SortFunc(verbs, func(a, b Verb) int { return cmp.Compare(a.Verb, b.Verb) })
	return verbs
}

func (s *series) seconds() *Seconds {
	out := &Seconds{Mean: s.sum / float64(s.timed), Max: s.longest}
	var n uint64
	for i, count := range s.buckets {
		if n += count; count == 0 {
			continue
		}
		within := s.longest
		if i < len(bounds) {
			within = min(within, bounds[i])
		}
		out.Buckets = append(out.Buckets, Bucket{within, n})
	}
	quantile := func(q float64) float64 {
		i := slices.IndexFunc(out.Buckets, func(b Bucket) bool { return float64(b.Count) >= q*float64(s.timed) })
		return out.Buckets[i].Within
	}
	out.P50, out.P90, out.P99 = quantile(0.5), quantile(0.9), quantile(0.99)
	return out
}

var (
	countDesc   = prometheus.NewDesc("landfall_requests_total", "Requests for documents, by kind, verb and HTTP status.", []string{"kind", "verb", "code"}, nil)
	secondsDesc = prometheus.NewDesc("landfall_request_seconds", "Time to answer requests for documents; watches are left out.", []string{"kind", "verb"}, nil)
)

// Of returns what tells Prometheus the numbers of the kinds that shown is true
// of.
func (r *Requests) Of(shown func(kind string) bool) prometheus.Collector { return some{r, shown} }

type some struct {
	*Requests
	shown func(kind string) bool
}

// Describe implements prometheus.Collector.
func (some) Describe(out chan<- *prometheus.Desc) {
	out <- countDesc
	out <- secondsDesc
}

// Collect implements prometheus.Collector.
func (r some) Collect(out chan<- prometheus.Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range slices.SortedFunc(maps.Keys(r.series), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.verb, b.verb))
	}) {
		if !r.shown(k.kind) {
			continue
		}
		s := r.series[k]
		for code, n := range s.codes {
			out <- prometheus.MustNewConstMetric(countDesc, prometheus.CounterValue, float64(n), k.kind, k.verb, strconv.Itoa(code))
		}
		if s.timed == 0 {
			continue
		}
		buckets := map[float64]uint64{}
		var n uint64
		for i, bound := range bounds {
			n += s.buckets[i]
			buckets[bound] = n
		}
		out <- prometheus.MustNewConstHistogram(secondsDesc, s.timed, s.sum, buckets, k.kind, k.verb)
	}
}
