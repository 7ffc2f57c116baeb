package api

// JobSpec is what a job does: the outcome of expanding the definitions under
// jobs/ in a project. A Build keeps the spec that it started with.
type JobSpec struct {
	// Name is the expanded name, unique in a project: "ledger-test".
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`

	// Image is the image that the build's container is made from; the process
	// engine ignores it. Empty means the runner's default.
	Image string `json:"image,omitempty"`

	// Script holds the shell steps, run in order by "sh -e" in the checked-out
	// sources; the first that fails ends the build.
	Script []string `json:"script"`

	// Env is added to the environment of each step.
	Env map[string]string `json:"env,omitempty"`

	// TimeoutSeconds ends the build when it takes longer; 0 means 1800.
	TimeoutSeconds int `json:"timeoutSeconds,omitempty"`

	// Artifacts are glob patterns (path.Match per segment, ** for any depth) of
	// files that are kept as blobs when the build has passed.
	Artifacts []string `json:"artifacts,omitempty"`

	// Pack, if there, makes an OCI image out of the build's files.
	Pack *PackSpec `json:"pack,omitempty"`

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
