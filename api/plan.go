package api

import "landfall.dev/kit"

// Plan is the graph that a project's pipeline.star made from an event. It is
// data: the executor only ever walks a stored plan.
type Plan struct {
	Nodes []Node `json:"nodes"`
	// Blocks are the parts of the plan that have a result of their own. A block
	// stands before those that are in it.
	Blocks []Block `json:"blocks,omitempty"`
	// Read are the files of the run's commit that the program has read.
	Read []FileRead `json:"read,omitempty"`
}

// FileRead is a file that a pipeline has read.
type FileRead struct {
	Path   string     `json:"path"`
	Digest kit.Digest `json:"digest"`
}

// NodeType says what a node of a Plan does.
type NodeType string

// What a node of a plan can be.
const (
	NodeBuild    NodeType = "build"    // run Job; the output is the image's digest, if it packs one
	NodeTrigger  NodeType = "trigger"  // run Job of Project at its main branch, or with none its pipeline
	NodeExpand   NodeType = "expand"   // call Function with Artifact of the build Of, for more of the plan
	NodeGate     NodeType = "gate"     // pass if the reports of Builds do
	NodeDeploy   NodeType = "deploy"   // deploy the image of node Image to Environment; run Tests there
	NodeRollback NodeType = "rollback" // deploy what ran in Environment before this run
	NodeRelease  NodeType = "release"  // make a Release of the image of node Image
	NodePromote  NodeType = "promote"  // put the release of node Of on Channel, once it is signed
	NodeApprove  NodeType = "approve"  // wait until By approves
	NodeNotify   NodeType = "notify"   // send Text to To
)

// Node is one step of a Plan. It starts when all that it needs has passed.
type Node struct {
	// ID is unique in the plan: "build", "deploy-staging".
	ID    string   `json:"id"`
	Type  NodeType `json:"type"`
	Stage string   `json:"stage,omitempty"`
	// In is the block that it is directly in; empty for one that is in none.
	In string `json:"in,omitempty"`
	// Needs are nodes and blocks that must have passed; After those that must
	// have ended. Both are in the same block.
	Needs []string `json:"needs,omitempty"`
	After []string `json:"after,omitempty"`
	// When, if it does not hold then, lets the node be skipped.
	When *When `json:"when,omitempty"`
	// TimeoutSeconds lets it fail when it takes longer; 0 means no limit.
	TimeoutSeconds int `json:"timeoutSeconds,omitempty"`
	// Window, if there, is when it may begin: it waits for that.
	Window *Window `json:"window,omitempty"`

	Project     string            `json:"project,omitempty"`     // trigger
	Job         string            `json:"job,omitempty"`         // build, trigger: the job's name
	Step        *JobSpec          `json:"step,omitempty"`        // build: what it does, if no job of the project says so
	Params      map[string]string `json:"params,omitempty"`      // build, trigger: added to the environment
	Image       string            `json:"image,omitempty"`       // deploy, release: id of the node that built it
	Environment string            `json:"environment,omitempty"` // deploy, rollback
	Tests       []string          `json:"tests,omitempty"`       // deploy: commands run against the deployment
	By          string            `json:"by,omitempty"`          // approve: "groups/release-managers", "users/rita"; empty: whoever has a role for it
	Approvals   int               `json:"approvals,omitempty"`   // approve: how many people must; 0 means one
	NotAuthor   bool              `json:"notAuthor,omitempty"`   // approve: by others than who wrote or uploaded the change
	Version     string            `json:"version,omitempty"`     // release
	Channel     string            `json:"channel,omitempty"`     // promote: its name, "stable"
	Of          string            `json:"of,omitempty"`          // expand, promote: id of the node whose outcome it takes
	Artifact    string            `json:"artifact,omitempty"`    // expand: the path of a file with JSON
	Function    string            `json:"function,omitempty"`    // expand: "@ci//lib.star:shards"
	Builds      []string          `json:"builds,omitempty"`      // gate: ids; none: all that have ended with reports
	Rules       *NodeRules        `json:"rules,omitempty"`       // gate: instead of the project's
	Text        string            `json:"text,omitempty"`        // notify
	To          string            `json:"to,omitempty"`          // notify: "#channel", "users/ada"; empty: the run's author

	// Retries is how often the node is tried again after an infrastructure
	// failure (not after a failed script).
	Retries int `json:"retries,omitempty"`

	// Position is the "file:line" of the call that made the node.
	Position string `json:"position,omitempty"`
}

// Window is when a node or block may begin. Once it has, it goes on whatever the
// time.
type Window struct {
	// Times are parts of a week, as "Mon-Thu 08:00-16:00", "Sat,Sun", "22:00-04:00";
	// none means always.
	Times []string `json:"times,omitempty"`
	// Zone is the time zone that days and hours are of, "Europe/Berlin"; empty
	// means UTC.
	Zone string `json:"zone,omitempty"`
	// Freezes are days on which nothing begins, "2026-12-20..2027-01-03".
	Freezes []string `json:"freezes,omitempty"`
}

// NodeRules are rules of a gate that take the place of the project's; what is
// nil leaves the project's in place.
type NodeRules struct {
	NewCoverage *int `json:"newCoverage,omitempty"` // percent of the added lines
	NewIssues   *int `json:"newIssues,omitempty"`   // findings on added lines
}

