// Package job keeps what projects' jobs are, and their builds.
//
// It owns jobs, their generations and proposals, and builds. It watches refs: when
// a project's main branch moves, the jobs under its folder jobs are expanded again
// and deployed in one write, as its next generation. (A build reads its job's
// definition at a commit of its own.) It watches changes: each patch set for that
// branch has a proposal, which says what it would change of the deployed jobs and
// what is wrong with its definitions. It owns the schedules of jobs that name
// times, which order builds by themselves. It never runs anything: a runner leases
// a build, the first of the queue, renews the lease, appends to the log and says
// how it ended. It keeps what runners tell of themselves, see package presence.
//
//	created ──resolve.done──▶ queued ──lease──▶ running ──finish──▶ passed | failed | error
//	   │                        ▲  │               │
//	   │                        └──┼────expire─────┤
//	   │                        └──┼─engine lost───┤
//	   └─resolve.failed─▶ error    └────cancel─────┴──▶ cancelled
//
// Before it is queued a build may be waiting, see package chain: for locks, for
// the next time that it is tried, or instead for the builds of its matrix.
//
// The attempt of a build counts its leases and is its fence: what a runner
// says of an earlier attempt is refused. Each attempt has a log of its own, which
// is sealed, made a blob that cannot change, before the build may pass. The log
// of a build that was cancelled stays open until its runner has sent what the
// build wrote while it was ended.
package job

import (
	"net/http"

	"landfall.dev/api"
	"landfall.dev/capability/job/lock"
	"landfall.dev/capability/job/presence"
	"landfall.dev/kit"
)

// Service declares all that job may touch. c acts as services/job, and so
// does h, an HTTP client for the hub's raw routes at base. Logs are kept in
// logs, and in blobs once they are complete.
func Service(c kit.Client, h *http.Client, base string, logs *Logs, blobs kit.Blobs) kit.Service {
	d := definitions{client: c, blobs: blobs, http: h, base: base}
	s := sealer{logs: logs, blobs: blobs}
	l := logServer{client: c, logs: logs, blobs: blobs}
	return kit.Service{
		Name: "job",
		Owns: []kit.Owned{
			kit.Own[api.Job](api.Jobs, nil),
			kit.Own(api.Generations, nextGeneration, "deploy"),
			kit.Own(api.Proposals, nextProposal),
			kit.Own(api.Builds, next, "lease", "heartbeat", "finish", "cancel", "keep"),
			kit.Own(api.Schedules, nextSchedule, "run", "pause", "resume"),
			kit.Own(lock.All, lock.Next, "free"),
			kit.Own(api.Runners, presence.Next, "report"),
		},
		Watches: []kit.Reaction{kit.On(api.Refs, onRef), kit.On(api.Projects, onProject), kit.On(api.Changes, onChange), kit.On(api.Generations, onGeneration)},
		Reads:   []string{api.Secrets.Name},
		Does: kit.Does{
			"resolve": d.resolve, "found": d.found, "redeploy": d.redeploy, "propose": d.propose, "seal": s.seal,
			"schedule": d.schedule, "order": d.order,
		},
		Serves: []kit.Route{
			{Pattern: "GET /job/expand/{project}/{commit}", Handler: kit.Handler(d.serve)},
			{Pattern: "GET /job/plan/{project}", Handler: kit.Handler(d.serveJobPlan)},
			{Pattern: "GET /job/explain/{project}/{commit}", Handler: kit.Handler(d.serveExplanation)},
			{Pattern: "GET /job/queue", Handler: kit.Handler(queueServer{c}.serve)},
			{Pattern: "GET /logs/{build}", Handler: kit.Handler(l.read)},
			{Pattern: "GET /logs/{build}/lines", Handler: l.look(window)},
			{Pattern: "GET /logs/{build}/search", Handler: l.look(search)},
			{Pattern: "GET /logs/{build}/sections", Handler: l.look(sections)},
			{Pattern: "POST /logs/{build}", Handler: kit.Handler(l.append)},
			{Pattern: "POST /logs/{build}/seal", Handler: kit.Handler(l.seal)},
		},
	}
}
