// Package faults_test strikes a live upgrade with faults at its states, with
// real processes, and sees to it that it comes to the right end: nothing that
// was acknowledged is lost, doubled, or there again after it was deleted, and no
// request fails that need not.
//
// The table in this file says which fault strikes at which states, and what must
// come of it. All rounds are played in one environment with three nodes on each
// side and two front doors; those that put green in charge go back to blue, so
// that the next one begins where the one before did. The moments planned and
// released are written together with the state before or after them.
package faults_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/test/harness"
)

var binaries harness.Binaries

func TestMain(m *testing.M) { os.Exit(harness.Main(m, &binaries, harness.BuildFaulty)) }

type states []api.UpgradeState

// row is a fault, and what must come of it at each of the states. Planned is
// before the upgrade begins.
type row struct {
	fault  string
	at     states
	strike strike
	// lasts is after how long the fault is healed; 0: when the round is over.
	lasts  time.Duration
	ends   states
	reason []string // parts of why it was aborted
	// fails tells whether a request may fail; nil: none.
	fails  func(c *scene, f harness.Failure) bool
	policy api.UpgradePolicy
	rate   int  // requests a second; 0 means as always
	wired  bool // the network is at fault
}

// Which requests may fail.
func writes(_ *scene, f harness.Failure) bool { return f.Write }
func all(*scene, harness.Failure) bool        { return true }
func ofAgent(c *scene, f harness.Failure) bool {
	return f.Door == c.path.Front
}

func ofFurther(c *scene, f harness.Failure) bool { return f.Door == c.door }

const (
	planned   = api.UpgradePlanned
	provision = api.UpgradeProvision
	copying   = api.UpgradeCopying
	ready     = api.UpgradeReady
	holding   = api.UpgradeHolding
	fenced    = api.UpgradeFenced
	final     = api.UpgradeFinal
	verified  = api.UpgradeVerified
	committed = api.UpgradeCommitted
	soak      = api.UpgradeSoak
	back      = api.UpgradeBack
	aborted   = api.UpgradeAborted
)

// Soak means that green came into charge and that blue was, after the way back.
var table = []row{
	{fault: "the network between blue and green is slow", at: states{copying}, strike: slowNetwork, wired: true, ends: states{soak}},
	{fault: "the network between blue and green is cut", at: states{copying, holding, final}, strike: cutNetwork, lasts: 2500 * time.Millisecond, wired: true, ends: states{soak}, policy: api.UpgradePolicy{Budget: 0.4}},
	{fault: "green's disk is full", at: states{planned}, strike: fullDisk, ends: states{aborted}, reason: []string{"is full", "free space there"}},
	{fault: "green's disk fills up", at: states{copying, final}, strike: fillDisk, ends: states{soak}},
	{fault: "a document cannot be transformed", at: states{planned}, strike: poison, ends: states{aborted}, reason: []string{"transfers/poison", "amount"}},
	{fault: "green's clock is an hour ahead", at: states{copying}, strike: skewClock(time.Hour), ends: states{soak}},
	{fault: "green's clock is an hour behind", at: states{soak}, strike: skewClock(-time.Hour), ends: states{soak}},
	{fault: "a client holds a stream open for ever", at: states{planned}, strike: holdStream, ends: states{soak}},
	{fault: "an upload does not end", at: states{planned}, strike: upload, ends: states{soak}, policy: api.UpgradePolicy{Budget: 0.4}},
	{fault: "the agent is killed", at: states{provision, copying, ready, holding, fenced, final, verified, committed, soak, back}, strike: killAgent, ends: states{soak}, fails: ofAgent},
	{fault: "the agent is stopped", at: states{provision, copying, holding, fenced, committed, back}, strike: pauseAgent, lasts: 2 * time.Second, ends: states{soak}},
	{fault: "a front door is killed", at: states{copying, holding, fenced, committed, back}, strike: killDoor, ends: states{soak}, fails: ofFurther},
	{fault: "a front door is lost", at: states{copying}, strike: loseDoor, ends: states{soak}, fails: ofFurther},
	{fault: "a front door is stopped", at: states{holding}, strike: pauseDoor, lasts: 2 * time.Second, ends: states{soak}},
	{fault: "a node of green's is killed", at: states{provision, copying, fenced, verified}, strike: killNode(true, false), ends: states{soak}},
	{fault: "green's leader is killed", at: states{copying, holding, final}, strike: killNode(true, true), ends: states{soak}},
	{fault: "green's leader is killed in charge", at: states{committed, soak, back}, strike: killNode(true, true), ends: states{soak}, fails: all},
	{fault: "a node of green's is stopped", at: states{copying}, strike: pauseNode(true, false), lasts: 2 * time.Second, ends: states{soak}},
	{fault: "green's leader is stopped", at: states{holding}, strike: pauseNode(true, true), lasts: 2 * time.Second, ends: states{soak}},
	{fault: "a node of blue's is killed", at: states{provision, holding, committed, back}, strike: killNode(false, false), ends: states{soak}, fails: writes},
	{fault: "blue's leader is killed", at: states{copying, fenced, soak}, strike: killNode(false, true), ends: states{soak}, fails: all},
	{fault: "a node of blue's is stopped", at: states{copying}, strike: pauseNode(false, false), lasts: 2 * time.Second, ends: states{soak}, fails: writes},
	{fault: "blue's leader is stopped", at: states{ready}, strike: pauseNode(false, true), lasts: 2 * time.Second, ends: states{soak}, fails: all},
	{
		fault: "there are more writes than can be copied", at: states{planned}, strike: func(*scene) func() { return func() {} },
		ends: states{aborted}, reason: []string{"does not converge", "slowed"}, rate: 300, policy: api.UpgradePolicy{Budget: 0.05},
	},
}

func TestFaultsAtEveryState(t *testing.T) {
	s := newSite(t)
	for _, r := range table {
		for _, at := range r.at {
			t.Run(fmt.Sprintf("%s/%s", r.fault, at), func(t *testing.T) { s.play(t, r, at) })
		}
	}
}
