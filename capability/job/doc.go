// Package job keeps what projects' jobs are, and their builds.
//
// It owns jobs, their generations, and builds, and watches refs: when a project's
// main branch moves, the jobs under its folder jobs are expanded again and
// deployed in one write, as its next generation. (A build reads its job's
// definition at a commit of its own.) It owns the schedules of jobs that name
// times, which order builds by themselves. It never runs anything: a runner leases
// a build, the first of the queue, renews the lease, appends to the log and says
// how it ended.
//
//	created ──resolve.done──▶ queued ──lease──▶ running ──finish──▶ passed | failed | error
//	   │                        ▲  │               │
//	   │                        └──┼────expire─────┤
//	   └─resolve.failed─▶ error    └────cancel─────┴──▶ cancelled
//
// The attempt of a build counts its leases and is its fence: what a runner
// says of an earlier attempt is refused. Each attempt has a log of its own.
package job

import (
	"net/http"

	"landfall.dev/api"
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
			kit.Own(api.Builds, next, "lease", "heartbeat", "finish", "cancel"),
			kit.Own(api.Schedules, nextSchedule, "run", "pause", "resume"),
		},
		Watches: []kit.Reaction{kit.On(api.Refs, onRef), kit.On(api.Generations, onGeneration)},
		Reads:   []string{api.Projects.Name},
		Does: kit.Does{
			"resolve": d.resolve, "redeploy": d.redeploy, "seal": s.seal,
			"schedule": d.schedule, "order": d.order,
		},
		Serves: []kit.Route{
			{Pattern: "GET /job/expand/{project}/{commit}", Handler: kit.Handler(d.serve)},
			{Pattern: "GET /job/plan/{project}", Handler: kit.Handler(d.serveJobPlan)},
			{Pattern: "GET /job/queue", Handler: kit.Handler(queueServer{c}.serve)},
			{Pattern: "GET /logs/{build}", Handler: kit.Handler(l.read)},
			{Pattern: "POST /logs/{build}", Handler: kit.Handler(l.append)},
		},
	}
}
