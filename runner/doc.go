// Package runner runs the builds of a hub on this machine, each in a fresh
// container or process.
//
// It owns no documents. It watches builds, leases one that is queued, runs it
// and says how it ended:
//
//	lease ─▶ fetch ─▶ script ─▶ artifacts ─▶ pack ─▶ log sealed ─▶ finish
//	           │         │          │          │
//	           │         ├──────────┼──────────┴─▶ failed   the build's own fault
//	           └─────────┴──────────┴────────────▶ error    it could not be run or kept
//
// Heartbeats keep the lease from the first to the last of these. A lease that
// is lost, because the build was given to somebody else, ends the attempt without
// a word; so does the end of the runner, whose builds are given to others when
// their leases expire. A script that is ended has ten seconds to clean up, from
// SIGTERM to SIGKILL. What a build that somebody cancelled writes then is in its
// log.
//
// If the runner is killed, its builds go on. The next one of its name takes over
// those whose leases are still its own, with their logs (recover.go), and removes
// the others.
//
// The script is made of the job's steps (package step): each is a process
// of its own, all run one after another in one container, which evaluates their
// conditions and keeps the variables that they inject. Steps for after the
// build follow there. If the container was killed, because the time was up or
// the build was cancelled, they run in a second one on the same workspace, in
// bounded time; so do those that wait for the whole log. The artifacts of other
// builds that steps copy are fetched before the first.
//
// A build sees its sources, the runner's mounts, and in its environment the
// parameters' defaults, what Jenkins and Gerrit would set (package step), what
// the runner, the job and the build's parameters say (the later wins), and
//
//	LANDFALL_PROJECT   the project's id
//	LANDFALL_COMMIT    what is built
//	LANDFALL_BUILD     the build's id
//	LANDFALL_CHANGE    the change's id, if it is built for one
//
// It gets neither a network nor the runner's token.
//
// The directory of a runner has one directory per attempt, which is removed
// after it:
//
//	BUILD-ATTEMPT/attempt.json   how far it has come
//	BUILD-ATTEMPT/src/           the sources: the build's working directory
//	BUILD-ATTEMPT/script/        the steps, and what they copy
//	BUILD-ATTEMPT/state/         the result and the variables that steps have set
//	BUILD-ATTEMPT/log            what was written, sent to the hub from here
package runner
