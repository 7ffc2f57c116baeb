package api

import (
	"fmt"
	"time"

	"landfall.dev/kit"
)

// Upgrades are moves of a running platform from one version to the next. The
// environment's agent owns them, in its own store; the hub has copies.
var Upgrades = kit.Define[Upgrade]("upgrades")

// Upgrade is one move of a platform from blue to green.
type Upgrade struct {
	kit.Meta
	Environment string `json:"environment"`
	Project     string `json:"project"`
	Blue        Side   `json:"blue"`
	Green       Side   `json:"green"`

	State UpgradeState `json:"state"`
	UpgradePolicy
	// Rehearse says that this is a rehearsal: all is done but to hold traffic and
	// to switch it, and green is removed in the end.
	Rehearse bool `json:"rehearse,omitempty"`
	// Paused says that no hold begins until somebody resumes the upgrade.
	Paused bool `json:"paused,omitempty"`
	// Resumed is when somebody last said that it goes on.
	Resumed time.Time `json:"resumed,omitzero"`
	// Epoch is that of the latest decision on where traffic goes: of the fences
	// and the route that follow from it.
	Epoch int64 `json:"epoch"`
	// Stateless says that blue keeps no documents: nothing is copied or fenced.
	Stateless bool `json:"stateless,omitempty"`
	// OneWay are the reasons why what is written on green cannot be taken back
	// to blue, none if it can.
	OneWay []string `json:"oneWay,omitempty"`
	Cycles []Cycle  `json:"cycles,omitempty"`
	// Slowed is the share of their rate that writers are kept from now, so that
	// the copy catches up; Slowest is the greatest that it was.
	Slowed  float64 `json:"slowed,omitempty"`
	Slowest float64 `json:"slowest,omitempty"`
	// Sparing is how blue's clients are spared while their documents are copied.
	Sparing Sparing `json:"sparing,omitzero"`
	// Quarantine are documents that cannot be transformed, as the last cycle has
	// found them, those that are waived too: at most MaxQuarantine.
	Quarantine []Quarantined `json:"quarantine,omitempty"`
	// Copying is how far a cycle that takes longer than a second has come.
	Copying *Copying `json:"copying,omitempty"`
	// Predicted and Pause are the hold as predicted before and as it was.
	Predicted Duration `json:"predicted,omitempty"`
	Pause     Duration `json:"pause,omitempty"`
	// Final is blue's last position, read after the fence.
	Final string `json:"final,omitempty"`
	// Base is green's position at the commit: what was written on green since is
	// taken back to blue.
	Base string `json:"base,omitempty"`
	// Back is the stream from green back to blue, nil before the commit and if
	// there is none.
	Back *Back `json:"back,omitempty"`
	// Health is what the checks have found last, in soak, of so many Looks.
	Health []Reading `json:"health,omitempty"`
	Looks  int       `json:"looks,omitempty"`
	// Rehearsal is what a rehearsal has come to.
	Rehearsal *Rehearsal `json:"rehearsal,omitempty"`
	// LoseWrites says that the rollback that was asked for last gives that up.
	LoseWrites bool          `json:"loseWrites,omitempty"`
	Verified   *Verification `json:"verified,omitempty"`
	Attempts   int           `json:"attempts,omitempty"` // at the cutover
	// Error is why the upgrade was aborted, or in soak why the last rollback was
	// refused or failed.
	Error   string   `json:"error,omitempty"`
	History []Moment `json:"history,omitempty"`
	// Deployment is what ordered the upgrade, if a pipeline did.
	Deployment kit.Link `json:"deployment,omitempty"`
}

// Copying compares the documents that green has with those that blue has.
type Copying struct {
	Documents int64 `json:"documents"`
	Of        int64 `json:"of"`
}

