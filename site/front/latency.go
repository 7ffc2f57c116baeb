package front

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Latencies counts requests by how long the door took to answer them. There are
// eight buckets for each power of two of microseconds, so that a time is known
// to an eighth. The counts are since the door was made.
type Latencies [256]uint64

// Within returns the time within which the share of the requests was answered
// that are in l and not in before, an earlier one; 0 if there are none.
func (l Latencies) Within(share float64, before Latencies) time.Duration {
	var all, seen uint64
	for i := range l {
		all += l[i] - before[i]
	}
	for i := range l {
		seen += l[i] - before[i]
		if seen > 0 && float64(seen) >= share*float64(all) {
			return upTo(i)
		}
	}
	return 0
}

// Count returns how many requests were answered that are in l and not in before.
func (l Latencies) Count(before Latencies) (n uint64) {
	for i := range l {
		n += l[i] - before[i]
	}
	return n
}

// bucketOf returns the bucket of d.
func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0) / time.Microsecond)
	if n < 8 {
		return int(n)
	}
	shift := bits.Len64(n) - 4 // n>>shift is 8 to 15
	return min(shift*8+int(n>>shift), len(Latencies{})-1)
}

// upTo returns the end of the bucket i.
func upTo(i int) time.Duration {
	if i < 8 {
		return time.Duration(i+1) * time.Microsecond
	}
	shift := i/8 - 1
	return time.Duration(i%8+8+1) << shift * time.Microsecond
}

// latencies are counted while they are read.
type latencies [len(Latencies{})]atomic.Uint64

func (l *latencies) add(d time.Duration) { l[bucketOf(d)].Add(1) }

// Latencies returns the counts until now. Streams and uploads are left out.
func (d *Door) Latencies() (counts Latencies) {
	for i := range counts {
		counts[i] = d.latencies[i].Load()
	}
	return counts
}
