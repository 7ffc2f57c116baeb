package api

import (
	"time"

	"landfall.dev/kit"
)

// Generations tell which definitions of each project are deployed as its Jobs.
// The id is the project's.
var Generations = kit.Define[Generation]("generations")

// Generation is what is deployed of one source of definitions, the folder of a
// project. It moves as a whole: its jobs change in one write, unless they are so
// many that there are several; until the last, Writing tells of it.
type Generation struct {
	kit.Meta
	Deployed
	Project string `json:"project"`
	// Folder is where in the project the definitions are: "jobs".
	Folder string          `json:"folder"`
	State  GenerationState `json:"state"`
	// Error says why the definitions of the branch are not what is deployed, for
	// people: they are broken, or too much would be deleted.
	Error string `json:"error,omitempty"`
	// Held is the commit whose deployment must be confirmed.
	Held string `json:"held,omitempty"`
	// Writing is the request whose jobs are being written in several writes, 0 at
	// all other times: some of the jobs are those of the generation before.
	Writing int `json:"writing,omitempty"`
	// Last is what the last deployment has changed.
	Last JobChanges `json:"last,omitzero"`
	// Earlier are the generations before, the latest first.
	Earlier []Deployed `json:"earlier,omitempty"`

	// Asked counts the requests to deploy; Request is the last of them.
	Asked   int            `json:"asked"`
	Request DeployJobsArgs `json:"request,omitzero"`
}

// JobID returns the id of the Job of project with name: "ledger~gate". A name
// that is no id as it is, such as "team/gate", is one by its digest.
func JobID(project, name string) string {
	id := project + "~" + name
	if kit.CheckID(id) == nil {
		return id
	}
	const most = 150
	text := []byte(name)
	for i, c := range text {
		if kit.CheckID("x"+string(rune(c))) != nil {
			text[i] = '-'
		}
	}
	return project + "~" + string(text[:min(len(text), max(0, most-len(project)))]) + "~" + kit.DigestOf([]byte(name)).Hex()[:8]
}

// Deployed is a set of jobs as it was deployed.
type Deployed struct {
	// Number counts the deployments that changed something.
	Number int       `json:"number,omitempty"`
	Commit string    `json:"commit,omitempty"`
	Jobs   int       `json:"jobs,omitempty"`
	At     time.Time `json:"at,omitzero"`
	By     string    `json:"by,omitempty"` // subject
	// Specs is the blob of the JobSpecs, as a list in JSON.
	Specs kit.Digest `json:"specs,omitempty"`
}

// GenerationState is where a Generation is.
type GenerationState string

// The states of a Generation.
const (
	GenerationDeploying GenerationState = "deploying"
	GenerationDeployed  GenerationState = "deployed"
	GenerationHeld      GenerationState = "held"   // what would be deleted must be confirmed
	GenerationFailed    GenerationState = "failed" // Error says why; what was deployed stays
)

// DeployJobsArgs are the arguments of generations/PROJECT:deploy, which makes
// the jobs what the tip of the project's main branch says, or an earlier
// generation did.
type DeployJobsArgs struct {
	// Commit, if there, is what the main branch has moved to: nothing happens if
	// it is deployed, or is being deployed.
	Commit string `json:"commit,omitempty"`
	// Confirm is the commit that may delete as many jobs as it does.
	Confirm string `json:"confirm,omitempty"`
	// Back, if not 0, is the number of the generation to go back to. It lasts
	// until the main branch moves.
	Back int `json:"back,omitempty"`
}

// JobChanges counts what a deployment does to jobs.
type JobChanges struct {
	Created   int `json:"created,omitempty"`
	Renamed   int `json:"renamed,omitempty"`
	Updated   int `json:"updated,omitempty"`
	Deleted   int `json:"deleted,omitempty"`
	Unchanged int `json:"unchanged,omitempty"`
	// Repaired is how many of them had been changed by other means than their
	// definitions.
	Repaired int `json:"repaired,omitempty"`
}

// JobPlan is what the deployment of definitions would do.
type JobPlan struct {
	Project string     `json:"project"`
	Commit  string     `json:"commit"`
	Changes []JobEdit  `json:"changes"`
	Counts  JobChanges `json:"counts"`
	// Confirm says why it must be confirmed; empty if it need not.
	Confirm string `json:"confirm,omitempty"`
	// Warning names definitions that nothing reads.
	Warning string `json:"warning,omitempty"`
}

// JobAction is what happens to a job.
type JobAction string

// What can happen to a job.
const (
	JobCreate JobAction = "create"
	JobRename JobAction = "rename"
	JobUpdate JobAction = "update"
	JobDelete JobAction = "delete"
)

// JobEdit is what happens to one job.
type JobEdit struct {
	Job    string    `json:"job"`
	Action JobAction `json:"action"`
	From   string    `json:"from,omitempty"` // rename: what it was called
	// Fields are what differs of a job that was there.
	Fields []FieldEdit `json:"fields,omitempty"`
}

// FieldEdit is the difference of one field: "script", "env.LEVEL". A field that
// is not there is empty.
type FieldEdit struct {
	Field  string `json:"field"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}
