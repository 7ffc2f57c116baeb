package api

import (
	"time"

	"landfall.dev/kit"
)

// Jobs are the definitions of each project that are deployed, expanded: those
// of its main branch's tip, see Generations. The id is "project~name".
var Jobs = kit.Define[Job]("jobs")

// Job is a deployed definition. Its source is the project with the folder.
type Job struct {
	kit.Meta
	Project string  `json:"project"`
	Folder  string  `json:"folder,omitempty"` // "jobs"
	Commit  string  `json:"commit"`           // where the definition was read when it last changed
	Spec    JobSpec `json:"spec"`
	// Formerly are the names that it had before, whose builds are its own.
	Formerly []string `json:"formerly,omitempty"`
}

// Builds are executions of jobs, each on exactly one commit. The id is that
// of the run, the node and the attempt: "change-42-3.gate.1"; that of the
// schedule and the time: "ledger~nightly.20260102T030400Z"; a build that a person
// starts has a random one.
var Builds = kit.Define[Build]("builds", kit.Index("state"))

// Build is one execution of a job.
type Build struct {
	kit.Meta
	Project string `json:"project"`
	Job     string `json:"job"`
	Commit  string `json:"commit"` // what is built
	// Definitions is the commit that the job's definition is read from: the
	// branch's tip for a patch under review.
	Definitions string            `json:"definitions"`
	Author      string            `json:"author,omitempty"` // subject: who is told of a failure
	Run         kit.Link          `json:"run,omitempty"`
	Node        string            `json:"node,omitempty"`
	Change      kit.Link          `json:"change,omitempty"`
	PatchSet    int               `json:"patchSet,omitempty"`
	Params      map[string]string `json:"params,omitempty"`
	// Upstream is the build that started it, if one has, and Depth how many
	// stand above it.
	Upstream kit.Link `json:"upstream,omitempty"`
	Depth    int      `json:"depth,omitempty"`
	// Cell names the cell of its job's matrix that it is the build of.
	Cell string `json:"cell,omitempty"`

	// Trusted tells that what it builds was reviewed: then it may have secrets, and
	// write to its project's caches. It is found out where a job has either.
	Trusted bool `json:"trusted,omitempty"`

	// Tip tells that its run did not begin with a landing: nobody has said of the
	// commit, its main branch's tip, that it was reviewed.
	Tip bool `json:"tip,omitempty"`

	// Step is what it does if its pipeline says so, and no job. It is gone once it
	// is the spec.
	Step *JobSpec `json:"step,omitempty"`

	State BuildState `json:"state"`
	Spec  *JobSpec   `json:"spec,omitempty"` // set when queued
	// Attempt counts leases. It is the fence: what a runner says about an
	// earlier attempt is refused.
	Attempt    int       `json:"attempt"`
	Runner     string    `json:"runner,omitempty"`
	LeaseUntil time.Time `json:"leaseUntil,omitzero"`
	Queued     time.Time `json:"queued,omitzero"`
	Started    time.Time `json:"started,omitzero"`
	Finished   time.Time `json:"finished,omitzero"`
	// Held is how many of its spec's locks it holds.
	Held int `json:"held,omitempty"`
	// Retries is how often it was tried again because it did not pass.
	Retries int `json:"retries,omitempty"`
	// Calls are the builds that it has started, Cells those of its matrix.
	Calls []Call `json:"calls,omitempty"`
	Cells []Cell `json:"cells,omitempty"`

	// Keep tells its runner to keep its container for KeepTime if it fails.
	Keep bool `json:"keep,omitempty"`

	// Name and Description are what its job calls it, for people.
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`

	// Result is what became of its steps, if they have come to an end.
	Result   Result `json:"result,omitempty"`
	ExitCode int    `json:"exitCode,omitempty"`
	// Error says why it failed, for people.
	Error     string     `json:"error,omitempty"`
	LogSize   int64      `json:"logSize,omitempty"`
	LogDigest kit.Digest `json:"logDigest,omitempty"` // set once the log is sealed
	// LogMissing is how many lines it wrote that are not in its log; -1 if some are
	// missing and nobody knows how many.
	LogMissing int64      `json:"logMissing,omitempty"`
	Artifacts  []Artifact `json:"artifacts,omitempty"`
	// Reports are what it kept of its job's reports.
	Reports []ReportFile `json:"reports,omitempty"`
	// Image is what the build packed and pushed: "ledger@sha256:...".
	Image string `json:"image,omitempty"`

	// Engine is the runner's engine that it ran on, BuildImage what its container
	// was made from: "build/go@sha256:...", or the image's id on that engine.
	Engine     string `json:"engine,omitempty"`
	BuildImage string `json:"buildImage,omitempty"`
}

// KeepTime is how long the container of a failed build is kept, if that is wanted.
const KeepTime = time.Hour

// BuildState is where a Build is.
type BuildState string

// The states of a Build.
const (
	BuildCreated   BuildState = "created"   // its definition is being read
	BuildWaiting   BuildState = "waiting"   // for a lock, for the next time that it is tried, or for the builds of its matrix
	BuildQueued    BuildState = "queued"    // a runner may lease it
	BuildRunning   BuildState = "running"   // leased; heartbeats keep it
	BuildPassed    BuildState = "passed"    // all steps ended with 0
	BuildFailed    BuildState = "failed"    // a step did not, or the time was up
	BuildError     BuildState = "error"     // it could not be run: the definition or the infrastructure
	BuildCancelled BuildState = "cancelled" // a later patch set took its place, or a person ended it
)

// Done tells whether s is final.
func (s BuildState) Done() bool {
	return s == BuildPassed || s == BuildFailed || s == BuildError || s == BuildCancelled
}

// Artifact is a file that a build kept.
type Artifact struct {
	Path   string     `json:"path"`
	Digest kit.Digest `json:"digest"`
	Size   int64      `json:"size"`
}

// LeaseArgs are the arguments of builds/N:lease.
type LeaseArgs struct {
	Runner string `json:"runner"`
}

// HeartbeatArgs are the arguments of builds/N:heartbeat, which renews a lease.
type HeartbeatArgs struct {
	Attempt int `json:"attempt"`
	// Engine is as in Build, once it is settled.
	Engine string `json:"engine,omitempty"`
	// Step, if not 0, is the number of the step that starts other builds, see
	// CalledBuild for their links.
	Step   int     `json:"step,omitempty"`
	Starts []Start `json:"starts,omitempty"`
}

// FinishArgs are the arguments of builds/N:finish.
type FinishArgs struct {
	Attempt  int        `json:"attempt"`
	State    BuildState `json:"state"` // passed, failed or error; cancelled of a build that is, when its log has come to its end
	ExitCode int        `json:"exitCode"`
	Error    string     `json:"error,omitempty"`
	LogSize  int64      `json:"logSize"` // bytes that the runner has appended
	// LogDigest is that of the whole log, which the hub has sealed: see LogSeal.
	// Without it the hub seals what it has.
	LogDigest  kit.Digest `json:"logDigest,omitempty"`
	LogMissing int64      `json:"logMissing,omitempty"` // as in Build
	Result     Result     `json:"result,omitempty"`
	// Again tells that the job wants it tried again, if it was not too often.
	Again bool `json:"again,omitempty"`
	// EngineLost says of an error that the engine failed, not the build: another
	// attempt may do better.
	EngineLost bool `json:"engineLost,omitempty"`
	// Starts are the builds that follow on this one.
	Starts []Start `json:"starts,omitempty"`
	// Name and Description may be there whatever the state.
	Name        string     `json:"name,omitempty"`
	Description string     `json:"description,omitempty"`
	Artifacts   []Artifact `json:"artifacts,omitempty"`
	// Reports may be there whatever the state.
	Reports []ReportFile `json:"reports,omitempty"`
	Image   string       `json:"image,omitempty"`
	// Engine and BuildImage are as in Build.
	Engine     string `json:"engine,omitempty"`
	BuildImage string `json:"buildImage,omitempty"`
}
