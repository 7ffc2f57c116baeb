package api

import (
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
	// Budget is how long traffic may be held.
	Budget Duration `json:"budget"`
	// Epoch is that of the latest decision on where traffic goes: of the fences
	// and the route that follow from it.
	Epoch int64 `json:"epoch"`
	// Stateless says that blue keeps no documents: nothing is copied or fenced.
	Stateless bool    `json:"stateless,omitempty"`
	Cycles    []Cycle `json:"cycles,omitempty"`
	// Copying is how far a cycle that takes longer than a second has come.
	Copying *Copying `json:"copying,omitempty"`
	// Predicted and Pause are the hold as predicted before and as it was.
	Predicted Duration `json:"predicted,omitempty"`
	Pause     Duration `json:"pause,omitempty"`
	// Final is blue's last position, read after the fence.
	Final string `json:"final,omitempty"`
	// Base is green's position at the commit: what was written on green since
	// is lost by going back.
	Base string `json:"base,omitempty"`
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

// Side is a group of instances with one version.
type Side struct {
	Group   string   `json:"group"`
	Image   string   `json:"image"`
	Release kit.Link `json:"release,omitempty"`
	URLs    []string `json:"urls,omitempty"` // of the instances, on loopback
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
)

// RollbackArgs are the arguments of the method rollback.
type RollbackArgs struct {
	// LoseWrites gives up what was written on green since the commit.
	LoseWrites bool `json:"loseWrites,omitempty"`
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
