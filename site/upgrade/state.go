package upgrade

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

const (
	// defaultBudget is how long traffic may be held if nobody said.
	defaultBudget = 250 * time.Millisecond

	// maxAttempts is how often a cutover is tried, maxRollbacks how often a
	// rollback: each may take two epochs.
	maxAttempts  = 3
	maxRollbacks = 40
)

// next returns u after e, and what must now happen.
func next(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	switch e.Name {
	case "created":
		return created(u, now)
	case "provision.done":
		return provisioned(u, e, now)
	case "cycle.done":
		return cycled(u, e, now)
	case "provision.failed":
		return failed(u, e, now, api.UpgradeProvision)
	case "cycle.failed":
		return failed(u, e, now, api.UpgradeCopying)
	case "cutover.failed":
		return failed(u, e, now, api.UpgradeReady)
	case copyingEvent:
		return copying(u, e)
	case reachedEvent:
		return reached(u, e, now)
	case reopenedEvent:
		return reopened(u, e, now)
	case "abort":
		return aborted(u, e, now)
	case "abort.done", "abort.failed":
		return stopped(u, e, now)
	case "rollback":
		return rollback(u, e, now)
	case "check.done", "check.failed":
		return checked(u, e, now)
	case "retire":
		return retired(u, now)
	case "retire.failed":
		u.Error = "the group is not gone: " + failureOf(e)
	}
	return u, nil
}

// enter returns u in the state.
func enter(u api.Upgrade, s api.UpgradeState, now time.Time, text string) api.Upgrade {
	u.State = s
	u.History = append(slices.Clone(u.History), api.Moment{State: s, At: now, Text: text})
	return u
}

// last returns when u was last in the state; false means never.
func last(u api.Upgrade, s api.UpgradeState) (time.Time, bool) {
	for _, m := range slices.Backward(u.History) {
		if m.State == s {
			return m.At, true
		}
	}
	return time.Time{}, false
}

// count returns how often u was in the state.
func count(u api.Upgrade, s api.UpgradeState) int {
	n := 0
	for _, m := range u.History {
		if m.State == s {
			n++
		}
	}
	return n
}

func failureOf(e kit.Event) string {
	var f struct {
		Error string `json:"error"`
	}
	_ = e.Into(&f)
	return f.Error
}

// first tells whether there is nothing to upgrade from.
func first(u api.Upgrade) bool { return u.Blue.Group == "" }

func created(u api.Upgrade, now time.Time) (api.Upgrade, []kit.Op) {
	switch {
	case u.Environment == "":
		return u, kit.Refuse(kit.ErrInvalid, "an upgrade needs an environment")
	case u.Green.Group == "" || u.Green.Image == "":
		return u, kit.Refuse(kit.ErrInvalid, "an upgrade needs green: the group to start and its image")
	case u.Green.Group == u.Blue.Group:
		return u, kit.Refuse(kit.ErrInvalid, "blue and green are the same group, %s: green needs a new one", u.Blue.Group)
	case u.Budget < 0:
		return u, kit.Refuse(kit.ErrInvalid, "traffic cannot be held for %v seconds: leave the budget out for %v", float64(u.Budget), defaultBudget)
	case u.Epoch < 1:
		return u, kit.Refuse(kit.ErrInvalid, "an upgrade needs an epoch from 1 on, higher than all before it in the environment")
	}
	u = api.Upgrade{
		Meta: u.Meta, Environment: u.Environment, Project: u.Project, Blue: u.Blue, Green: u.Green,
		Budget: u.Budget, Epoch: u.Epoch, Deployment: u.Deployment,
	}
	if u.Budget == 0 {
		u.Budget = api.Seconds(defaultBudget)
	}
	u = enter(u, api.UpgradePlanned, now, "")
	return enter(u, api.UpgradeProvision, now, ""), []kit.Op{kit.Call("provision", "1", nil)}
}

// provisionResult is the outcome of the action provision.
type provisionResult struct {
	Green     api.Side `json:"green"`
	Stateless bool     `json:"stateless"`
}

