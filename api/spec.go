package api

// JobSpec is what a job does: the outcome of expanding the definitions under
// jobs/ in a project. A Build keeps the spec that it started with.
type JobSpec struct {
	// Name is the expanded name, unique in a project: "ledger-test".
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// MovedFrom is what the job was called before: its builds stay its own.
	MovedFrom string `json:"movedFrom,omitempty"`

	// Image is the image that the build's container is made from; the process
	// engine ignores it. Empty means the runner's default.
	Image string `json:"image,omitempty"`

	// Script holds the shell steps, run in order by "sh -e" in the checked-out
	// sources; the first that fails ends the build.
	Script []string `json:"script"`

	// SourceDir is the folder of the workspace that the sources are put into;
	// empty means the workspace itself.
	SourceDir string `json:"sourceDir,omitempty"`

	// Steps are run after Script, or instead of it; After when they have ended.
	Steps []Step  `json:"steps,omitempty"`
	After []After `json:"after,omitempty"`

	// Parameters are variables with defaults; a build's own values go before.
	Parameters []Parameter `json:"parameters,omitempty"`

	// Env is added to the environment of each step.
	Env map[string]string `json:"env,omitempty"`

	// TimeoutSeconds ends the build when it takes longer; 0 means 1800.
	TimeoutSeconds int `json:"timeoutSeconds,omitempty"`

	// QuietSeconds ends the build when it writes nothing for so long; 0 means
	// never.
	QuietSeconds int `json:"quietSeconds,omitempty"`
	// TimeoutFails makes the result of a build that took too long FAILURE
	// instead of ABORTED, for the steps in After.
	TimeoutFails bool `json:"timeoutFails,omitempty"`

	// Describe and BuildName, in which variables are replaced, are shown with
	// a build that has ended.
	Describe  *Describe `json:"describe,omitempty"`
	BuildName string    `json:"buildName,omitempty"`

	// Missing are parts of the definition that are not carried out.
	Missing []MissingPart `json:"missing,omitempty"`

	// Triggers and Downstream are what is known of a job's place among others.
	Triggers   []Trigger    `json:"triggers,omitempty"`
	Downstream []Downstream `json:"downstream,omitempty"`

	// Artifacts are glob patterns (path.Match per segment, ** for any depth) of
	// files that are kept as blobs when the build has passed.
	Artifacts []string `json:"artifacts,omitempty"`

	// ArtifactsExcept are patterns of files that are not kept all the same.
	ArtifactsExcept []string `json:"artifactsExcept,omitempty"`
	// ArtifactsAlways keeps them of a build that has failed too.
	ArtifactsAlways bool `json:"artifactsAlways,omitempty"`
	// ArtifactsNeeded fails a build that none of them is found in.
	ArtifactsNeeded bool `json:"artifactsNeeded,omitempty"`

	// Reports are the reports to keep, also of a build that has failed.
	Reports *ReportPatterns `json:"reports,omitempty"`

	// Pack, if there, makes an OCI image out of the build's files.
	Pack *PackSpec `json:"pack,omitempty"`

	// Once tells that it is not to be tried again when its host is lost: it may
	// have had its effect, such as a deployment.
	Once bool `json:"once,omitempty"`

	// Schedule, if there, says at which times it is built by itself.
	Schedule *ScheduleSpec `json:"schedule,omitempty"`

	// Origin says where each definition came from, outermost first: project,
	// template, macro, each as "file:line".
	Origin []string `json:"origin,omitempty"`
}

// PackSpec says how a build's files become an OCI image: one layer of files
// on a base.
type PackSpec struct {
	// Repository is the image's name in the registry: "ledger".
	Repository string `json:"repository"`
	// Base is an image in the registry, by digest or tag; empty means scratch.
	Base string `json:"base,omitempty"`
	// Files maps a path in the build's workspace to the path in the image.
	Files map[string]string `json:"files"`
	// Entrypoint is the image's command.
	Entrypoint []string `json:"entrypoint"`
	// Env is the image's environment.
	Env map[string]string `json:"env,omitempty"`
}

// Plan is the graph that a project's pipeline.star made from an event. It is
// data: the executor only ever walks a stored plan.
type Plan struct {
	Nodes []Node `json:"nodes"`
}

// NodeType says what a node of a Plan does.
type NodeType string

// What a node of a plan can be.
const (
	NodeBuild   NodeType = "build"   // run Job; the output is the image's digest, if it packs one
	NodeDeploy  NodeType = "deploy"  // deploy the image of node Image to Environment; run Tests there
	NodeRelease NodeType = "release" // make a Release of the image of node Image
	NodeApprove NodeType = "approve" // wait until By approves
	NodeNotify  NodeType = "notify"  // send Text
)

// Node is one step of a Plan. It starts when all that it needs has passed.
type Node struct {
	// ID is unique in the plan: "build", "deploy-staging".
	ID    string   `json:"id"`
	Type  NodeType `json:"type"`
	Stage string   `json:"stage,omitempty"`
	Needs []string `json:"needs,omitempty"`

	Job         string            `json:"job,omitempty"`         // build: the job's name
	Params      map[string]string `json:"params,omitempty"`      // build: added to the environment
	Image       string            `json:"image,omitempty"`       // deploy, release: id of the node that built it
	Environment string            `json:"environment,omitempty"` // deploy
	Tests       []string          `json:"tests,omitempty"`       // deploy: commands run against the deployment
	By          string            `json:"by,omitempty"`          // approve: "groups/release-managers", "users/rita"; empty: whoever has a role for it
	Version     string            `json:"version,omitempty"`     // release
	Text        string            `json:"text,omitempty"`        // notify

	// Retries is how often the node is tried again after an infrastructure
	// failure (not after a failed script).
	Retries int `json:"retries,omitempty"`

	// Position is the "file:line" of the call that made the node.
	Position string `json:"position,omitempty"`
}
