// Package pipeline makes runs of a project's pipeline and walks through them.
//
// It owns runs, and the locks that keep parts of them apart. It watches changes
// (a new patch set is gated by a run), landings and refs (a commit that landed on
// a protected branch, and a project's first, is carried on by a run), the builds
// of timed jobs that start a pipeline, and the builds, reports, inventories,
// deployments and releases of its runs. A run's graph comes from the project's
// pipeline.star and the configuration project's library, both at commits that the
// run keeps. It is evaluated in a child process and stored; only ever the stored
// graph is walked, and all that it comes to is in the run.
//
// What nobody has reviewed decides on nothing but builds: a branch that takes
// direct pushes has a pipeline of its own for the patch sets that are meant for
// it, which can neither deploy nor release; what lands on it makes no run. A patch
// set is gated by the pipeline of its branch, but one that brings another along
// fails unless that makes plans; one that does nothing but mend a broken one
// passes.
//
//	planning ──plan.done──▶ running ──every node passed──▶ passed
//	    │                      ├──a node failed──▶ failed
//	    └──without a plan──▶ failed└──cancel, superseded──▶ cancelled
//
// One that failed or was cancelled can be run again, by a new run of the same.
// A run that a trigger of another made tells that one of its end.
//
// Nodes, and blocks of them, live alike. A block ends with the last of its
// parts; see the package plan for what blocks do.
//
//	waiting ──needs passed──▶ running ──▶ passed | failed ──ignored──▶ unstable
//	   ├──a need did not pass──▶ cancelled   │
//	   └──its condition is false──▶ skipped  └──tried again──▶ waiting
//
// One with a window waits until that opens, or somebody overrides it.
//
//	lock: acquire, at the end of the line ──first──▶ locked is sent to the run ──▶ release
package pipeline

import (
	"net/http"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

// Service declares all that pipeline may touch. c acts as services/pipeline,
// and so does h, an HTTP client for the hub's raw routes at base.
func Service(c kit.Client, h *http.Client, base string) kit.Service {
	p := planner{client: c, http: h, base: base, previews: make(chan struct{}, 2)}
	return kit.Service{
		Name: "pipeline",
		Owns: []kit.Owned{
			kit.Own(api.Runs, next, "approve", "cancel", "rerun", "override"),
			kit.Own(api.RunLocks, nextLock, "release"),
		},
		Watches: []kit.Reaction{
			kit.On(api.Changes, onChange),
			kit.On(api.Landings, onLanding),
			kit.On(api.Refs, onRef),
			kit.On(api.Builds, onBuild),
			kit.On(api.Reports, onReport),
			kit.On(api.Inventories, onInventory),
			kit.On(api.Deployments, onDeployment),
			kit.On(api.Releases, onRelease),
		},
		Reads: []string{api.Projects.Name, api.Environments.Name, api.Users.Name, rest.Groups.Name},
		Writes: []string{
			api.Builds.Name, api.Deployments.Name, api.Releases.Name, api.Channels.Name, api.Notices.Name,
		},
		Does: kit.Does{
			"plan": p.plan, "expand": p.expand, "admit": p.admit, "trigger": p.trigger,
			"release": p.release, "promote": p.promote, "rollback": p.rollback,
		},
		Serves: []kit.Route{{Pattern: "GET /pipeline/plan", Handler: kit.Handler(p.servePlan)}},
	}
}
