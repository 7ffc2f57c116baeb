package upgrade

import (
	"fmt"
	"strconv"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/site/upgrade/predict"
)

const (
	// returnEvery is the time between two cycles back in soak; it doubles with
	// each that finds nothing, up to returnSeldom.
	returnEvery  = 2 * time.Second
	returnSeldom = 30 * time.Second
	// returnTries is how often a cycle back is tried for a rollback, and
	// returnWithin how long it may take. Then green is as good as dead.
	returnTries  = 3
	returnWithin = 2 * time.Minute
	// maxReturns is how many cycles back a rollback makes before it holds.
	maxReturns = 30
)

// twoWay tells whether what is written on green is taken back to blue.
func twoWay(u api.Upgrade) bool { return !first(u) && !u.Stateless && len(u.OneWay) == 0 }

// soak keeps blue for going back: what is written on green follows there, and
// the checks are looked at.
func soak(u api.Upgrade, now time.Time, text string) (api.Upgrade, []kit.Op) {
	u = enter(u, api.UpgradeSoak, now, text)
	var ops []kit.Op
	if u.Back != nil {
		ops = append(ops, takeBack(u, now))
	}
	if len(u.Checks) > 0 && Observed(u, now) && count(u, api.UpgradeBack) < maxAttempts {
		ops = append(ops, look(u, now))
	}
	return u, ops
}

// takeBack wishes for the next cycle back in soak. The first waits too: at first
// green answers those who were held.
func takeBack(u api.Upgrade, now time.Time) kit.Op {
	op := kit.Call(api.UpgradeReturns, soakReturn(u), nil)
	op.At = now.Add(min(returnEvery<<min(u.Back.Quiet, 10), returnSeldom))
	return op.Before(op.At.Add(returnWithin))
}

func soakReturn(u api.Upgrade) string { return strconv.Itoa(u.Back.Cycles+1) + " soak" }

// takeBackNow wishes for the next cycle back before a rollback.
func takeBackNow(u api.Upgrade, now time.Time) kit.Op {
	op := kit.Call(api.UpgradeReturns, fmt.Sprintf("%d for epoch %d", u.Back.Cycles+1, u.Epoch), nil)
	return op.Before(now.Add(returnWithin)).Retried(kit.Retry{Attempts: returnTries})
}

// returnResult is the outcome of the action return.
type returnResult struct {
	copied
	// Why a rollback must not begin, or nothing.
	Why string `json:"why,omitempty"`
}

