package api

import (
	"time"

	"landfall.dev/kit"
)

// Schedules are the times at which jobs are built by themselves, one document
// for each job that names any. The id is the job's: "project~name".
var Schedules = kit.Define[Schedule]("schedules")

// Schedule is when a job is built by itself, and what came of it.
type Schedule struct {
	kit.Meta
	Project string       `json:"project"`
	Job     string       `json:"job"`
	Spec    ScheduleSpec `json:"spec"`

	State ScheduleState `json:"state"`
	By    string        `json:"by,omitempty"` // subject: who paused it
	// Error says why it is broken.
	Error string `json:"error,omitempty"`
	// Next is when it fires next.
	Next time.Time `json:"next,omitzero"`
	// Waiting are times that are due and whose builds wait for the one before.
	Waiting []time.Time `json:"waiting,omitempty"`
	// Running are its builds that have not ended.
	Running []kit.Link `json:"running,omitempty"`
	// History is what came of the latest times, the newest last.
	History []Fire `json:"history,omitempty"`
}

// ScheduleState is where a Schedule is.
type ScheduleState string

// The states of a Schedule.
const (
	ScheduleActive ScheduleState = "active"
	SchedulePaused ScheduleState = "paused" // by a person; it is built by hand only
	ScheduleBroken ScheduleState = "broken" // its times cannot be read; Error says why
)

// ScheduleSpec is what a job's definition says of its times.
type ScheduleSpec struct {
	// Timed are the job's timed triggers, each of one line or more as Jenkins
	// has them: "H 3 * * 1-5", "TZ=Europe/Berlin\n@daily".
	Timed []string `json:"timed"`
	// Missed says what becomes of times at which nothing was there to fire;
	// empty means one.
	Missed MissedPolicy `json:"missed,omitempty"`
	// Overlap says what becomes of a time at which the build before still runs;
	// empty means forbid.
	Overlap OverlapPolicy `json:"overlap,omitempty"`
}

// MissedPolicy says what becomes of times that were missed.
type MissedPolicy string

// What can become of missed times.
const (
	MissedSkip MissedPolicy = "skip" // nothing
	MissedOne  MissedPolicy = "one"  // one build for all of them
	MissedAll  MissedPolicy = "all"  // a build for each, at most 100
)

// OverlapPolicy says what becomes of a time at which the build before runs.
type OverlapPolicy string

// What can become of a time at which the build before still runs.
const (
	OverlapForbid  OverlapPolicy = "forbid"  // it is left out; if all missed times count, it waits
	OverlapReplace OverlapPolicy = "replace" // the build before is cancelled
	OverlapAllow   OverlapPolicy = "allow"   // both run
)

// Fire is what came of a time of a Schedule.
type Fire struct {
	Due   time.Time `json:"due"`
	At    time.Time `json:"at"`              // when that was decided
	By    string    `json:"by,omitempty"`    // subject: who ran it by hand
	Build kit.Link  `json:"build,omitempty"` // none for times that were left out
	// State is the build's when it has ended, or "running", "skipped" (the build
	// before still ran) or "missed".
	State string `json:"state"`
	Error string `json:"error,omitempty"`
	// Times is how many times this stands for, if they are several.
	Times int `json:"times,omitempty"`
}

// What a Fire can be, other than the state of its build.
const (
	FireRunning = "running"
	FireSkipped = "skipped"
	FireMissed  = "missed"
)