// BlockType says what a block of a Plan is for.
type BlockType string

// What a block of a plan can be. Its result is the worst of its parts', if
// nothing else is said.
const (
	BlockStage    BlockType = "stage"    // entries one after the other
	BlockParallel BlockType = "parallel" // entries side by side, Limit at a time; with FailFast the first failure ends the others
	BlockGuard    BlockType = "guard"    // a stage, and then its rescue and always
	BlockRescue   BlockType = "rescue"   // runs if what it is after has failed
	BlockAlways   BlockType = "always"   // runs whatever became of what it is after
	BlockIgnore   BlockType = "ignore"   // passes even if it has failed, by a cause up to Upto
	BlockRetry    BlockType = "retry"    // tried again, up to Retries times, if it has failed by causes that are On
	BlockLock     BlockType = "lock"     // runs while it holds all Locks
	BlockExpand   BlockType = "expand"   // a node of that type, and what it adds to the plan
)

// Block is a part of a Plan with a result of its own.
type Block struct {
	// ID is "#1": no node has one like it.
	ID   string    `json:"id"`
	Type BlockType `json:"type"`
	Name string    `json:"name,omitempty"`
	// These are as those of a Node.
	In             string   `json:"in,omitempty"`
	Needs          []string `json:"needs,omitempty"`
	After          []string `json:"after,omitempty"`
	When           *When    `json:"when,omitempty"`
	TimeoutSeconds int      `json:"timeoutSeconds,omitempty"`
	Window         *Window  `json:"window,omitempty"`

	Limit    int      `json:"limit,omitempty"`    // parallel; 0 means no limit
	FailFast bool     `json:"failFast,omitempty"` // parallel
	Upto     Cause    `json:"upto,omitempty"`     // ignore
	Retries  int      `json:"retries,omitempty"`  // retry: how often it is tried again
	On       []Cause  `json:"on,omitempty"`       // retry
	Exits    []int    `json:"exits,omitempty"`    // retry: on builds' exit codes
	Locks    []string `json:"locks,omitempty"`    // lock: names in order
	// BackoffSeconds is the pause before the first repetition; each further one
	// is twice as long. Of a retry.
	BackoffSeconds int `json:"backoffSeconds,omitempty"`

	Position string `json:"position,omitempty"`
}

// Cause says why a node has failed.
type Cause string

// The causes, the worst last.
const (
	CauseUnstable Cause = "unstable" // it ran, but what it found is not good enough
	CauseFailure  Cause = "failure"
	CauseTimeout  Cause = "timeout" // a failure, too, to whoever does not tell them apart
	CauseInfra    Cause = "infra"   // no fault of its own
)

// When is a condition: true or false when a node or block could start. Of its fields
// one is set.
type When struct {
	All []When `json:"all,omitempty"`
	Any []When `json:"any,omitempty"`
	Not *When  `json:"not,omitempty"`
	// Branch and Event are patterns of which one must match (path.Match).
	Branch []string `json:"branch,omitempty"`
	Event  []string `json:"event,omitempty"`
	// Result tells what became of a node.
	Result *ResultIs `json:"result,omitempty"`
}

// ResultIs is true if the node has ended in one of the states.
type ResultIs struct {
	Node   string     `json:"node"`
	States []RunState `json:"states"`
}

// PlanRequest is what GET /pipeline/plan is asked: which plan would this event
// make? All but the project may be left open: then it is of what has landed
// last on the main branch, by the pipeline and the library as they are. A Run is
// one, too.
type PlanRequest struct {
	Project     string            `json:"project"`
	Event       string            `json:"event,omitempty"`
	Branch      string            `json:"branch,omitempty"`
	Commit      string            `json:"commit,omitempty"`
	Author      string            `json:"author,omitempty"`
	Change      kit.Link          `json:"change,omitempty"`
	PatchSet    int               `json:"patchSet,omitempty"`
	Params      map[string]string `json:"params,omitempty"`
	Definitions string            `json:"definitions,omitempty"`
	Library     string            `json:"library,omitempty"`
	// Against is a commit of the project's pipeline, or of the library, with which
	// the plan is made too, and compared.
	Against string `json:"against,omitempty"`
}

// Run is the run that the event would make.
func (q PlanRequest) Run() Run {
	return Run{
		Project: q.Project, Event: q.Event, Branch: q.Branch, Commit: q.Commit, Author: q.Author,
		Change: q.Change, PatchSet: q.PatchSet, Params: q.Params, Definitions: q.Definitions, Library: q.Library,
	}
}

// PlanAnswer is a plan, and what it was made from.
type PlanAnswer struct {
	Project     string `json:"project"`
	Commit      string `json:"commit,omitempty"`
	Definitions string `json:"definitions,omitempty"`
	Library     string `json:"library,omitempty"`
	Plan        Plan   `json:"plan"`
	Log         string `json:"log,omitempty"`
	// Error says why there is no plan.
	Error string `json:"error,omitempty"`
	// Before is the answer with the commit that it was to be compared with, and
	// Difference in lines how the plan differs from it.
	Before     *PlanAnswer `json:"before,omitempty"`
	Difference []string    `json:"difference,omitempty"`
}
