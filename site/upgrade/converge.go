package upgrade

import (
	"fmt"
	"slices"
	"time"

	"landfall.dev/api"
	"landfall.dev/site/upgrade/predict"
)

// When copying converges. The rule is that of QEMU's migration: the cutover
// begins once the expected pause fits.
const (
	// minCycles and maxCycles are for one attempt. Cycles can be fast, so
	// giveUpAfter too must have passed, for a burst of writes to end.
	minCycles   = 2
	maxCycles   = 30
	giveUpAfter = 30 * time.Second
	// maxCopied is how often the dataset may be copied; a small one, below
	// smallDataset documents, counts as that many.
	maxCopied    = 3
	smallDataset = 100_000

	// keptFirst and keptLast are the cycles that an upgrade keeps.
	keptFirst = 5
	keptLast  = 45
)

func nextNumber(u api.Upgrade) int {
	return u.LastCycle().Number + 1
}

// record returns u with the cycle that has just ended, its rate and the pause
// that it predicts.
func record(u api.Upgrade, c copied, now time.Time) api.Upgrade {
	c.Number = nextNumber(u)
	c.Started = now.Add(-api.Duration(c.Seconds).Std())
	c.Rate = float64(c.Documents) / max(c.Seconds, 1e-6)
	cycles := append(slices.Clone(u.Cycles), c.Cycle)
	if len(cycles) > keptFirst+keptLast {
		cycles = slices.Delete(cycles, keptFirst, len(cycles)-keptLast)
	}
	u.Cycles, u.Copying = cycles, nil
	if c.Sparing != (api.Sparing{}) {
		u.Sparing = c.Sparing
	}
	if !c.Final {
		u = isolated(u, c.Quarantine, now)
	}
	cycles[len(cycles)-1].Predicted = api.Seconds(predict.Pause(u, c.Left))
	return u
}

// ready tells whether traffic can be held: the pause is predicted to take at
// most half of the budget, and what is left has not grown since the cycle
// before.
func ready(u api.Upgrade) bool {
	tail := present(u)
	if len(u.Cycles) < minCycles || len(tail) == 0 {
		return false
	}
	now := tail[len(tail)-1]
	before := now
	for _, c := range slices.Backward(u.Cycles[:len(u.Cycles)-1]) {
		if !c.Final {
			before = c
			break
		}
	}
	return now.Predicted <= u.Budget/2 && now.Left <= before.Left
}

// outgrown says why u, which was ready, is not any more.
func outgrown(u api.Upgrade) string {
	if u.LastCycle().Predicted > u.Budget/2 {
		return "the predicted pause has grown"
	}
	return "what is left has grown"
}

// present returns the cycles since the last attempt at the cutover.
func present(u api.Upgrade) []api.Cycle {
	since := copyingSince(u)
	var cycles []api.Cycle
	for _, c := range u.Cycles {
		if !c.Started.Before(since) {
			cycles = append(cycles, c)
		}
	}
	return cycles
}

// copyingSince returns when copying began: at first, after the last attempt at
// the cutover, or when somebody resumed it.
func copyingSince(u api.Upgrade) time.Time {
	since := u.Resumed
	if at, ok := last(u, api.UpgradeReopening); ok {
		return latest(at, since)
	}
	for _, m := range u.History {
		if m.State == api.UpgradeCopying {
			return latest(m.At, since)
		}
	}
	return since
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// diverges says why more cycles would not help, or nothing.
func diverges(u api.Upgrade, now time.Time) string {
	var moved int64
	for _, c := range u.Cycles {
		if !c.Started.Before(u.Resumed) {
			moved += c.Documents
		}
	}
	dataset := max(u.Cycles[0].Documents, smallDataset)
	tried := len(present(u)) >= maxCycles && now.Sub(copyingSince(u)) >= giveUpAfter
	c := u.LastCycle()
	if !tried && (moved <= maxCopied*dataset || improves(c)) {
		return ""
	}
	slowed := ""
	if u.Slowed > 0 {
		slowed = fmt.Sprintf(", with writers slowed by %.0f %%", 100*u.Slowed)
	}
	return fmt.Sprintf("does not converge: %.0f writes/s against %.0f docs/s%s; after %d cycles %d documents are left, and the pause would be %v of %v",
		float64(c.Left)/max(c.Seconds, 1e-6), predict.Rate(u.Cycles), slowed, c.Number, c.Left,
		c.Predicted.Std().Round(time.Millisecond), u.Budget.Std().Round(time.Millisecond))
}
