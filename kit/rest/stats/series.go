package stats

import (
	"math/bits"
	"slices"
	"time"
)

// The histograms' buckets: the upper end of the first, and of each next one twice
// that of the one before, up to 13 s. One more bucket has what took longer.
const (
	firstBound = 50 * time.Microsecond
	bounded    = 19
)

// bound returns the upper end of the bucket.
func bound(i int) time.Duration { return firstBound << i }

// bucket returns the bucket of what took so long.
func bucket(took time.Duration) int {
	return min(bits.Len64(uint64(max(took-1, 0)/firstBound)), bounded)
}

// The rates are counted in slots of time; there are enough for the longest.
const (
	slot  = 5 * time.Second
	slots = int64(5*time.Minute/slot) + 1
)

// key names a series.
type key struct{ kind, verb string }

// series are the numbers of one kind and verb.
type series struct {
	key     key
	codes   []code // a few
	timed   uint64
	total   time.Duration // that the timed ones took
	longest time.Duration
	buckets [bounded + 1]uint64

	last  int64 // the newest slot, counted from the clock's 0
	rates [slots]uint32
}

// code is how many requests were answered with a status.
type code struct {
	status int
	n      uint64
}

// observe counts a request; see Requests.observe.
func (s *series) observe(status int, took, now time.Duration) {
	s.code(status).n++
	s.advance(int64(now / slot))
	s.rates[s.last%slots]++
	if took < 0 {
		return
	}
	s.buckets[bucket(took)]++
	s.timed++
	s.total += took
	s.longest = max(s.longest, took)
}

func (s *series) code(status int) *code {
	for i := range s.codes {
		if s.codes[i].status == status {
			return &s.codes[i]
		}
	}
	s.codes = append(s.codes, code{status: status})
	return &s.codes[len(s.codes)-1]
}

// advance makes slot n the newest.
func (s *series) advance(n int64) {
	if n <= s.last {
		return
	}
	for i := max(s.last+1, n-slots+1); i <= n; i++ {
		s.rates[i%slots] = 0
	}
	s.last = n
}

// add adds the numbers of o, as they are at now.
func (s *series) add(o *series, now time.Duration) {
	for _, c := range o.codes {
		s.code(c.status).n += c.n
	}
	s.timed += o.timed
	s.total += o.total
	s.longest = max(s.longest, o.longest)
	for i, n := range o.buckets {
		s.buckets[i] += n
	}
	s.advance(max(o.last, int64(now/slot)))
	for i := max(0, s.last-slots+1); i <= o.last; i++ {
		s.rates[i%slots] += o.rates[i%slots]
	}
}

// rate returns the requests a second in the whole slots of the span before the
// newest.
func (s *series) rate(span time.Duration) float64 {
	var sum uint64
	for i := max(0, s.last-int64(span/slot)); i < s.last; i++ {
		sum += uint64(s.rates[i%slots])
	}
	return float64(sum) / span.Seconds()
}

// quantiles tells how long requests took. One at least was timed.
func (s *series) quantiles() *Seconds {
	out := &Seconds{Mean: s.total.Seconds() / float64(s.timed), Max: s.longest.Seconds()}
	var n uint64
	for i, count := range s.buckets {
		if n += count; count == 0 {
			continue
		}
		within := s.longest
		if i < bounded {
			within = min(within, bound(i))
		}
		out.Buckets = append(out.Buckets, Bucket{within.Seconds(), n})
	}
	quantile := func(q float64) float64 {
		i := slices.IndexFunc(out.Buckets, func(b Bucket) bool { return float64(b.Count) >= q*float64(s.timed) })
		return out.Buckets[i].Within
	}
	out.P50, out.P90, out.P99 = quantile(0.5), quantile(0.9), quantile(0.99)
	return out
}