// Sparing is how blue's clients are spared. The times are those within which the
// front doors answer 99 of 100 requests.
type Sparing struct {
	// Base is the time before copying began, with so many Requests a second; 0 is
	// not known, as long as the doors are hardly used.
	Base     Duration `json:"base,omitempty"`
	Requests float64  `json:"requests,omitempty"`
	// Limit is what the time may come to while documents are copied, or a
	// millisecond more than Base.
	Limit Duration `json:"limit,omitempty"`
	// P99 is the time while documents were copied last.
	P99 Duration `json:"p99,omitempty"`
	// Rate is how many documents a second are copied at most for that; 0 is no
	// bound.
	Rate float64 `json:"rate,omitempty"`
}

// MaxQuarantine is how many documents of a quarantine an Upgrade names.
const MaxQuarantine = 100

// Quarantined is a document that cannot be transformed: a cycle goes on without
// it, but traffic is not held before it is mended or waived.
type Quarantined struct {
	Link    kit.Link `json:"link"`
	Version int64    `json:"version,omitempty"` // on blue
	Field   string   `json:"field,omitempty"`   // empty if it is not about one field
	Error   string   `json:"error"`
	// WaivedBy is who has given it up, so that it stays behind; empty if nobody
	// has.
	WaivedBy string `json:"waivedBy,omitempty"`
}

// String returns q for people.
func (q Quarantined) String() string {
	if q.Field == "" {
		return fmt.Sprintf("%s: %s", q.Link, q.Error)
	}
	return fmt.Sprintf("%s: %s: %s", q.Link, q.Field, q.Error)
}

// Side is a group of instances with one version.
type Side struct {
	Group   string   `json:"group"`
	Image   string   `json:"image"`
	Release kit.Link `json:"release,omitempty"`
	URLs    []string `json:"urls,omitempty"` // of the instances, on loopback
}

// UpgradePolicy says how an upgrade is to be done.
type UpgradePolicy struct {
	// Budget is how long traffic may be held; 0 means 250 ms.
	Budget Duration `json:"budget,omitempty"`
	// WayBack says whether the upgrade needs a way back without loss.
	WayBack WayBack `json:"wayBack,omitempty"`
	// Slow is the greatest share of their rate that writers may be kept from if
	// the copy does not converge; 0 means 0.5, less than 0 that they must not be
	// slowed.
	Slow float64 `json:"slow,omitempty"`
	// Spare is how many times as long as before 99 of 100 of blue's clients may
	// wait while documents are copied: the copy is slowed for that, but the
	// upgrade still converges. 0 means 1.2, less than 0 that it is not slowed.
	Spare float64 `json:"spare,omitempty"`
	// Waive is how many documents that cannot be transformed may stay behind.
	Waive int `json:"waive,omitempty"`
	// Hold is HoldManual to stay ready until somebody says go.
	Hold Hold `json:"hold,omitempty"`
	// Soak is how long Checks are looked at after traffic goes to green, and no
	// other upgrade begins; 0 means ten minutes if there are Checks.
	Soak Duration `json:"soak,omitempty"`
	// Checks decide in soak whether to go back.
	Checks []Check `json:"checks,omitempty"`
}

// DefaultBudget is how long traffic may be held if nobody said.
const DefaultBudget = 250 * time.Millisecond

// DefaultSpare is UpgradePolicy.Spare if nobody said.
const DefaultSpare = 1.2

