// Package predict says how long traffic would be held if an upgrade's cutover
// began now. It owns no documents and watches nothing: it is a pure function of
// the upgrade. A pause is predicted as
//
//	hold and drain + fence + left/rate + verify + commit
//
// The hold is the longest of this upgrade's earlier attempts, or a guess, as
// are the other fixed parts; one slow hold, because a node has just died, must
// not keep the upgrade from trying again, so it counts for a quarter of the
// budget at the most. The rate is a slow one of the last cycles.
package predict

import (
	"slices"
	"time"

	"landfall.dev/api"
)

const (
	holdGuess   = 30 * time.Millisecond
	fenceGuess  = 10 * time.Millisecond // with reading the position
	verifyGuess = 20 * time.Millisecond
	commitGuess = 10 * time.Millisecond

	// recent is how many cycles tell the rate.
	recent = 10
	// Telling is how many documents a cycle needs for its time to be that of
	// the documents and not of the round trip.
	Telling = 100
	// rateGuess is for when no cycle has moved anything.
	rateGuess = 1000.0
)

// Pause returns the pause of u if traffic were held now and left documents were
// still to be copied.
func Pause(u api.Upgrade, left int64) time.Duration {
	drain := holdGuess
	if longest := longestHold(u); longest > 0 {
		drain = min(longest, max(u.Budget.Std()/4, holdGuess))
	}
	return drain + fenceGuess + spent(left, Rate(u.Cycles)) + verifyGuess + commitGuess
}

// Back does the same for a rollback, with left documents to be taken
// back, from the rate of the cycle back that ended last.
func Back(u api.Upgrade, left int64, last api.Cycle) time.Duration {
	rate := Rate(u.Cycles)
	if last.Documents >= Telling {
		rate = last.Rate
	}
	return Pause(u, 0) + spent(left, rate)
}

// spent returns how long so many documents take.
func spent(documents int64, rate float64) time.Duration {
	return time.Duration(float64(documents) / rate * float64(time.Second))
}

// longestHold returns the longest time from holding until blue was fenced.
func longestHold(u api.Upgrade) time.Duration {
	var longest time.Duration
	for i := 1; i < len(u.History); i++ {
		if u.History[i-1].State == api.UpgradeHolding && u.History[i].State == api.UpgradeFenced {
			longest = max(longest, u.History[i].At.Sub(u.History[i-1].At))
		}
	}
	return longest
}

// Rate returns the 10th percentile of the documents per second of the last
// cycles. Those that were bound and small ones count only if there are no others.
func Rate(cycles []api.Cycle) float64 {
	unbound := slices.DeleteFunc(slices.Clone(cycles), func(c api.Cycle) bool { return c.Bound > 0 })
	rates := ratesOf(unbound, Telling)
	if len(rates) == 0 {
		rates = ratesOf(cycles, Telling)
	}
	if len(rates) == 0 {
		rates = ratesOf(cycles, 1)
	}
	if len(rates) == 0 {
		return rateGuess
	}
	slices.Sort(rates)
	return rates[len(rates)/10]
}

// ratesOf returns the rates of the last cycles that moved enough documents.
func ratesOf(cycles []api.Cycle, enough int64) []float64 {
	var rates []float64
	for _, c := range slices.Backward(cycles) {
		if c.Documents >= enough && len(rates) < recent {
			rates = append(rates, c.Rate)
		}
	}
	return rates
}