func provisioned(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	var r provisionResult
	if err := e.Into(&r); err != nil {
		return u, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if u.State != api.UpgradeProvision {
		return u, nil
	}
	u.Green, u.Stateless = r.Green, r.Stateless
	switch {
	case first(u):
		return enter(u, api.UpgradeCommitted, now, "the first deployment"), cutover(u)
	case u.Stateless:
		return enter(u, api.UpgradeReady, now, "there is nothing to copy"), cutover(u)
	}
	return enter(u, api.UpgradeCopying, now, ""), again(u)
}

// again wishes for the next cycle.
func again(u api.Upgrade) []kit.Op {
	return []kit.Op{kit.Call("cycle", strconv.Itoa(nextNumber(u)), nil)}
}

// cutover wishes for the action that takes u through its present state and
// all that follow without a pause.
func cutover(u api.Upgrade) []kit.Op {
	return []kit.Op{kit.Call("cutover", strconv.FormatInt(u.Epoch, 10), nil)}
}

func cycled(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	var c copied
	if err := e.Into(&c); err != nil {
		return u, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if u.State != api.UpgradeCopying {
		return u, nil
	}
	u = record(u, c, now)
	switch {
	case len(c.Failed) > 0:
		return giveUp(u, now, untransformed(c.Failed))
	case ready(u):
		return enter(u, api.UpgradeReady, now, ""), cutover(u)
	}
	return more(u, now)
}

// more makes u go on copying, or gives it up.
func more(u api.Upgrade, now time.Time) (api.Upgrade, []kit.Op) {
	if why := diverges(u, now); why != "" {
		return giveUp(u, now, why)
	}
	return u, again(u)
}

// untransformed says which documents could not be transformed.
func untransformed(links []string) string {
	const shown = 5
	text := strings.Join(links[:min(shown, len(links))], ", ")
	if n := len(links) - shown; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("%d documents could not be transformed: %s", len(links), text)
}

// failed gives u up after an action that the state has wished for.
func failed(u api.Upgrade, e kit.Event, now time.Time, s api.UpgradeState) (api.Upgrade, []kit.Op) {
	if u.State != s {
		return u, nil
	}
	return giveUp(u, now, failureOf(e))
}

// giveUp makes u go back to blue for good.
func giveUp(u api.Upgrade, now time.Time, why string) (api.Upgrade, []kit.Op) {
	u.Epoch++
	u.Error = why
	return enter(u, api.UpgradeAborting, now, why), []kit.Op{kit.Call("abort", "1", nil)}
}

func aborted(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	_, committed := last(u, api.UpgradeCommitted)
	switch {
	case u.State == api.UpgradeAborting || u.State == api.UpgradeAborted:
		return u, nil // said again
	case committed:
		return u, kit.Refuse(kit.ErrConflict, "the upgrade is %s, past its commit: in soak it can be rolled back", u.State)
	}
	return giveUp(u, now, "aborted by "+e.By)
}

func stopped(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	if u.State != api.UpgradeAborting {
		return u, nil
	}
	text := ""
	if e.Name == "abort.failed" {
		text = "green is still there: " + failureOf(e)
	}
	return enter(u, api.UpgradeAborted, now, text), nil
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
	u.Epoch++
	u.Error, u.LoseWrites = "", a.LoseWrites
	u = enter(u, api.UpgradeBack, now, "asked for by "+e.By)
	if stuck {
		return u, cutover(u)
	}
	return u, []kit.Op{kit.Call("check", strconv.FormatInt(u.Epoch, 10), nil)}
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
		u.Error = notBack + r.Why
		return enter(u, api.UpgradeSoak, now, u.Error), nil
	}
	return u, cutover(u)
}

// notBack begins the error of a rollback that was not done.
const notBack = "not rolled back: "

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
	if left.Group == "" {
		return enter(u, api.UpgradeRetired, now, ""), nil
	}
	return enter(u, api.UpgradeRetired, now, left.Group+" is deleted"), []kit.Op{kit.Call("retire", "1", left)}
}

// copyingEvent tells how far the action cycle has come; an api.Copying.
const copyingEvent = "copying"

