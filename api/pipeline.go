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
	Event   string `json:"event"` // "patchset-created", "merged", "triggered" or "timer"
	Commit  string `json:"commit"`
	Branch  string `json:"branch"`
	Author  string `json:"author,omitempty"` // subject
	// Definitions is the commit that pipeline.star and jobs/ are read from.
	Definitions string `json:"definitions"`
	// Library is the commit of the configuration project that @ci// is read
	// from; empty if there is none.
	Library string `json:"library,omitempty"`
	// Params are what a trigger says; the pipeline sees them as ctx.params.
	Params map[string]string `json:"params,omitempty"`
	// Upstream is whose trigger this run is: that of a node, in an attempt. Depth
	// is how many runs are above it.
	Upstream *Upstream `json:"upstream,omitempty"`
	Depth    int       `json:"depth,omitempty"`
	Change   kit.Link  `json:"change,omitempty"`
	PatchSet int       `json:"patchSet,omitempty"`
	// Round is 0 for the first run, 1 for the first time that it was run again.
	Round int `json:"round,omitempty"`
	// Next is the run that was made to run this one again.
	Next kit.Link `json:"next,omitempty"`
	// Superseded tells that there is a later patch set.
	Superseded bool `json:"superseded,omitempty"`

	State RunState  `json:"state"`
	Plan  Plan      `json:"plan"`
	Nodes []NodeRun `json:"nodes,omitempty"` // in the plan's order
	// Blocks are what became of the plan's blocks, in its order.
	Blocks []NodeRun `json:"blocks,omitempty"`
	// Wake is when time alone will change something; zero if it will not.
	Wake  time.Time `json:"wake,omitzero"`
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
	RunSkipped   RunState = "skipped"   // a node whose condition does not hold, or a rescue that is not needed
	RunUnstable  RunState = "unstable"  // a node that failed, which is ignored
)

// Final tells whether s is final.
func (s RunState) Final() bool { return s.Good() || s == RunFailed || s == RunCancelled }

// Good tells whether what needs a node in state s may go on.
func (s RunState) Good() bool { return s == RunPassed || s == RunSkipped || s == RunUnstable }

// Upstream is the node of a run that triggered another run.
type Upstream struct {
	Run     kit.Link `json:"run"`
	Node    string   `json:"node"`
	Attempt int      `json:"attempt"`
}

// NodeRun is the execution of a node, or of a block.
type NodeRun struct {
	ID       string   `json:"id"`
	State    RunState `json:"state"`
	Attempt  int      `json:"attempt,omitempty"`
	Link     kit.Link `json:"link,omitempty"` // the Build, Deployment, Release
	Image    string   `json:"image,omitempty"`
	Error    string   `json:"error,omitempty"`
	By       string   `json:"by,omitempty"`    // who approved, at last: all of Approved
	Cause    Cause    `json:"cause,omitempty"` // why it failed
	ExitCode int      `json:"exitCode,omitempty"`
	// Reported tells that the build has kept reports; Verdict is what they came
	// to.
	Reported bool     `json:"reported,omitempty"`
	Verdict  *Verdict `json:"verdict,omitempty"`
	// Listed tells that it has kept lists of dependencies; Inventory is what these
	// came to.
	Listed    bool     `json:"listed,omitempty"`
	Inventory *Verdict `json:"inventory,omitempty"`
	// Approved are the approvals that a node has got, in order.
	Approved []Approval `json:"approved,omitempty"`
	// Held are the locks that a block holds.
	Held []string `json:"held,omitempty"`
	// Until is when a block that failed is tried again, or when the window opens
	// that it waits for.
	Until time.Time `json:"until,omitzero"`
	// Override tells that it need not wait for its window.
	Override *Override `json:"override,omitempty"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
}

// Approval is that of one person.
type Approval struct {
	By string    `json:"by"` // subject
	At time.Time `json:"at"`
}

// NodeDone is the event "node" of a Run: a node's work has ended.
type NodeDone struct {
	Node    string   `json:"node"`
	Attempt int      `json:"attempt"`
	Link    kit.Link `json:"link"`
	Passed  bool     `json:"passed"`
	// Infrastructure tells that it failed for no fault of its own.
	Infrastructure bool `json:"infrastructure,omitempty"`
	// Unstable tells that it failed only since what it found is not good enough.
	Unstable bool   `json:"unstable,omitempty"`
	ExitCode int    `json:"exitCode,omitempty"`
	Image    string `json:"image,omitempty"`
	Error    string `json:"error,omitempty"`
	// Reported and Listed are as in NodeRun.
	Reported bool `json:"reported,omitempty"`
	Listed   bool `json:"listed,omitempty"`
}

// Verdict is what the reports of a build came to, as gates see it.
type Verdict struct {
	State      ReportState `json:"state"`
	Error      string      `json:"error,omitempty"`
	Conditions []Condition `json:"conditions,omitempty"` // those that do not hold
	// These are nil if nothing was reported about them.
	NewCoverage *int `json:"newCoverage,omitempty"` // percent of the added lines; 100 if there are none
	NewIssues   *int `json:"newIssues,omitempty"`
}

// NodeVerdict is the event "report" of a Run: the reports of a node's build
// were judged.
type NodeVerdict struct {
	Node    string   `json:"node"`
	Build   kit.Link `json:"build"`
	Verdict Verdict  `json:"verdict"`
	// Inventory tells that it is about dependencies.
	Inventory bool `json:"inventory,omitempty"`
}

// RunLocks are what keeps parts of runs apart. The id is the lock's name.
var RunLocks = kit.Define[RunLock]("run-locks")

// RunLock is held by one part of one run at a time.
type RunLock struct {
	kit.Meta
	// Holders are who has it, the first, and who waits for it, in order.
	Holders []Holder `json:"holders,omitempty"`
}

// Holder is a block of a run, in an attempt, that has a lock or wants it. It
// is also the argument of run-locks/NAME:acquire and run-locks/NAME:release.
type Holder struct {
	Run     kit.Link  `json:"run"`
	Block   string    `json:"block"`
	Attempt int       `json:"attempt"`
	Since   time.Time `json:"since,omitzero"`
}

// Override is a person's decision that what waits for its window begins now.
type Override struct {
	By     string    `json:"by"` // subject
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// OverrideArgs are the arguments of runs/ID:override: all that waits for its
// window begins now.
type OverrideArgs struct {
	Reason string `json:"reason"`
}

// ApproveArgs are the arguments of runs/ID:approve.
type ApproveArgs struct {
	Node string `json:"node"`
}
