// Package stats counts the requests of a server: how many, how fast, with what
// outcome, for each kind and verb. It tells them as JSON and to Prometheus from
// the same numbers.
//
// Every request is counted, in the slot of time that it ended in, and all are
// timed but watches and those that Begin leaves out. Requests that are made at
// the same time are counted apart, each processor's in a shard of its own, and
// are summed when somebody asks: reads in the process are so fast that a lock
// for all of them would be a large part of their time, as would be a second look
// at the clock.
package stats

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"landfall.dev/kit"
)

// Requests counts requests. Its methods may be called concurrently.
type Requests struct {
	name   func(kind, verb string) (string, string)
	began  time.Time // when its clock was 0
	shards []shard
	next   atomic.Uint32
	// near keeps the shard that was last used on a processor there. Which one a
	// request is counted in does not matter but for speed.
	near sync.Pool
}

// shard has the requests of one processor, more or less.
type shard struct {
	mu     sync.Mutex
	series map[key]*series
	last   *series   // in which a request was counted last
	_      [128]byte // keeps shards out of each other's cache lines
}

// New returns Requests without any. Name returns what a kind and a verb that are
// met for the first time are counted as, so that what callers make up does not
// make any number of them.
func New(name func(kind, verb string) (string, string)) *Requests {
	r := &Requests{name: name, began: time.Now(), shards: make([]shard, runtime.GOMAXPROCS(0))}
	for i := range r.shards {
		r.shards[i].series = map[key]*series{}
	}
	r.near.New = func() any { return &r.shards[int(r.next.Add(1))%len(r.shards)] }
	return r
}

// Now returns the time on the clock that requests are timed by.
func (r *Requests) Now() time.Duration { return time.Since(r.began) }

// oneIn is how many of those requests that Begin leaves out there are for each
// that it does not.
const oneIn = 16

// untimed is the beginning of a request that is only counted.
const untimed time.Duration = -1

// Begin returns Now for a request that begins; of those that are often, which are
// too many and too fast to time them all, for one in oneIn by chance.
func (r *Requests) Begin(often bool) time.Duration {
	if often && rand.Uint32N(oneIn) != 0 {
		return untimed
	}
	return r.Now()
}

// Ended counts a request that was answered with the status, and began at that
// time on the clock. Watches have no time, for they take as long as the client
// likes.
func (r *Requests) Ended(kind, verb string, status int, began time.Duration) {
	now := r.Now()
	took := now - began
	if began == untimed || verb == string(kit.VerbWatch) {
		took = -1
	}
	r.observe(key{kind, verb}, status, took, now)
}

// observe counts a request that was answered at now. One that took less than 0
// has no time.
func (r *Requests) observe(k key, status int, took, now time.Duration) {
	sh := r.near.Get().(*shard)
	defer r.near.Put(sh)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.last == nil || sh.last.key != k {
		sh.last = r.find(sh, k)
	}
	sh.last.observe(status, took, now)
}

// find returns the series that a request is counted in. The caller holds the
// shard's lock.
func (r *Requests) find(sh *shard, k key) *series {
	if s := sh.series[k]; s != nil {
		return s
	}
	k.kind, k.verb = r.name(k.kind, k.verb)
	if sh.series[k] == nil {
		k.kind, k.verb = strings.Clone(k.kind), strings.Clone(k.verb) // they may be a part of much more
		sh.series[k] = &series{key: k}
	}
	return sh.series[k]
}

// sum returns the numbers of the kinds that shown is true of, up to now.
func (r *Requests) sum(shown func(kind string) bool, now time.Duration) map[key]*series {
	sums := map[key]*series{}
	for i := range r.shards {
		sh := &r.shards[i]
		sh.mu.Lock()
		for k, s := range sh.series {
			if !shown(k.kind) {
				continue
			}
			if sums[k] == nil {
				sums[k] = &series{}
			}
			sums[k].add(s, now)
		}
		sh.mu.Unlock()
	}
	return sums
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
	// Seconds is how long they took; nil if none of them was timed.
	Seconds *Seconds `json:"seconds,omitempty"`
}

// Seconds is how long requests took, in seconds: of all but watches, and of the
// eventual reads of services in the node's process one in 16, by chance. The
// quantiles are the upper ends of the buckets that they are in.
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
func (r *Requests) Kind(kind string) []Verb { return r.kind(kind, r.Now()) }

func (r *Requests) kind(kind string, now time.Duration) []Verb {
	verbs := []Verb{}
	for k, s := range r.sum(func(other string) bool { return other == kind }, now) {
		v := Verb{Verb: k.verb, Codes: map[string]uint64{}, Rate1m: s.rate(time.Minute), Rate5m: s.rate(5 * time.Minute)}
		for _, c := range s.codes {
			v.Codes[strconv.Itoa(c.status)] = c.n
			v.Count += c.n
		}
		if s.timed > 0 {
			v.Seconds = s.quantiles()
		}
		verbs = append(verbs, v)
	}
	slices.SortFunc(verbs, func(a, b Verb) int { return cmp.Compare(a.Verb, b.Verb) })
	return verbs
}

var (
	countDesc   = prometheus.NewDesc("landfall_requests_total", "Requests for documents, by kind, verb and HTTP status.", []string{"kind", "verb", "code"}, nil)
	secondsDesc = prometheus.NewDesc("landfall_request_seconds", "Time to answer requests for documents; of eventual reads in the process one in 16, and watches are left out.", []string{"kind", "verb"}, nil)
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
	sums := r.sum(r.shown, r.Now())
	for _, k := range slices.SortedFunc(maps.Keys(sums), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.verb, b.verb))
	}) {
		s := sums[k]
		for _, c := range s.codes {
			out <- prometheus.MustNewConstMetric(countDesc, prometheus.CounterValue, float64(c.n), k.kind, k.verb, strconv.Itoa(c.status))
		}
		if s.timed == 0 {
			continue
		}
		buckets := map[float64]uint64{}
		var n uint64
		for i := range bounded {
			n += s.buckets[i]
			buckets[bound(i).Seconds()] = n
		}
		out <- prometheus.MustNewConstHistogram(secondsDesc, s.timed, s.total.Seconds(), buckets, k.kind, k.verb)
	}
}