func copying(u api.Upgrade, e kit.Event) (api.Upgrade, []kit.Op) {
	var c api.Copying
	if err := e.Into(&c); err != nil {
		return u, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if u.State == api.UpgradeCopying {
		u.Copying = &c
	}
	return u, nil
}

// The events by which the action cutover takes an upgrade on.
const (
	reachedEvent  = "reached"  // a step
	reopenedEvent = "reopened" // traffic goes to blue; an epoch
)

// step says which state the cutover has come to, and what it found.
type step struct {
	State api.UpgradeState `json:"state"`
	// Epoch is that of the decision which the action carries out.
	Epoch    int64             `json:"epoch"`
	Cycle    *copied           `json:"cycle,omitempty"`
	Final    string            `json:"final,omitempty"`
	Verified *api.Verification `json:"verified,omitempty"`
	Base     string            `json:"base,omitempty"`
	Pause    api.Duration      `json:"pause,omitempty"`
	// Text is for the history; for a step back it is the reason.
	Text string `json:"text,omitempty"`
	// Unfenced says that green may still take writes after a rollback.
	Unfenced bool `json:"unfenced,omitempty"`
}

// follows are the states that a cutover can come to from each state. A
// rollback that must not go on has committed as its way back to green.
var follows = map[api.UpgradeState][]api.UpgradeState{
	api.UpgradeReady:     {api.UpgradeHolding},
	api.UpgradeHolding:   {api.UpgradeFenced, api.UpgradeReopening},
	api.UpgradeFenced:    {api.UpgradeFinal, api.UpgradeReopening},
	api.UpgradeFinal:     {api.UpgradeVerified, api.UpgradeReopening},
	api.UpgradeVerified:  {api.UpgradeCommitted, api.UpgradeReopening},
	api.UpgradeCommitted: {api.UpgradeReleased},
	api.UpgradeBack:      {api.UpgradeReopening, api.UpgradeCommitted},
}

func reached(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	var s step
	if err := e.Into(&s); err != nil {
		return u, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	bare := u.Stateless && u.State == api.UpgradeHolding && s.State == api.UpgradeCommitted
	if !bare && !slices.Contains(follows[u.State], s.State) {
		return u, kit.Refuse(kit.ErrConflict, "the upgrade is %s: it cannot become %s", u.State, s.State)
	}
	if s.Epoch != u.Epoch {
		return u, kit.Refuse(kit.ErrConflict, "the upgrade is at epoch %d: what epoch %d has come to is of no interest", u.Epoch, s.Epoch)
	}
	switch s.State {
	case api.UpgradeHolding:
		return hold(u, s, now)
	case api.UpgradeFenced:
		u.Final = s.Final
	case api.UpgradeFinal:
		return final(u, s, now)
	case api.UpgradeVerified:
		return verified(u, s, now)
	case api.UpgradeCommitted:
		return commit(u, s, now), nil
	case api.UpgradeReleased:
		return released(u, s, now), nil
	case api.UpgradeReopening:
		return reopen(u, s, now)
	}
	return enter(u, s.State, now, s.Text), nil
}

// hold begins a cutover, unless the last cycle shows that it would take too
// long by now.
func hold(u api.Upgrade, s step, now time.Time) (api.Upgrade, []kit.Op) {
	if !u.Stateless {
		if s.Cycle == nil {
			return u, kit.Refuse(kit.ErrInvalid, "a hold needs a cycle right before it")
		}
		u = record(u, *s.Cycle, now)
		if len(s.Cycle.Failed) > 0 {
			return giveUp(u, now, untransformed(s.Cycle.Failed))
		}
		c := u.Cycles[len(u.Cycles)-1]
		if c.Predicted > u.Budget {
			return more(enter(u, api.UpgradeCopying, now, "the predicted pause has grown"), now)
		}
		u.Predicted = c.Predicted
	}
	u.Epoch++
	u.Attempts++
	return enter(u, api.UpgradeHolding, now, fmt.Sprintf("attempt %d of %d", u.Attempts, maxAttempts)), nil
}

func final(u api.Upgrade, s step, now time.Time) (api.Upgrade, []kit.Op) {
	if s.Cycle == nil {
		return u, kit.Refuse(kit.ErrInvalid, "the final cycle is missing")
	}
	s.Cycle.Final = true
	u = record(u, *s.Cycle, now)
	switch {
	case len(s.Cycle.Failed) > 0:
		return surrender(u, untransformed(s.Cycle.Failed), now), nil
	case s.Cycle.Left > 0:
		return surrender(u, fmt.Sprintf("%d documents were left after the final cycle, though blue was fenced", s.Cycle.Left), now), nil
	}
	return enter(u, api.UpgradeFinal, now, s.Text), nil
}

func verified(u api.Upgrade, s step, now time.Time) (api.Upgrade, []kit.Op) {
	if s.Verified == nil {
		return u, kit.Refuse(kit.ErrInvalid, "the verification is missing")
	}
	u.Verified = s.Verified
	if s.Verified.Different > 0 {
		why := fmt.Sprintf("the sides differ in %d of %d buckets", s.Verified.Different, s.Verified.Buckets)
		return surrender(u, why, now), nil
	}
	return enter(u, api.UpgradeVerified, now, s.Text), nil
}

// commit puts green in charge, or leaves it so after a rollback that did not
// go on.
func commit(u api.Upgrade, s step, now time.Time) api.Upgrade {
	if u.State == api.UpgradeBack {
		u.Epoch++
		u.Error = s.Text
	} else {
		u.Base = s.Base
	}
	return enter(u, api.UpgradeCommitted, now, s.Text)
}

func released(u api.Upgrade, s step, now time.Time) api.Upgrade {
	_, before := last(u, api.UpgradeSoak)
	if began, held := last(u, api.UpgradeHolding); held && !before {
		u.Pause = s.Pause
		if s.Pause == 0 { // the action that held was killed
			u.Pause = api.Seconds(now.Sub(began))
		}
	}
	return enter(enter(u, api.UpgradeReleased, now, s.Text), api.UpgradeSoak, now, "")
}

// reopen puts blue in charge again: after a cutover that did not succeed, or
// for a rollback.
func reopen(u api.Upgrade, s step, now time.Time) (api.Upgrade, []kit.Op) {
	if u.State != api.UpgradeBack && u.Attempts >= maxAttempts {
		return surrender(u, fmt.Sprintf("the cutover failed %d times, at last: %s", u.Attempts, s.Text), now), nil
	}
	var ops []kit.Op
	if s.Unfenced {
		ops = []kit.Op{kit.Call("fence", "1", nil)}
	}
	if u.State != api.UpgradeBack {
		u.Epoch++
	}
	return enter(u, api.UpgradeReopening, now, s.Text), ops
}

// surrender reopens blue from within the hold, and then gives u up.
func surrender(u api.Upgrade, why string, now time.Time) api.Upgrade {
	u.Epoch++
	u.Error = why
	return enter(u, api.UpgradeReopening, now, why)
}

// reopenedArgs are those of the event reopened.
type reopenedArgs struct {
	Epoch int64  `json:"epoch"`
	Text  string `json:"text,omitempty"`
}

// reopened goes on after traffic goes to blue: a rollback is done, a cutover
// is tried again or given up.
func reopened(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	var a reopenedArgs
	if err := e.Into(&a); err != nil {
		return u, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if u.State != api.UpgradeReopening || u.Epoch != a.Epoch {
		return u, kit.Refuse(kit.ErrConflict, "the upgrade is %s at epoch %d: it is not waiting for traffic at epoch %d", u.State, u.Epoch, a.Epoch)
	}
	_, committed := last(u, api.UpgradeCommitted)
	switch {
	case committed:
		return enter(u, api.UpgradeRolledBack, now, a.Text), nil
	case u.Error != "":
		return giveUp(u, now, u.Error)
	case u.Stateless:
		return enter(u, api.UpgradeReady, now, ""), nil // the same action goes on
	}
	return enter(u, api.UpgradeCopying, now, "once more after attempt "+strconv.Itoa(u.Attempts)), again(u)
}

// copied is a cycle and what it could not transform.
type copied struct {
	api.Cycle
	Failed []string `json:"failed,omitempty"`
}
