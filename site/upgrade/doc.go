// Package upgrade moves a running platform from one version to the next
// without losing a write, and holds its traffic only for a moment.
//
// It owns upgrades, as durable tasks of the environment's agent, and drives a
// [Gate], a [Copier] and [Groups]. It never decides what to upgrade, nor
// looks at time or networks while it decides: next is a pure function.
//
//	planned → provision → copying (cycles) ⇄ ready
//	      → holding → fenced → final → verified → committed → released → soak (cycles back) → retired
//	            └─────────┴───────┴───────┴→ reopening → copying | aborting   │
//	any of these before committed ─abort→ aborting → aborted                  │
//	          soak ← released ← committed ← rolling-back ←───rollback, checks─┘
//	                                             └→ reopening → rolled-back → retired
//	a rehearsal: ready → aborting → rehearsed
//
// A state is written before its work begins, and all work may be repeated, so
// that an agent that was killed goes on where it was: before committed by
// going back to blue, from committed on by going forward to green. What
// happens while traffic is held is one action, cutover, which writes each
// state by itself: the hold costs some round trips and four local writes, and
// no pause of the task between them.
//
// One log record commits: that of the state committed. It is written only
// over the state verified of the same epoch, so that what an action that hung
// or was thought dead writes late is refused.
//
// # Epochs
//
// Each decision on where traffic goes has an epoch of its own, higher than
// all before it in the environment: fences and gates refuse older ones. The
// creator gives the first one; the upgrade takes the following ones as it
// needs them, fewer than [Epochs]. So the creator's next upgrade begins at
// least Epochs later.
//
// # Convergence
//
// If a cycle leaves more than half as much as it has copied, writers are slowed
// at the gate, step by step within Upgrade.Slow, until the copy converges or is
// given up. They are let go at the commit, at the way back to blue, and while a
// ready upgrade waits: it holds no traffic while it is paused, or before
// somebody says go if its hold is manual.
//
// # Attempts
//
// A cutover that has fenced blue and has failed is tried again at once, a few
// times. One that has not, because a front door does not answer or uploads are
// under way, is tried more often, after a pause that grows; cycles go on
// meanwhile.
//
// # Documents that cannot be transformed
//
// They are in quarantine on green, and named in Upgrade.Quarantine. As many as
// Upgrade.Waive stay behind; with more the upgrade is given up before traffic is
// held. One that waits for somebody to say go, or is paused, goes on copying
// slowly instead, so that they can be mended on blue, retried or waived.
// What has no form on blue stops the way back likewise, see Back.Quarantine.
//
// # Going back
//
// In soak, what is written on green is taken back to blue in cycles, through the
// inverses of the transformations. A rollback is the same cutover with the roles
// swapped: cycles back until the predicted pause fits, hold, fence green, its
// last position, the last cycle, the verification, and one log record that
// commits: that of the state reopening. It loses nothing. Whatever fails before
// leaves green in charge, with the reason in Error; an agent that was killed
// does it again from the hold on. The checks of Upgrade.Checks ask for a rollback
// by themselves.
//
// The side that traffic has left refuses reads too, soon after it did: for
// clients that do not come through the front door, and for a door that nobody
// reaches.
//
// If green says that its documents cannot be taken back (OneWay), or nobody
// wants that, a rollback loses what was written on green since the commit. It is
// refused, in Error, unless that is nothing or is given up. From a green that
// does not answer it is possible too, if its writes are given up; it is fenced
// as soon as it does. A rollback that was asked for has ended when the upgrade is
// settled: it is rolled-back, or in soak again with the reason in Error. If green
// dies after the commit and before traffic goes there, the upgrade stays
// committed until green is back or a rollback is asked for.
//
// # Rehearsals
//
// A rehearsal does all but to hold, fence, slow or switch: green is provisioned,
// filled, compared with blue and measured, and removed. Its epoch decides
// nothing.
//
// # A first deployment, and platforms without documents
//
// Without a blue group, green is started and traffic opened to it. If blue
// keeps no documents, nothing is copied or fenced, but requests are held, so
// that none is cut.
package upgrade

import (
	"context"
	"log/slog"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/site/upgrade/metrics"
)

// Epochs is how many epochs an upgrade may take, beginning with the one that
// it was created with.
const Epochs = 100

// Service declares the life of upgrades. The client c acts as
// services/upgrade. The creator sees to it that an environment has one upgrade
// at a time that is not over. Callers may pause, resume, let go and abort what
// is not committed, in soak roll back with api.RollbackArgs, and from soak or
// after going back retire the group that traffic has left, which deletes it.
func Service(c kit.Client, gate Gate, copier Copier, groups Groups, health Health, log *slog.Logger) kit.Service {
	d := &driver{client: c, gate: gate, copier: copier, groups: groups, health: health, log: log, started: time.Now()}
	upgrades := kit.Own(api.Upgrades, next, "pause", "resume", "go", "abort", "rollback", "retire", "retry", "waive")
	upgrades.Audit = true
	return kit.Service{
		Name: "upgrade",
		Owns: []kit.Owned{upgrades},
		Does: kit.Does{
			"provision":        d.provision,
			api.UpgradeCopies:  d.cycle,
			"cutover":          d.cutover,
			"rehearse":         d.rehearse,
			"abort":            d.abort,
			api.UpgradeReturns: d.returns,
			api.UpgradeLooks:   d.look,
			"check":            d.check,
			"fence":            d.fence,
			"retire":           d.retire,
			"retry":            d.retry,
			"waive":            d.waive,
			api.UpgradeCloses:  d.close,
		},
		Serves: []kit.Route{{Pattern: "GET " + metrics.Path, Handler: metrics.Handler(d.client)}},
		Runs:   []func(context.Context) error{d.say},
	}
}
