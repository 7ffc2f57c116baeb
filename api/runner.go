package api

import (
	"time"

	"landfall.dev/kit"
)

// Runners are what runs builds, as they tell of themselves. The id is the
// runner's name. One that has been silent for RunnerForgotten is deleted.
var Runners = kit.Define[Runner]("runners")

const (
	// RunnerSilent is after how long without a word a runner counts as gone. It
	// reports twice as often at least.
	RunnerSilent = time.Minute
	// RunnerForgotten is how long its document is kept then.
	RunnerForgotten = 7 * 24 * time.Hour
)

// Runner is what a runner last said of itself.
type Runner struct {
	kit.Meta
	RunnerReport
	By       string    `json:"by"` // the runner's account
	Reported time.Time `json:"reported"`
}

// Silent tells whether r has not been heard of for too long.
func (r Runner) Silent(now time.Time) bool { return now.Sub(r.Reported) > RunnerSilent }

// RunnerReport is what a runner creates its document with, and the arguments of
// runners/N:report.
type RunnerReport struct {
	Engines []RunnerEngine `json:"engines"`
	// DiskFree is how many bytes are free where its workspaces are; 0 if it does
	// not know.
	DiskFree int64 `json:"diskFree,omitempty"`
}

// RunnerEngine is an engine that a runner drives.
type RunnerEngine struct {
	Name   string   `json:"name"`
	Type   string   `json:"type"` // "docker", "process"
	Labels []string `json:"labels,omitempty"`
	Slots  int      `json:"slots"` // builds at once
	Used   int      `json:"used"`  // slots that are taken
	// Health says whether it answers; if it does not, since when and why.
	Health EngineHealth `json:"health"`
	Since  time.Time    `json:"since,omitzero"`
	Error  string       `json:"error,omitempty"`
}

// EngineHealth says whether an engine answers its runner.
type EngineHealth string

// The healths of an engine.
const (
	EngineAnswers EngineHealth = "answers"
	EngineSuspect EngineHealth = "suspect" // it gets no builds until it answers
	EngineLost    EngineHealth = "lost"    // its builds were given up, too
)