// returned goes on after a cycle back: for ever in soak, and until the rest is
// small for a rollback.
func returned(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	var r returnResult
	if err := e.Into(&r); err != nil {
		return u, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	switch {
	case u.Back == nil || u.State != api.UpgradeSoak && u.State != api.UpgradeBack:
		return u, nil
	case r.Why != "" && u.State == api.UpgradeBack:
		return stay(u, now, r.Why)
	}
	before := u.Back.Lag
	u = recordBack(u, r.copied, now)
	back := u.Back
	switch {
	case u.State == api.UpgradeSoak:
		return u, []kit.Op{takeBack(u, now)}
	case back.Error != "":
		return stay(u, now, back.Error)
	case back.Last.Predicted <= u.Budget/2 && back.Lag <= max(before, predict.Telling):
		back.Predicted = back.Last.Predicted
		return u, cutover(u)
	}
	share := slower(u, back.Last)
	if share == u.Slowed && back.Tries >= maxReturns {
		return stay(u, now, fmt.Sprintf("what is written on green cannot be taken back fast enough: %d documents are left after %d cycles, and the pause would be %v of %v",
			back.Lag, back.Tries, back.Last.Predicted.Std().Round(time.Millisecond), u.Budget.Std().Round(time.Millisecond)))
	}
	u.Slowed, u.Slowest = share, max(u.Slowest, share)
	return u, []kit.Op{takeBackNow(u, now)}
}

// recordBack returns u with the cycle back that has just ended.
func recordBack(u api.Upgrade, c copied, now time.Time) api.Upgrade {
	back := *u.Back
	back.Cycles++
	back.Tries++
	back.Documents += c.Documents
	back.Lag, back.At, back.Error = c.Left, now, ""
	if back.Quiet++; c.Documents > 0 || c.Left > 0 {
		back.Quiet = 0
	}
	if len(c.Failed) > 0 {
		back.Error = untransformed(c.Failed)
	}
	c.Number = back.Cycles
	c.Started = now.Add(-api.Duration(c.Seconds).Std())
	c.Rate = float64(c.Documents) / max(c.Seconds, 1e-6)
	c.Predicted = api.Seconds(predict.Back(u, c.Left, c.Cycle))
	back.Last = c.Cycle
	u.Back = &back
	return isolated(u, c.Quarantine, now)
}

// notReturned goes on after a cycle back that has failed for good: a rollback
// is not done, and in soak it is tried again after a while.
func notReturned(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	if u.Back == nil || u.State != api.UpgradeSoak && u.State != api.UpgradeBack {
		return u, nil
	}
	back := *u.Back
	back.Error, back.Quiet = failureOf(e), 10
	u.Back = &back
	if u.State == api.UpgradeBack {
		return stay(u, now, failureOf(e)+giveUpWrites)
	}
	return u, []kit.Op{takeBack(u, now)}
}

// giveUpWrites says how to go back from a green that is dead.
const giveUpWrites = `; to give up what was written on green and is not on blue yet, send rollback with {"loseWrites": true}`

// stay leaves u with green: a rollback cannot begin.
func stay(u api.Upgrade, now time.Time, why string) (api.Upgrade, []kit.Op) {
	u.Error, u.Slowed = notBack+why, 0
	return soak(u, now, u.Error)
}

func rollback(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	var a api.RollbackArgs
	if err := e.Into(&a); err != nil {
		return u, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	stuck := u.State == api.UpgradeCommitted // green does not come up
	switch {
	case u.State != api.UpgradeSoak && !stuck:
		return u, kit.Refuse(kit.ErrConflict, "the upgrade is %s: it can be rolled back in soak", u.State)
	case first(u):
		return u, kit.Refuse(kit.ErrConflict, "this was the first deployment: there is nothing to go back to")
	case count(u, api.UpgradeBack) >= maxRollbacks:
		return u, kit.Refuse(kit.ErrConflict, "%d rollbacks have failed: the upgrade has no epochs left for more; upgrade to the old version instead", maxRollbacks)
	}
	text := "asked for by " + e.By
	if a.Why != "" {
		text += ": " + a.Why
	}
	return turn(u, now, text, a.LoseWrites)
}

// turn begins a rollback.
func turn(u api.Upgrade, now time.Time, why string, lose bool) (api.Upgrade, []kit.Op) {
	stuck := u.State == api.UpgradeCommitted
	ops := []kit.Op{kit.Cancel(api.UpgradeLooks + " " + strconv.Itoa(u.Looks+1))}
	if u.Back != nil {
		ops = append(ops, kit.Cancel(api.UpgradeReturns+" "+soakReturn(u)))
		back := *u.Back
		back.Tries, back.Final, back.Verified, back.Predicted = 0, "", nil, 0
		u.Back = &back
	}
	u.Epoch++
	u.Error, u.LoseWrites = "", lose
	u = enter(u, api.UpgradeBack, now, why)
	switch {
	case stuck:
		return u, append(ops, cutover(u)...)
	case u.Back != nil && !lose:
		return u, append(ops, takeBackNow(u, now))
	}
	return u, append(ops, kit.Call("check", strconv.FormatInt(u.Epoch, 10), nil))
}

// checkResult is the outcome of the action check: why the rollback must not
// begin, or nothing.
type checkResult struct {
	Epoch int64  `json:"epoch"`
	Why   string `json:"why,omitempty"`
}

// checked begins a rollback, or leaves u in soak.
func checked(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	r := checkResult{Epoch: u.Epoch, Why: failureOf(e)}
	if err := e.Into(&r); err != nil {
		return u, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	switch {
	case u.State != api.UpgradeBack || r.Epoch != u.Epoch:
		return u, nil
	case r.Why != "":
		return stay(u, now, r.Why)
	}
	return u, cutover(u)
}

// notBack begins the error of a rollback that was not done.
const notBack = "not rolled back: "

// turned notes that green is fenced, and up to where it was written.
func turned(u api.Upgrade, s step, now time.Time) (api.Upgrade, []kit.Op) {
	if u.Back == nil {
		return u, kit.Refuse(kit.ErrConflict, "nothing is taken back from green")
	}
	back := *u.Back
	back.Final = s.Final
	u.Back = &back
	return enter(u, api.UpgradeBack, now, s.Text), nil
}

// goBack is the decision for blue. A rollback that must lose nothing needs the
// last cycle back and the verification; if they are not as they must be, it has
// committed as the way back to green.
func goBack(u api.Upgrade, s step, now time.Time) (api.Upgrade, []kit.Op) {
	if u.Back != nil && s.Cycle != nil {
		u = recordBack(u, *s.Cycle, now)
		u.Back.Last.Final = true
		u.Back.Verified = s.Verified
	}
	if u.Back != nil && !u.LoseWrites {
		if why := lacking(s); why != "" {
			s.Text = notBack + why
			return commit(u, s, now), nil
		}
	}
	u.Slowed = 0
	var ops []kit.Op
	if s.Unfenced {
		ops = []kit.Op{kit.Call("fence", "1", nil)}
	}
	return enter(u, api.UpgradeReopening, now, s.Text), ops
}

// lacking says why blue does not have all that green has, or nothing.
func lacking(s step) string {
	switch {
	case s.Cycle == nil || s.Verified == nil:
		return "the last cycle back or its verification is missing"
	case len(s.Cycle.Failed) > 0:
		return untransformed(s.Cycle.Failed)
	case s.Cycle.Left > 0:
		return fmt.Sprintf("%d documents were left after the last cycle back, though green was fenced", s.Cycle.Left)
	case s.Verified.Different > 0:
		return fmt.Sprintf("the sides differ in %d of %d buckets", s.Verified.Different, s.Verified.Buckets)
	}
	return ""
}

// wentBack ends a rollback: traffic goes to blue.
func wentBack(u api.Upgrade, a reopenedArgs, now time.Time) api.Upgrade {
	if u.Back != nil {
		back := *u.Back
		back.Pause = a.Pause
		if at, ok := last(u, api.UpgradeBack); a.Pause == 0 && ok { // the action that held was killed
			back.Pause = api.Seconds(now.Sub(at))
		}
		u.Back = &back
	}
	return enter(u, api.UpgradeRolledBack, now, a.Text)
}

// closed wishes that the side, which traffic has left, refuses reads too. It has
// a time, so that nothing else waits for a side that is dead.
func closed(u api.Upgrade, left api.Side, now time.Time) []kit.Op {
	if first(u) || u.Stateless {
		return nil
	}
	op := kit.Call(api.UpgradeCloses, closeID(u), left)
	op.At = now
	return []kit.Op{op}
}

func closeID(u api.Upgrade) string { return strconv.FormatInt(u.Epoch, 10) }

// abandoned returns the group that traffic has left for good, or until somebody
// goes back.
func abandoned(u api.Upgrade) string {
	if u.State == api.UpgradeRolledBack {
		return u.Green.Group
	}
	return u.Blue.Group
}

func retired(u api.Upgrade, now time.Time) (api.Upgrade, []kit.Op) {
	left := u.Blue
	switch u.State {
	case api.UpgradeRetired:
		return u, nil // said again
	case api.UpgradeRolledBack:
		left = u.Green
	case api.UpgradeSoak:
	default:
		return u, kit.Refuse(kit.ErrConflict, "the upgrade is %s: a side can be retired in soak or after a rollback", u.State)
	}
	u.Error = ""
	ops := []kit.Op{kit.Cancel(api.UpgradeLooks + " " + strconv.Itoa(u.Looks+1)), kit.Cancel(api.UpgradeCloses + " " + closeID(u))}
	if u.Back != nil {
		ops = append(ops, kit.Cancel(api.UpgradeReturns+" "+soakReturn(u)))
	}
	if left.Group == "" {
		return enter(u, api.UpgradeRetired, now, ""), ops
	}
	return enter(u, api.UpgradeRetired, now, left.Group+" is deleted"), append(ops, kit.Call("retire", "1", left))
}