// Senseless says why no upgrade can be done by p, naming the field and what to
// write there, or nothing.
func (p UpgradePolicy) Senseless() string {
	switch {
	case p.Budget < 0:
		return fmt.Sprintf("traffic cannot be held for %v seconds: leave the budget out for %v", float64(p.Budget), DefaultBudget)
	case p.WayBack != "" && p.WayBack != WayBackAsked && p.WayBack != WayBackRequired && p.WayBack != WayBackNone:
		return fmt.Sprintf("wayBack %q is not known: use %s, %s or %s", p.WayBack, WayBackAsked, WayBackRequired, WayBackNone)
	case p.Hold != "" && p.Hold != HoldManual:
		return fmt.Sprintf("hold %q is not known: use %s, or leave it out to hold as soon as it is ready", p.Hold, HoldManual)
	case p.Slow >= 1:
		return fmt.Sprintf("slow %v would stop all writers: use less than 1, as 0.5 for half of their rate", p.Slow)
	case p.Spare > 0 && p.Spare < 1:
		return fmt.Sprintf("spare %v: nobody waits less because documents are copied: use 1 or more, as %v", p.Spare, DefaultSpare)
	case p.Waive < 0 || p.Waive > MaxQuarantine:
		return fmt.Sprintf("waive %d: use the number of documents that may stay behind, 0 to %d", p.Waive, MaxQuarantine)
	case p.Soak < 0:
		return fmt.Sprintf("soak %v: use the seconds that green is observed", float64(p.Soak))
	}
	names := map[string]bool{}
	for i, c := range p.Checks {
		switch {
		case c.Name == "" || names[c.Name]:
			return fmt.Sprintf("checks[%d].name %q: each check needs a name of its own", i, c.Name)
		case c.URL == "" && c.Query != CheckErrors && c.Query != CheckLatency && c.Query != CheckTests:
			return fmt.Sprintf("checks[%d].query %q: use %s, %s or %s, or name a Prometheus server as its url", i, c.Query, CheckErrors, CheckLatency, CheckTests)
		case c.Query == "":
			return fmt.Sprintf("checks[%d].query: a check of %s needs a query in PromQL", i, c.URL)
		case c.For < 0:
			return fmt.Sprintf("checks[%d].for %v: use the seconds that it may be over its limit", i, float64(c.For))
		}
		names[c.Name] = true
	}
	return ""
}

// WayBack is whether an upgrade needs a way back without loss.
type WayBack string

// The needs of a way back. Empty means WayBackAsked.
const (
	WayBackAsked    WayBack = "asked"    // if the schemas allow it
	WayBackRequired WayBack = "required" // else the upgrade is given up before anything is copied
	WayBackNone     WayBack = "none"     // nothing is taken back to blue
)

// Hold is when a cutover begins.
type Hold string

// HoldManual is when somebody says go; empty means as soon as it is ready.
const HoldManual Hold = "manual"

// Check is a value that green must keep while it is observed: one that is over
// Max for longer than For makes the upgrade go back, if that loses nothing.
type Check struct {
	Name string `json:"name"`
	// URL is that of a Prometheus server, like http://127.0.0.1:9090. If it is
	// empty the value is one of the environment itself.
	URL string `json:"url,omitempty"`
	// Query is in PromQL. Without URL it is CheckErrors, CheckLatency or
	// CheckTests.
	Query string   `json:"query"`
	Max   float64  `json:"max"`
	For   Duration `json:"for,omitempty"`
}

// The values of the environment itself.
const (
	// CheckErrors is the share of the front door's requests that have failed
	// since it was looked at last.
	CheckErrors = "errors"
	// CheckLatency is the time in seconds within which the front door has
	// answered 99 of 100 requests since it was looked at last.
	CheckLatency = "p99"
	// CheckTests is 1 if the tests of the deployment have failed.
	CheckTests = "tests"
)

// Reading is what a check has found.
type Reading struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	// Error is why there is no value.
	Error string `json:"error,omitempty"`
	// Over is since when the value is over the limit.
	Over time.Time `json:"over,omitzero"`
}

// Back is how far blue has what was written on green since the commit.
type Back struct {
	// Lag is how many documents were left after the last cycle, At when that was.
	Lag    int64     `json:"lag"`
	Cycles int       `json:"cycles"`
	At     time.Time `json:"at,omitzero"`
	// Documents were taken back in all, Last in the last cycle.
	Documents int64 `json:"documents"`
	Last      Cycle `json:"last,omitzero"`
	// Quiet counts the cycles in a row that had nothing to take back, Tries those
	// of the rollback that was asked for last.
	Quiet int `json:"quiet,omitempty"`
	Tries int `json:"tries,omitempty"`
	// Error is why the last cycle has failed.
	Error string `json:"error,omitempty"`
	// Quarantine are green's documents that have no form on blue, as
	// Upgrade.Quarantine are blue's on green.
	Quarantine []Quarantined `json:"quarantine,omitempty"`
	// Predicted and Pause are the hold of the rollback, Final is green's last
	// position in it.
	Predicted Duration      `json:"predicted,omitempty"`
	Pause     Duration      `json:"pause,omitempty"`
	Final     string        `json:"final,omitempty"`
	Verified  *Verification `json:"verified,omitempty"`
}

