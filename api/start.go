package api

import (
	"fmt"
	"time"

	"landfall.dev/kit"
)

// Retry says when a build that did not pass is tried again. It stays the same
// build: each time is a further attempt, with a log of its own.
type Retry struct {
	Max int `json:"max"` // times, after the first
	// Delay is how many seconds pass before the first time; each further time
	// Step more, at most Longest.
	Delay   int `json:"delay,omitempty"`
	Step    int `json:"step,omitempty"`
	Longest int `json:"longest,omitempty"`
	// Unstable tries again what was unstable, too.
	Unstable bool `json:"unstable,omitempty"`
	// Log, if not empty, is a regular expression: only a build is tried again
	// in whose log a line matches it.
	Log string `json:"log,omitempty"`
}

// Pause returns how long to wait before the n-th time, counted from 0.
func (r Retry) Pause(n int) time.Duration {
	seconds := r.Delay + n*r.Step
	if r.Longest > 0 {
		seconds = min(seconds, r.Longest)
	}
	return time.Duration(seconds) * time.Second
}

// Find changes the result of a build by its log: if a line matches the regular
// expression Pattern, or if none does and Missing is set, it is no better than
// Result.
type Find struct {
	Pattern string `json:"pattern"`
	Missing bool   `json:"missing,omitempty"`
	Result  Result `json:"result"`
}

// LockUse is what a build must hold of a lock while it runs. Locks are known in
// their project by their name.
type LockUse struct {
	Name string `json:"name"`
	Room int    `json:"room"` // how much there is of it
	Part int    `json:"part"` // how much the build takes
}

// Matrix makes a build of a job several, one for each cell, with the values of
// its axes as parameters. The result is the worst of theirs.
type Matrix struct {
	Axes  []string            `json:"axes"`
	Cells []map[string]string `json:"cells"`
	// Sequential runs one after the other.
	Sequential bool `json:"sequential,omitempty"`
}

// Cell is the build of a cell of a matrix.
type Cell struct {
	Name  string     `json:"name"` // "os=linux,db=pg"
	Build kit.Link   `json:"build"`
	State BuildState `json:"state,omitempty"` // empty if it has not been ordered
}

// Call is a build that another one has started.
type Call struct {
	Job   string   `json:"job"`
	Build kit.Link `json:"build"`
	// Wait tells that the other one waits for it.
	Wait bool `json:"wait,omitempty"`
}

// Start is a build that a runner asks for on behalf of the one that it runs.
type Start struct {
	Job    string            `json:"job"`
	Params map[string]string `json:"params,omitempty"`
	Wait   bool              `json:"wait,omitempty"`
}

// CalledBuild is the link of the n-th build, counted from 0, that an attempt of
// a build starts in a step, counted from 1; 0 is when it has ended.
func CalledBuild(b Build, step, n int) kit.Link {
	id := fmt.Sprintf("%s.%d.%d.%d", b.Link.ID(), b.Attempt, step, n)
	if kit.CheckID(id) != nil { // it is too long
		id = "called-" + kit.DigestOf([]byte(id)).Hex()
	}
	return Builds.Link(id)
}
