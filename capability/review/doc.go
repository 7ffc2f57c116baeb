// Package review decides when a commit may land.
//
// It owns changes. It watches pushes, which open changes or add patch sets;
// runs, whose verdict becomes the vote Verified; reports and inventories, whose
// verdict becomes a vote Quality, with comments on the lines; proposals, whose plan of the jobs
// becomes a vote Jobs; and landings, which it wishes for and which source carries
// out. It never touches a repository.
//
//	open ──submit, submittable──▶ open, Submit set ──landed──▶ merged
//	  ▲  │                          │
//	  │  └─abandon─▶ abandoned      ├─rebased: a new patch set, tested first, then a landing again
//	  └──restore──┘                 └─conflict: Submit is taken back
//
// A vote belongs to one patch set. Verified certifies a tree, goes when its run
// is run again, and is never copied, and so it is with Quality. A run that has
// passed brings along which reports must have a verdict too, so that nothing
// lands before they have; and what its proposal comes to. Code-Review certifies a difference and is copied to a patch set that
// source made by rebasing. A patch set that is not the current one any more
// decides nothing, with one exception: if its commit lands all the same, since
// the next one came too late, the change is merged.
package review

import (
	"landfall.dev/api"
	"landfall.dev/kit"
)

// Service declares all that review may touch; c acts as services/review.
func Service(c kit.Client) kit.Service {
	f := &filer{client: c}
	return kit.Service{
		Name: "review",
		Owns: []kit.Owned{kit.Own(api.Changes, next, "vote", "submit", "abandon", "restore", "comment")},
		Watches: []kit.Reaction{
			kit.On(api.Pushes, onPush),
			kit.On(api.Runs, onRun),
			kit.On(api.Reports, onReport),
			kit.On(api.Inventories, onInventory),
			kit.On(api.Proposals, onProposal),
			kit.On(api.Landings, onLanding),
		},
		Reads:  []string{api.Users.Name, api.Builds.Name},
		Writes: []string{api.Landings.Name},
		Does:   kit.Does{"file": f.file, "verify": f.verify},
	}
}
