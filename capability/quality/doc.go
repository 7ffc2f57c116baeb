// Package quality judges what builds report: tests, coverage and findings of
// analysis, the latter two on the lines that a patch adds.
//
// It owns reports, gates and tests. It watches builds: one that has ended and
// kept report files gets a Report, made by the project's Gate, or by
// api.DefaultGate without one. The Report's verdict becomes a vote on the
// change, which is review's affair. What tests came to is kept in a job's
// TestHistory: a test that has both passed and failed on one commit is flaky,
// and its failures do not count until it has passed some times in a row.
//
//	report: judging ──judge.done──▶ passed | failed
//	           ▲ └────judge.failed─▶ error
//	           └────────judge────────┘  again, as when the gate has changed
//
// Added lines that the sources of programs have twice are counted where a job
// reports coverage or findings. A finding on an added line that had been there
// before, in the latest report on what has landed, is not new. What builds keep
// about dependencies is inventory's affair. SonarQube's gate has a say where the
// project's gate names a project of the hub's server.
//
// Reports come from builds of patches, and are not to be trusted: see the
// packages junit, coverage and sarif for their limits. One that is not what it
// says fails the gate, by name and line. A build's exit code is no affair of
// the gate: where the failure of a flaky test must not end the build, the
// job's script has to let it pass.
package quality

import (
	"net/http"

	"landfall.dev/api"
	"landfall.dev/capability/quality/sonar"
	"landfall.dev/kit"
)

// atOnce is how many builds' reports are read at once.
const atOnce = 2

// Service declares all that quality may touch. c acts as services/quality, and
// so does h, an HTTP client for the hub's raw routes at base. The report files
// are in blobs; server has the analyses of projects whose gate names a project
// of SonarQube.
func Service(c kit.Client, h *http.Client, base string, blobs kit.Blobs, server sonar.Server) kit.Service {
	s := judging{client: c, http: h, base: base, blobs: blobs, sonar: server}
	return kit.Service{
		Name: "quality",
		Owns: []kit.Owned{
			kit.Own(api.Reports, nextReport, "judge"),
			kit.Own(api.Gates, nextGate),
			kit.Own(api.Tests, nextTests),
		},
		Watches: []kit.Reaction{kit.On(api.Builds, onBuild)},
		Reads:   []string{api.Projects.Name, api.Changes.Name, api.Runs.Name, api.Landings.Name},
		Does:    kit.Does{"judge": s.judge},
		Actions: atOnce,
	}
}
