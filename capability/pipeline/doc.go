// Package pipeline makes runs of a project's pipeline and walks through them.
//
// It owns runs. It watches changes (a new patch set is gated by a run),
// landings and refs (a commit that landed on a protected branch, and a project's
// first, is carried on by a run), and the builds, deployments and releases that
// its runs ordered. A run's graph comes from the project's pipeline.star,
// evaluated once, in a child process; it is stored, and only ever the stored
// graph is walked.
//
// What nobody has reviewed decides on nothing but builds: a branch that takes
// direct pushes has a pipeline of its own for the patch sets that are meant for
// it, which can neither deploy nor release; what lands on it makes no run.
//
//	planning ──plan.done──▶ running ──every node passed──▶ passed
//	    │                      ├──a node failed──▶ failed
//	    └──plan.failed──▶ failed└──cancel, superseded──▶ cancelled
//
// One that failed or was cancelled can be run again, by a new run of the same.
//
//	node: waiting ──needs passed──▶ running ──▶ passed | failed (retried on infrastructure failures)
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
	p := planner{client: c, http: h, base: base}
	return kit.Service{
		Name: "pipeline",
		Owns: []kit.Owned{kit.Own(api.Runs, next, "approve", "cancel", "rerun")},
		Watches: []kit.Reaction{
			kit.On(api.Changes, onChange),
			kit.On(api.Landings, onLanding),
			kit.On(api.Refs, onRef),
			kit.On(api.Builds, onBuild),
			kit.On(api.Deployments, onDeployment),
			kit.On(api.Releases, onRelease),
		},
		Reads: []string{api.Projects.Name, api.Environments.Name, api.Users.Name, rest.Groups.Name},
		Writes: []string{
			api.Builds.Name, api.Deployments.Name, api.Releases.Name, api.Notices.Name,
		},
		Does: kit.Does{"plan": p.plan, "admit": p.admit, "release": p.release},
	}
}
