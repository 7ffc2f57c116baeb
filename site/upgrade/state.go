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
	// maxAttempts is how often a cutover may fail after blue was fenced, maxHolds
	// how often before, and maxRollbacks how often a rollback is tried: each may
	// take two epochs.
	maxAttempts  = 3
	maxHolds     = 10
	maxRollbacks = 30
)

// next returns u after e, and what must now happen.
func next(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	switch e.Name {
	case "created":
		return created(u, now)
	case "provision.done":
		return provisioned(u, e, now)
	case api.UpgradeCopies + ".done":
		return cycled(u, e, now)
	case "provision.failed":
		return failed(u, e, now, api.UpgradeProvision)
	case api.UpgradeCopies + ".failed":
		if u.State == api.UpgradeReady && !u.Waiting() {
			return u, nil // the cutover has taken its place
		}
		return failed(u, e, now, api.UpgradeCopying, api.UpgradeReady)
	case "cutover.failed":
		return failed(u, e, now, api.UpgradeReady)
	case copyingEvent:
		return copying(u, e)
	case reachedEvent:
		return reached(u, e, now)
	case reopenedEvent:
		return reopened(u, e, now)
	}
	return asked(u, e, now)
}

// asked returns u after what people ask for, and what follows from that and in
// soak.
func asked(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	switch e.Name {
	case "pause":
		return paused(u, e, now)
	case "resume", "go":
		return resumed(u, e, now)
	case "abort":
		return aborted(u, e, now)
	case "abort.done", "abort.failed":
		return stopped(u, e, now)
	case "rollback":
		return rollback(u, e, now)
	case "check.done", "check.failed":
		return checked(u, e, now)
	case api.UpgradeReturns + ".done":
		return returned(u, e, now)
	case api.UpgradeReturns + ".failed":
		return notReturned(u, e, now)
	case api.UpgradeLooks + ".done":
		return looked(u, e, now)
	case api.UpgradeLooks + ".failed":
		u.Error = "the checks are not looked at any more: " + failureOf(e)
	case "waive":
		return waive(u, e, now)
	case "retry":
		return retry(u, now)
	case "waive.done", "retry.done", "waive.failed", "retry.failed":
		return mended(u, e, now)
	case "rehearse.done":
		return rehearsed(u, e, now)
	case "rehearse.failed":
		return failed(u, e, now, api.UpgradeCopying, api.UpgradeReady)
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

// count returns how often u has come to the state.
func count(u api.Upgrade, s api.UpgradeState) int {
	n := 0
	for i, m := range u.History {
		if m.State == s && (i == 0 || u.History[i-1].State != s) {
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
	if why := senseless(u); why != "" {
		return u, kit.Refuse(kit.ErrInvalid, "%s", why)
	}
	u = api.Upgrade{
		Meta: u.Meta, Environment: u.Environment, Project: u.Project, Blue: u.Blue, Green: u.Green,
		UpgradePolicy: u.UpgradePolicy, Rehearse: u.Rehearse, Paused: u.Paused, Epoch: u.Epoch, Deployment: u.Deployment,
	}
	if u.Budget == 0 {
		u.Budget = api.Seconds(api.DefaultBudget)
	}
	u = enter(u, api.UpgradePlanned, now, "")
	return enter(u, api.UpgradeProvision, now, ""), []kit.Op{kit.Call("provision", "1", nil)}
}

// senseless says why nobody can carry u out, or nothing.
func senseless(u api.Upgrade) string {
	switch {
	case u.Environment == "":
		return "an upgrade needs an environment"
	case u.Green.Group == "" || u.Green.Image == "":
		return "an upgrade needs green: the group to start and its image"
	case u.Green.Group == u.Blue.Group:
		return fmt.Sprintf("blue and green are the same group, %s: green needs a new one", u.Blue.Group)
	case u.Green.Image == u.Blue.Image:
		return fmt.Sprintf("%s runs already: there is nothing to upgrade to", u.Blue.Image)
	case u.Epoch < 1:
		return "an upgrade needs an epoch from 1 on, higher than all before it in the environment"
	case u.Rehearse && first(u):
		return "nothing runs yet: there is nothing to rehearse against"
	}
	return u.UpgradePolicy.Senseless()
}

// provisionResult is the outcome of the action provision.
type provisionResult struct {
	Green     api.Side `json:"green"`
	Stateless bool     `json:"stateless"`
	// OneWay are the reasons why green's documents cannot be taken back.
	OneWay  []string    `json:"oneWay,omitempty"`
	Sparing api.Sparing `json:"sparing,omitzero"`
}

func provisioned(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	var r provisionResult
	if err := e.Into(&r); err != nil {
		return u, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if u.State != api.UpgradeProvision {
		return u, nil
	}
	u.Green, u.Stateless, u.OneWay, u.Sparing = r.Green, r.Stateless, r.OneWay, r.Sparing
	if u.WayBack == api.WayBackNone && !u.Stateless && !first(u) {
		u.OneWay = []string{"no way back was asked for"}
	}
	switch {
	case u.WayBack == api.WayBackRequired && len(u.OneWay) > 0:
		return giveUp(u, now, "a way back is required, and there is none: "+strings.Join(u.OneWay, "; "))
	case first(u):
		return enter(u, api.UpgradeCommitted, now, "the first deployment"), cutover(u)
	case u.Stateless:
		return prepared(enter(u, api.UpgradeReady, now, "there is nothing to copy"), now)
	}
	text := ""
	if len(u.OneWay) > 0 {
		text = "there is no way back: " + strings.Join(u.OneWay, "; ")
	}
	return enter(u, api.UpgradeCopying, now, text), again(u)
}

// again wishes for the next cycle.
func again(u api.Upgrade) []kit.Op {
	return []kit.Op{kit.Call(api.UpgradeCopies, strconv.Itoa(nextNumber(u)), nil)}
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
	if u.State != api.UpgradeCopying && (u.State != api.UpgradeReady || !u.Waiting()) {
		return u, nil
	}
	u = record(u, c, now)
	if u.Rehearse {
		u.Rehearsal = &api.Rehearsal{Failed: c.Failed}
	}
	switch {
	case len(c.Failed) > 0 && !u.Rehearse && u.Waiting():
		return unmended(u, c.Failed, now)
	case len(c.Failed) > 0 && !u.Rehearse:
		return giveUp(u, now, untransformed(c.Failed))
	case ready(u) && u.State == api.UpgradeReady:
		return prepared(u, now)
	case ready(u) && !u.Waiting() && now.Before(nextAttempt(u)):
		return meanwhile(u, now)
	case ready(u):
		return prepared(enter(u, api.UpgradeReady, now, ""), now)
	case u.State == api.UpgradeReady:
		u = enter(u, api.UpgradeCopying, now, outgrown(u))
	}
	return more(u, now)
}

// prepared begins the cutover of u, which is ready, or what u wants instead.
func prepared(u api.Upgrade, now time.Time) (api.Upgrade, []kit.Op) {
	switch {
	case u.Rehearse:
		return conclude(u, now, "")
	case !u.Waiting():
		return u, cutover(u)
	case u.Stateless:
		return u, nil
	}
	u.Slowed = 0
	return u, later(u, now)
}

// more makes u go on copying, with slower writers if that is needed, or gives
// it up.
func more(u api.Upgrade, now time.Time) (api.Upgrade, []kit.Op) {
	if u.Paused {
		u.Slowed = 0
		return u, later(u, now)
	}
	share := slower(u, u.LastCycle())
	if share > u.Slowed {
		u.Slowed, u.Slowest = share, max(u.Slowest, share)
		return u, again(u)
	}
	why := diverges(u, now)
	switch {
	case why != "" && u.Rehearse:
		return conclude(u, now, why)
	case why != "":
		return giveUp(u, now, why)
	}
	return u, again(u)
}

// untransformed says which documents could not be transformed.
func untransformed(names []string) string {
	return fmt.Sprintf("%s could not be transformed: %s", documents(len(names)), someOf(names))
}

// documents is a number of documents in words.
func documents(n int) string {
	if n == 1 {
		return "1 document"
	}
	return fmt.Sprintf("%d documents", n)
}

// someOf returns the first names, and how many more there are.
func someOf(names []string) string {
	const shown = 5
	text := strings.Join(names[:min(shown, len(names))], ", ")
	if n := len(names) - shown; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// failed gives u up after an action that such a state has wished for.
func failed(u api.Upgrade, e kit.Event, now time.Time, states ...api.UpgradeState) (api.Upgrade, []kit.Op) {
	if !slices.Contains(states, u.State) {
		return u, nil
	}
	return giveUp(u, now, failureOf(e))
}

// giveUp makes u go back to blue for good.
func giveUp(u api.Upgrade, now time.Time, why string) (api.Upgrade, []kit.Op) {
	u.Epoch++
	u.Error, u.Slowed = why, 0
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
	if u.Rehearse && u.Error == "" {
		return enter(u, api.UpgradeRehearsed, now, text), nil
	}
	return enter(u, api.UpgradeAborted, now, text), nil
}

// copyingEvent tells how far the action cycle has come; copyingArgs.
const copyingEvent = "copying"

type copyingArgs struct {
	api.Copying
	Sparing api.Sparing `json:"sparing"`
}

func copying(u api.Upgrade, e kit.Event) (api.Upgrade, []kit.Op) {
	var c copyingArgs
	if err := e.Into(&c); err != nil {
		return u, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if u.State == api.UpgradeCopying {
		u.Copying, u.Sparing = &c.Copying, c.Sparing
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
	api.UpgradeBack:      {api.UpgradeBack, api.UpgradeReopening, api.UpgradeCommitted},
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
	case api.UpgradeBack:
		return turned(u, s, now)
	case api.UpgradeCommitted:
		return commit(u, s, now), nil
	case api.UpgradeReleased:
		return released(u, s, now)
	case api.UpgradeReopening:
		return reopen(u, s, now)
	}
	return enter(u, s.State, now, s.Text), nil
}

// hold begins a cutover, unless the last cycle shows that it would take too
// long by now.
func hold(u api.Upgrade, s step, now time.Time) (api.Upgrade, []kit.Op) {
	if u.Waiting() {
		return u, kit.Refuse(kit.ErrConflict, "the upgrade waits for somebody to say go: no hold begins")
	}
	if !u.Stateless {
		if s.Cycle == nil {
			return u, kit.Refuse(kit.ErrInvalid, "a hold needs a cycle right before it")
		}
		u = record(u, *s.Cycle, now)
		if len(s.Cycle.Failed) > 0 {
			return giveUp(u, now, untransformed(s.Cycle.Failed))
		}
		c := u.LastCycle()
		if c.Predicted > u.Budget/2 {
			return more(enter(u, api.UpgradeCopying, now, "the predicted pause has grown"), now)
		}
		u.Predicted = c.Predicted
	}
	u.Epoch++
	u.Attempts++
	return enter(u, api.UpgradeHolding, now, "attempt "+strconv.Itoa(u.Attempts)), nil
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
	u.Slowed = 0
	if u.State == api.UpgradeBack {
		u.Epoch++
		u.Error = s.Text
		return enter(u, api.UpgradeCommitted, now, s.Text)
	}
	u.Base = s.Base
	if twoWay(u) {
		u.Back = &api.Back{}
	}
	return enter(u, api.UpgradeCommitted, now, s.Text)
}

func released(u api.Upgrade, s step, now time.Time) (api.Upgrade, []kit.Op) {
	_, before := last(u, api.UpgradeSoak)
	if began, held := last(u, api.UpgradeHolding); held && !before {
		u.Pause = s.Pause
		if s.Pause == 0 { // the action that held was killed
			u.Pause = api.Seconds(now.Sub(began))
		}
	}
	u, ops := soak(enter(u, api.UpgradeReleased, now, s.Text), now, "")
	return u, append(ops, closed(u, u.Blue, now)...)
}

// reopen puts blue in charge again: after a cutover that did not succeed, or
// for a rollback.
func reopen(u api.Upgrade, s step, now time.Time) (api.Upgrade, []kit.Op) {
	if u.State == api.UpgradeBack {
		return goBack(u, s, now)
	}
	if exhausted(u) {
		return surrender(u, fmt.Sprintf("the cutover failed %d times, at last: %s", u.Attempts, s.Text), now), nil
	}
	u.Epoch++
	u.Slowed = 0
	return enter(u, api.UpgradeReopening, now, s.Text), nil
}

// surrender reopens blue from within the hold, and then gives u up.
func surrender(u api.Upgrade, why string, now time.Time) api.Upgrade {
	u.Epoch++
	u.Error, u.Slowed = why, 0
	return enter(u, api.UpgradeReopening, now, why)
}

// reopenedArgs are those of the event reopened.
type reopenedArgs struct {
	Epoch int64        `json:"epoch"`
	Text  string       `json:"text,omitempty"`
	Pause api.Duration `json:"pause,omitempty"`
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
		return wentBack(u, a, now), closed(u, u.Green, now)
	case u.Error != "":
		return giveUp(u, now, u.Error)
	case u.Stateless && u.Waiting():
		return enter(u, api.UpgradeReady, now, ""), nil
	case u.Stateless:
		op := cutover(u)[0]
		op.At = nextAttempt(u)
		return enter(u, api.UpgradeReady, now, ""), []kit.Op{op}
	case u.Paused:
		return enter(u, api.UpgradeCopying, now, "after attempt "+strconv.Itoa(u.Attempts)), later(u, now)
	}
	return enter(u, api.UpgradeCopying, now, "once more after attempt "+strconv.Itoa(u.Attempts)), again(u)
}

// copied is a cycle, forth or back, and what it could not transform.
type copied struct {
	api.Cycle
	Failed []string `json:"failed,omitempty"`
	// Quarantine is that of green after the cycle, unless it was the final one.
	Quarantine []api.Quarantined `json:"quarantine,omitempty"`
	// Sparing is how blue's clients were spared, if they were.
	Sparing api.Sparing `json:"sparing,omitzero"`
}
