package api

import (
	"path"
	"slices"
	"strings"
	"time"

	"landfall.dev/kit"
)

// Projects are the units of code: one bare repository each. The id is the
// repository's name.
var Projects = kit.Define[Project]("projects")

// Project is a repository and the rules for pushing to it.
type Project struct {
	kit.Meta
	Description string `json:"description,omitempty"`
	// Type is what pipelines tell projects apart by: "service", "library".
	Type string `json:"type,omitempty"`
	// Attributes are further facts for pipelines.
	Attributes map[string]string `json:"attributes,omitempty"`
	// Protected are the branches (path.Match patterns) that take no direct
	// push; empty means every branch.
	Protected []string `json:"protected,omitempty"`
}

// Protects tells whether the branch takes no direct push. A pattern that is
// malformed protects every branch.
func (p Project) Protects(branch string) bool {
	if len(p.Protected) == 0 {
		return true
	}
	return slices.ContainsFunc(p.Protected, func(pattern string) bool {
		ok, err := path.Match(pattern, branch)
		return ok || err != nil
	})
}

// Refs are the branches of the projects: the truth, which the repositories
// follow. The id is RefID's.
var Refs = kit.Define[Ref]("refs")

// Ref is where a branch or a tag stands.
type Ref struct {
	kit.Meta
	Project string `json:"project"`
	Name    string `json:"name"`   // "refs/heads/main"
	Commit  string `json:"commit"` // 40 hex digits
	// Before is the commit that the ref stood at before; empty at first.
	Before string `json:"before,omitempty"`
	By     string `json:"by,omitempty"` // subject
}

// RefID returns the id of the Ref of project with name: "ledger~heads~main".
func RefID(project, name string) string {
	return project + "~" + strings.ReplaceAll(strings.TrimPrefix(name, "refs/"), "/", "~")
}

// Pushes are what people pushed and source took in, and the commits that
// source made by rebasing.
var Pushes = kit.Define[Push]("pushes", kit.Counted())

// Push is one accepted command of a git push.
type Push struct {
	kit.Meta
	Project string `json:"project"`
	// Ref is what was pushed to: "refs/for/main", "refs/heads/topic".
	Ref string `json:"ref"`
	// Branch is where the commits are meant to land: "main"; empty for a push
	// that is not for review.
	Branch  string   `json:"branch,omitempty"`
	By      string   `json:"by"` // subject
	Topic   string   `json:"topic,omitempty"`
	Commits []Commit `json:"commits"` // oldest first
	// Landing is set when source made the commit by rebasing for it.
	Landing kit.Link `json:"landing,omitempty"`
}

// Commit is a git commit.
type Commit struct {
	SHA      string    `json:"sha"`
	Tree     string    `json:"tree"`
	Parents  []string  `json:"parents"`
	Author   string    `json:"author"`
	Email    string    `json:"email"`
	Time     time.Time `json:"time"`
	Subject  string    `json:"subject"`
	Message  string    `json:"message"`
	ChangeID string    `json:"changeId,omitempty"`
}

// Landings are review's wishes that a tested commit becomes a branch's tip.
// The id is the change's and the patch set's number: "42-3".
var Landings = kit.Define[Landing]("landings")

// Landing moves a branch to a commit, or makes the commit that could.
type Landing struct {
	kit.Meta
	Project  string       `json:"project"`
	Branch   string       `json:"branch"`
	Change   kit.Link     `json:"change"`
	PatchSet int          `json:"patchSet"`
	Commit   string       `json:"commit"`
	By       string       `json:"by"` // who submitted
	State    LandingState `json:"state"`
	// NewCommit is the rebased commit, if the branch had moved on.
	NewCommit string `json:"newCommit,omitempty"`
	Detail    string `json:"detail,omitempty"`
	// Protected tells that the branch took no direct push when the commit landed
	// on it, so that all that is on it was reviewed.
	Protected bool `json:"protected,omitempty"`
}

// LandingState is where a Landing is.
type LandingState string

// The states of a Landing.
const (
	LandingWanted   LandingState = "wanted"
	LandingLanded   LandingState = "landed"   // the branch stands at Commit
	LandingRebased  LandingState = "rebased"  // NewCommit was made, as a Push; it must be tested first
	LandingConflict LandingState = "conflict" // it does not apply; Detail names the paths
)

// flat returns a repository's name as a part of an id.
func flat(name string) string { return strings.ReplaceAll(name, "/", "~") }
