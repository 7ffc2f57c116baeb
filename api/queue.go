package api

import (
	"time"

	"landfall.dev/kit"
)

// BuildClass says what a build is for. Runners take builds class by class.
type BuildClass string

// The classes of builds, those that are taken first first.
const (
	ClassGate     BuildClass = "gate"     // somebody waits for the verdict on a patch
	ClassLanded   BuildClass = "landed"   // carries on what has landed, up to its deployment
	ClassHand     BuildClass = "hand"     // a person ordered it
	ClassSchedule BuildClass = "schedule" // a time came
)

// QueuePlace is the place of a queued build. GET /job/queue lists them in the
// order in which runners take them.
type QueuePlace struct {
	Build    kit.Link   `json:"build"`
	Project  string     `json:"project"`
	Job      string     `json:"job"`
	Class    BuildClass `json:"class"`
	Position int        `json:"position"` // from 1
	Since    time.Time  `json:"since"`    // when it was queued
	Attempt  int        `json:"attempt"`  // leases so far
	// Labels are what its engine must have.
	Labels []string `json:"labels,omitempty"`
	// Why says what it waits for.
	Why string `json:"why"`
}