// Rehearsal is the report of a rehearsal.
type Rehearsal struct {
	// Problems are why the upgrade would not succeed, none if it would.
	Problems []string `json:"problems,omitempty"`
	// Failed are documents that cannot be transformed.
	Failed []string `json:"failed,omitempty"`
	// Behind are documents that cannot be transformed and would stay behind,
	// because the policy waives them.
	Behind []string `json:"behind,omitempty"`
	// Documents were copied in all, in Seconds, at Rate documents a second.
	Documents int64   `json:"documents"`
	Seconds   float64 `json:"seconds"`
	Rate      float64 `json:"rate"`
	// Predicted is the pause that traffic would have.
	Predicted Duration `json:"predicted"`
	// Blue and Green are what the sides take.
	Blue  Room `json:"blue"`
	Green Room `json:"green"`
	// Verified compares the sides; what was written meanwhile may differ.
	Verified *Verification `json:"verified,omitempty"`
}

// Lines tells r to people.
func (r Rehearsal) Lines() []string {
	lines := []string{
		fmt.Sprintf("%d documents in %.3f s, %.0f a second", r.Documents, r.Seconds, r.Rate),
		fmt.Sprintf("predicted pause %v", r.Predicted.Std().Round(time.Millisecond)),
		fmt.Sprintf("blue takes %s, green %s", r.Blue, r.Green),
	}
	if v := r.Verified; v != nil {
		lines = append(lines, fmt.Sprintf("%d documents compared, %d of %d buckets differ by what is written now", v.Documents, v.Different, v.Buckets))
	}
	for _, f := range r.Failed {
		lines = append(lines, "cannot be transformed: "+f)
	}
	for _, b := range r.Behind {
		lines = append(lines, "would stay behind: "+b)
	}
	for _, p := range r.Problems {
		lines = append(lines, "problem: "+p)
	}
	if len(r.Problems) == 0 {
		lines = append(lines, "the upgrade would succeed")
	}
	return lines
}

// String returns r for people.
func (r Room) String() string {
	const mega = 1 << 20
	return fmt.Sprintf("%.1f MiB of memory and %.1f MiB of disk", float64(r.Memory)/mega, float64(r.Disk)/mega)
}

// Room is an amount of memory and disk, in bytes; 0 means that it is not known.
type Room struct {
	Memory int64 `json:"memory,omitempty"`
	Disk   int64 `json:"disk,omitempty"`
}

// UpgradeState is where an Upgrade is. Every state before UpgradeCommitted
// may abort to blue; after it every failure rolls forward.
type UpgradeState string

// The states of an Upgrade, in order, and after them those of the ways back.
const (
	UpgradePlanned    UpgradeState = "planned"
	UpgradeProvision  UpgradeState = "provision" // green is started beside blue
	UpgradeCopying    UpgradeState = "copying"   // in cycles, by sequence number
	UpgradeReady      UpgradeState = "ready"     // the predicted pause fits the budget
	UpgradeHolding    UpgradeState = "holding"   // the front door holds and drains
	UpgradeFenced     UpgradeState = "fenced"    // blue refuses writes
	UpgradeFinal      UpgradeState = "final"     // the last cycle is done
	UpgradeVerified   UpgradeState = "verified"  // counts and checksums agree
	UpgradeCommitted  UpgradeState = "committed" // the only point of no return
	UpgradeReleased   UpgradeState = "released"  // traffic goes to green
	UpgradeSoak       UpgradeState = "soak"      // blue is kept
	UpgradeRetired    UpgradeState = "retired"   // the side that traffic left is gone
	UpgradeReopening  UpgradeState = "reopening" // blue is in charge again: traffic goes back to it
	UpgradeAborting   UpgradeState = "aborting"
	UpgradeAborted    UpgradeState = "aborted" // blue goes on, untouched
	UpgradeBack       UpgradeState = "rolling-back"
	UpgradeRolledBack UpgradeState = "rolled-back"
	UpgradeRehearsed  UpgradeState = "rehearsed" // green is removed, the report is there
)

