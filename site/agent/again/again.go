// Package again decides when an instance that has ended is started again.
//
// It owns nothing and starts nothing.
package again

import "time"

// The times between two starts of an instance that ends again and again, and
// how long it has to run to count as well again.
const (
	firstPause   = time.Second
	longestPause = 30 * time.Second
	well         = time.Minute
)

// Ends is what is known of an instance that has ended.
type Ends struct {
	Count   int
	Started time.Time // the last time
}

// Due tells whether the instance may be started again.
func (e Ends) Due(now time.Time) bool {
	if e.Count == 0 {
		return true
	}
	return now.Sub(e.Started) >= min(firstPause<<min(e.Count-1, 10), longestPause)
}

// Well tells whether the instance, which runs, has run for long.
func (e Ends) Well(now time.Time) bool { return e.Count > 0 && now.Sub(e.Started) > well }
