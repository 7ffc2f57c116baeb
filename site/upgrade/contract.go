package upgrade

import (
	"context"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/site/upgrade/spare"
)

// Gate is all that an upgrade needs from the front doors. Its methods must not
// be called concurrently.
type Gate interface {
	// Hold makes new requests wait and returns when those inside are done. If
	// ctx ends first, it returns ctx's error and nothing is held.
	Hold(ctx context.Context) error

	// Open sends the waiting requests to side, oldest first, then new ones, and
	// ends a hold. The epoch is that of the decision; an older one than the gate
	// has seen is kit.ErrConflict. It may be repeated, and without a hold.
	Open(ctx context.Context, side api.Side, epoch int64) error

	// Lately returns what was done in the last ten seconds or so, and a function
	// for what is done from now on. Unlike the others it may be called at any
	// time, and the function too.
	Lately() (before spare.Window, since func() spare.Window)

	// Slow lets writes through at the share of the rate that they had before it
	// was called first: 0.8 for 80 %. 1 ends that. A gate that starts anew lets
	// all through; it may be repeated.
	Slow(ctx context.Context, share float64) error
}

// Copier moves documents from one side to the other. A side that keeps no
// documents answers Stateless with true, and none of the rest is called.
type Copier interface {
	// Stateless tells whether the side has nothing to copy.
	Stateless(ctx context.Context, side api.Side) (bool, error)

	// Cycle has to pull from from everything that changed since its last cycle,
	// and transform it. It may be repeated. With final it reads at from's
	// leader, and nothing is left afterwards if from is fenced. It takes no more than
	// rate documents a second; 0 is no bound.
	Cycle(ctx context.Context, from, to api.Side, rate float64, final bool) (Copied, error)

	// Pace changes the rate of the Cycle to the side that is under way, if there
	// is one, and returns how many documents that has taken so far.
	Pace(ctx context.Context, to api.Side, rate float64) (int64, error)

	// Documents returns how many documents the side has, also during a cycle.
	// Those that stay with the side do not count.
	Documents(ctx context.Context, side api.Side) (int64, error)

	// Fence makes the side refuse writes, durably, or lifts that. An epoch older
	// than the side has seen is kit.ErrConflict. It may be repeated.
	Fence(ctx context.Context, side api.Side, epoch int64, on bool) error

	// Position returns the side's last position.
	Position(ctx context.Context, side api.Side) (string, error)

	// Changed returns how many of the side's documents have changed after the
	// position. Those that stay with the side do not count.
	Changed(ctx context.Context, side api.Side, after string) (int64, error)

	// Verify compares what to was given with what from has.
	Verify(ctx context.Context, from, to api.Side) (api.Verification, error)

	// Repair finds the documents in which the sides differ, and copies them
	// again.
	Repair(ctx context.Context, from, to api.Side) (Copied, error)

	// Quarantine returns which documents could not be transformed for the side,
	// with those that are waived: those of the side before it, or with back those
	// of the one that was made from it.
	Quarantine(ctx context.Context, side api.Side, back bool) ([]api.Quarantined, error)

	// Retry has to take the documents in quarantine once more, and no others.
	Retry(ctx context.Context, from, to api.Side) (Copied, error)

	// Waive gives documents in the side's quarantine up: cycles and verification
	// go on without them. One that is not in there is kit.ErrNotFound.
	Waive(ctx context.Context, side api.Side, by string, links []kit.Link) error

	// Close makes the side refuse reads too, if it is fenced, until its fence is
	// lifted.
	Close(ctx context.Context, side api.Side) error

	// Irreversible returns why green's documents cannot be taken back to blue;
	// nothing if they can.
	Irreversible(ctx context.Context, blue, green api.Side) ([]string, error)

	// Return has to, which is fenced, take back from from, which was made from
	// it, what has changed there after base and since the Return before, in to's
	// schemas. With final it reads at from's leader, and nothing is left
	// afterwards if from is fenced. It may be repeated.
	Return(ctx context.Context, from, to api.Side, base string, final bool) (Copied, error)

	// VerifyBack compares what to has with what from has, after a Return, and
	// RepairBack finds in what they differ and takes it back again.
	VerifyBack(ctx context.Context, from, to api.Side) (api.Verification, error)
	RepairBack(ctx context.Context, from, to api.Side, base string) (Copied, error)

	// Room returns what the side takes; zero if it does not say.
	Room(ctx context.Context, side api.Side) (api.Room, error)
}

// Copied is what one cycle did.
type Copied struct {
	Documents int64 // with deletions
	Deletions int64
	Bytes     int64
	Left      int64 // changed at the source meanwhile
	Took      time.Duration
	// Failed are documents that could not be transformed; the upgrade does not
	// go on with any.
	Failed []string
}

// Groups starts and stops groups of instances.
type Groups interface {
	// Start makes the side's group run and returns it with its URLs once it
	// answers. In standby it takes no writes until its fence is lifted. Starting
	// what runs changes nothing.
	Start(ctx context.Context, side api.Side, standby bool) (api.Side, error)

	// Stop ends the side's group and deletes its data. What is not there is no
	// error.
	Stop(ctx context.Context, side api.Side) error

	// Free returns what the machine has free for one more group; zero if the
	// groups run elsewhere.
	Free(ctx context.Context) (api.Room, error)
}