// Over tells whether the upgrade needs nobody any more: it has come to its end,
// or traffic goes to green and blue is kept.
func (s UpgradeState) Over() bool {
	switch s {
	case UpgradeSoak, UpgradeRetired, UpgradeAborted, UpgradeRolledBack, UpgradeRehearsed:
		return true
	}
	return false
}

// Settled tells whether what was asked of u last has been done: nothing is
// pending but what goes on for as long as blue is kept.
func (u Upgrade) Settled() bool {
	for _, op := range u.Pending {
		switch {
		case u.State == UpgradeSoak && (op.Do == UpgradeReturns || op.Do == UpgradeLooks):
		case op.Do == UpgradeCloses && (u.State == UpgradeSoak || u.State == UpgradeRolledBack):
		case u.Waiting() && op.Do == UpgradeCopies:
		default:
			return false
		}
	}
	return true
}

// Waiting tells whether u does not begin to hold traffic until somebody says
// so.
func (u Upgrade) Waiting() bool { return u.Paused || u.Hold == HoldManual }

// The actions of upgrades that are repeated, or tried for as long as it takes.
const (
	UpgradeCopies  = "cycle"  // copies what has changed on blue
	UpgradeReturns = "return" // takes back what has changed on green
	UpgradeLooks   = "look"   // looks at the checks
	UpgradeCloses  = "close"  // makes the side that traffic has left refuse reads too
)

// WaiveArgs are the arguments of the method waive.
type WaiveArgs struct {
	// Links are documents in Quarantine, to stay behind.
	Links []kit.Link `json:"links"`
}

// RollbackArgs are the arguments of the method rollback.
type RollbackArgs struct {
	// LoseWrites gives up what was written on green since the commit and cannot
	// be taken back.
	LoseWrites bool `json:"loseWrites,omitempty"`
	// Why is for the history.
	Why string `json:"why,omitempty"`
}

// Cycle is one copy of everything that changed since the one before.
type Cycle struct {
	Number    int       `json:"number"`
	Started   time.Time `json:"started"`
	Seconds   float64   `json:"seconds"`
	Documents int64     `json:"documents"`
	Deletions int64     `json:"deletions"`
	Bytes     int64     `json:"bytes"`
	Rate      float64   `json:"rate"` // documents per second
	// Left is how many documents had changed meanwhile.
	Left      int64    `json:"left"`
	Predicted Duration `json:"predicted"` // the pause, if traffic were held now
	Final     bool     `json:"final,omitempty"`
	// Bound is the lowest rate to which the cycle was bound, to spare blue's
	// clients; 0 if it was not.
	Bound float64 `json:"bound,omitempty"`
}

// Verification is the comparison of both sides inside the hold.
type Verification struct {
	Documents int64 `json:"documents"`
	Buckets   int   `json:"buckets"`
	Different int   `json:"different"`
}

// Moment is when an upgrade reached a state.
type Moment struct {
	State UpgradeState `json:"state"`
	At    time.Time    `json:"at"`
	Text  string       `json:"text,omitempty"`
}

// Duration is a span of time, in JSON as seconds.
type Duration float64

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(float64(d) * float64(time.Second)) }

// Seconds returns d as a Duration.
func Seconds(d time.Duration) Duration { return Duration(d.Seconds()) }

// LastCycle returns the cycle that ended last, zero if none has.
func (u Upgrade) LastCycle() Cycle {
	if len(u.Cycles) == 0 {
		return Cycle{}
	}
	return u.Cycles[len(u.Cycles)-1]
}
