package api

import (
	"time"

	"landfall.dev/kit"
)

// Environments are the places where platforms run. The id is its name.
var Environments = kit.Define[Environment]("environments")

// Environment is a place with an agent.
type Environment struct {
	kit.Meta
	Description string   `json:"description,omitempty"`
	Strategy    Strategy `json:"strategy"`
	// Parallel is how many deployments a throw-away environment runs at once;
	// 0 means 2. Others run one at a time.
	Parallel int `json:"parallel,omitempty"`
	// Channel is what a sovereign environment follows; empty for one that takes
	// the deployments that pipelines order.
	Channel kit.Link `json:"channel,omitempty"`
	// Nodes is how many instances of a platform run; 0 means 1.
	Nodes int `json:"nodes,omitempty"`
	// Upgrades says how upgrades are done here.
	Upgrades UpgradePolicy `json:"upgrades,omitzero"`
	// Routes declare how requests take part when traffic is held. Most need not
	// be declared: see landfall.dev/site/front.
	Routes []RouteClass `json:"routes,omitempty"`
}

// RouteClass declares the class of the requests that a pattern matches.
type RouteClass struct {
	// Pattern is one of net/http's ServeMux: "GET /builds/{id}/log", "/files/".
	Pattern string `json:"pattern"`
	// Class is short (waited for before a switch), stream (cut by it) or upload
	// (waited for, but not long).
	Class string `json:"class"`
}

// Strategy is how an environment takes a new version.
type Strategy string

// The strategies.
const (
	// Throwaway makes a group for each deployment, tests it and destroys it.
	Throwaway Strategy = "throwaway"
	// BlueGreen upgrades the running group live; deployments queue.
	BlueGreen Strategy = "bluegreen"
)

// Deployments are images on their way into environments. An environment's
// agent takes them oldest first. The id is that of the run, the node and the
// attempt.
var Deployments = kit.Define[Deployment]("deployments")

// Deployment is an image's way into an environment.
type Deployment struct {
	kit.Meta
	Environment string   `json:"environment"`
	Project     string   `json:"project"`
	Image       string   `json:"image"` // "ledger@sha256:..."
	Release     kit.Link `json:"release,omitempty"`
	Run         kit.Link `json:"run,omitempty"`
	Node        string   `json:"node,omitempty"`
	Attempt     int      `json:"attempt,omitempty"` // the node's
	// Tests are shell commands run against the deployment; they find its address
	// in $LANDFALL_TARGET.
	Tests []string `json:"tests,omitempty"`
	// Rehearse says that the upgrade is only rehearsed: all is done but to hold
	// and switch traffic. The output is the report.
	Rehearse bool `json:"rehearse,omitempty"`

	State    DeploymentState `json:"state"`
	Error    string          `json:"error,omitempty"`
	Upgrade  kit.Link        `json:"upgrade,omitempty"`
	Address  string          `json:"address,omitempty"`
	Output   string          `json:"output,omitempty"` // the tail of the tests' output
	Started  time.Time       `json:"started,omitzero"`
	Finished time.Time       `json:"finished,omitzero"`
}

// DeploymentState is where a Deployment is.
type DeploymentState string

// The states of a Deployment.
const (
	DeploymentQueued  DeploymentState = "queued"  // the agent has not taken it yet
	DeploymentRunning DeploymentState = "running" // the agent is at it
	DeploymentPassed  DeploymentState = "passed"
	DeploymentFailed  DeploymentState = "failed"
)

// Done tells whether s is final.
func (s DeploymentState) Done() bool { return s == DeploymentPassed || s == DeploymentFailed }

// Statuses are what agents say, one document for each deployment or release
// in an environment; the agent writes it. The id is "environment~what".
var Statuses = kit.Define[Status]("statuses")

// Status is an agent's word on one deployment, or on the release that it runs.
type Status struct {
	kit.Meta
	Environment string          `json:"environment"`
	Deployment  kit.Link        `json:"deployment,omitempty"`
	Release     kit.Link        `json:"release,omitempty"`
	Image       string          `json:"image,omitempty"`
	State       DeploymentState `json:"state"`
	Step        string          `json:"step,omitempty"` // what it is at: "pulling", "copying"
	Error       string          `json:"error,omitempty"`
	Upgrade     kit.Link        `json:"upgrade,omitempty"`
	Address     string          `json:"address,omitempty"` // the front door's
	Output      string          `json:"output,omitempty"`
}
