// Package limit counts what callers ask for, and says when it is too much. It
// knows nothing of requests and keeps nothing but a time for each caller that
// was active lately.
package limit

import (
	"sync"
	"time"
)

// Rates are token buckets, one for each name. The zero value is ready. Its
// methods may be called concurrently.
type Rates struct {
	mu sync.Mutex
	// full is when each bucket will be full again (the virtual scheduling of
	// the Generic Cell Rate Algorithm, ITU-T I.371): a bucket that is full is
	// the same as none.
	full map[string]time.Time
	// sweep is at how many buckets the full ones are next taken out.
	sweep int
}

// minSweep is how many buckets there may be before full ones are looked for.
const minSweep = 1024

// Take takes a token from the bucket of name, which gets rate a second and
// holds burst, at least 1. It returns 0, or after which time there will be one.
func (r *Rates) Take(name string, rate float64, burst int, now time.Time) time.Duration {
	each := time.Duration(float64(time.Second) / rate)
	r.mu.Lock()
	defer r.mu.Unlock()
	full := r.full[name]
	if full.Before(now) {
		full = now
	}
	if r.full == nil {
		r.full, r.sweep = map[string]time.Time{}, minSweep
	}
	// The bucket may have been slower, or larger, before.
	if longest := now.Add(time.Duration(max(burst, 1)) * each); full.After(longest) {
		full = longest
		r.full[name] = full
	}
	if wait := full.Sub(now) - time.Duration(max(burst, 1)-1)*each; wait > 0 {
		return wait
	}
	r.full[name] = full.Add(each)
	if len(r.full) >= r.sweep {
		for n, at := range r.full {
			if at.Before(now) {
				delete(r.full, n)
			}
		}
		r.sweep = max(minSweep, 2*len(r.full))
	}
	return 0
}

// Len returns the number of buckets that are kept.
func (r *Rates) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.full)
}

// Open counts what is open, for each name and in all. The zero value is ready.
// Its methods may be called concurrently.
type Open struct {
	mu    sync.Mutex
	names map[string]int
	all   int
}

// Add counts one more for name unless there are perName of it, or total in
// all; which of the two was in the way is returned.
func (o *Open) Add(name string, perName, total int) (ok bool, inAll bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all >= total {
		return false, true
	}
	if o.names[name] >= perName {
		return false, false
	}
	if o.names == nil {
		o.names = map[string]int{}
	}
	o.names[name]++
	o.all++
	return true, false
}

// Done takes back one Add.
func (o *Open) Done(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all--
	if o.names[name]--; o.names[name] == 0 {
		delete(o.names, name)
	}
}

// Len returns how many are open.
func (o *Open) Len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all
}
