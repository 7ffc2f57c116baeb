package api

import (
	"time"

	"landfall.dev/kit"
)

// Runs are executions of plans. The id comes from the cause: "change-42-3"
// for a patch set, "ledger-main-<12 hex digits>" for a commit that landed; one
// that was run again ends with "-r1".
var Runs = kit.Define[Run]("runs")

// Run is one walk through the graph that a project's pipeline made from an
// event.
type Run struct {
	kit.Meta
	Project string `json:"project"`
	Event   string `json:"event"` // "patchset-created" or "merged"
	Commit  string `json:"commit"`
	Branch  string `json:"branch"`
	Author  string `json:"author,omitempty"` // subject
	// Definitions is the commit that pipeline.star and jobs/ are read from.
	Definitions string   `json:"definitions"`
	Change      kit.Link `json:"change,omitempty"`
	PatchSet    int      `json:"patchSet,omitempty"`
	// Round is 0 for the first run, 1 for the first time that it was run again.
	Round int `json:"round,omitempty"`
	// Next is the run that was made to run this one again.
	Next kit.Link `json:"next,omitempty"`
	// Superseded tells that there is a later patch set.
	Superseded bool `json:"superseded,omitempty"`

	State RunState  `json:"state"`
	Plan  Plan      `json:"plan"`
	Nodes []NodeRun `json:"nodes,omitempty"` // in the plan's order
	Error string    `json:"error,omitempty"`
	Log   string    `json:"log,omitempty"` // what pipeline.star printed
	Done  time.Time `json:"done,omitzero"`
}

// RunState is where a Run, or one node of it, is.
type RunState string

// The states of a Run and of its nodes.
const (
	RunPlanning  RunState = "planning" // pipeline.star is being evaluated
	RunWaiting   RunState = "waiting"  // a node whose needs have not passed
	RunRunning   RunState = "running"
	RunPassed    RunState = "passed"
	RunFailed    RunState = "failed"
	RunCancelled RunState = "cancelled" // superseded by a later patch set, by a person, or a need failed
)

// Final tells whether s is final.
func (s RunState) Final() bool { return s == RunPassed || s == RunFailed || s == RunCancelled }

// NodeRun is the execution of a node.
type NodeRun struct {
	ID       string    `json:"id"`
	State    RunState  `json:"state"`
	Attempt  int       `json:"attempt,omitempty"`
	Link     kit.Link  `json:"link,omitempty"` // the Build, Deployment, Release
	Image    string    `json:"image,omitempty"`
	Error    string    `json:"error,omitempty"`
	By       string    `json:"by,omitempty"` // who approved
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
}

// NodeDone is the event "node" of a Run: a node's work has ended.
type NodeDone struct {
	Node    string   `json:"node"`
	Attempt int      `json:"attempt"`
	Link    kit.Link `json:"link"`
	Passed  bool     `json:"passed"`
	// Infrastructure tells that it failed for no fault of its own.
	Infrastructure bool   `json:"infrastructure,omitempty"`
	Image          string `json:"image,omitempty"`
	Error          string `json:"error,omitempty"`
}

// ApproveArgs are the arguments of runs/ID:approve.
type ApproveArgs struct {
	Node string `json:"node"`
}
