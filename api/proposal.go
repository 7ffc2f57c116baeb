package api

import (
	"cmp"
	"fmt"
	"strings"

	"landfall.dev/kit"
)

// Proposals are what patch sets would make of the jobs that are deployed: one
// for each patch set for the branch whose definitions are. The id is
// ProposalID's.
var Proposals = kit.Define[Proposal]("proposals")

// ProposalID returns the id of the Proposal of a patch set: "42-3".
func ProposalID(change kit.Link, patchSet int) string {
	return fmt.Sprintf("%s-%d", change.ID(), patchSet)
}

// Proposal is the plan of a patch set. It has only what the patch set itself
// changes: what others have changed since it was made stays theirs.
type Proposal struct {
	kit.Meta
	Project  string        `json:"project"`
	Change   kit.Link      `json:"change"`
	PatchSet int           `json:"patchSet"`
	Commit   string        `json:"commit"`
	Parent   string        `json:"parent,omitempty"`
	State    ProposalState `json:"state"`

	// Against is the generation that it was compared with; 0 if there was none.
	Against int        `json:"against,omitempty"`
	Counts  JobChanges `json:"counts,omitzero"`
	// Groups are the first changes, those of most jobs first; More is how many
	// are left out.
	Groups []JobGroup `json:"groups,omitempty"`
	More   int        `json:"more,omitempty"`
	// Confirm says why its deployment must be confirmed; empty if it need not.
	Confirm string `json:"confirm,omitempty"`
	// Problems are the first that are wrong with the definitions.
	Problems []Problem `json:"problems,omitempty"`
	// Notes say what was not looked at, and why.
	Notes []string `json:"notes,omitempty"`
	// Plan is the blob of the whole plan, a JobPlan in JSON.
	Plan kit.Digest `json:"plan,omitempty"`
}

// ProposalState is where a Proposal is.
type ProposalState string

// The states of a Proposal.
const (
	ProposalPlanning ProposalState = "planning"
	ProposalNone     ProposalState = "none" // the patch set touches no definition
	ProposalPlanned  ProposalState = "planned"
	ProposalWrong    ProposalState = "wrong" // Problems say why; it cannot land
)

// Problem is a mistake in definitions.
type Problem struct {
	// File and Line are where it is; empty if it is in no line.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Text string `json:"text"`
}

// String returns "file:line: text".
func (p Problem) String() string {
	if p.File == "" {
		return p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// JobGroup is a change that several jobs have in common.
type JobGroup struct {
	Action JobAction `json:"action"`
	// Title says what changes: "image: go:1 -> go:2"; it is empty for jobs that
	// come or go.
	Title string `json:"title,omitempty"`
	// Lines are those of a text that differ: "- make", "+ make all".
	Lines []string `json:"lines,omitempty"`
	// Jobs are the first of the jobs, Count is how many there are.
	Jobs  []string `json:"jobs"`
	Count int      `json:"count"`
}

// String returns g as one line: "~ update  image: go:1 -> go:2 in 2 jobs: a, b".
func (g JobGroup) String() string {
	switch g.Action {
	case JobCreate:
		return "+ create  " + g.Among()
	case JobDelete:
		return "- delete  " + g.Among()
	case JobRename:
		return "> rename  " + g.Among() + "  " + g.Title
	}
	return "~ update  " + g.Title + " in " + g.Among()
}

// Among names a few of the jobs.
func (g JobGroup) Among() string {
	const few = 3
	names := strings.Join(g.Jobs[:min(few, len(g.Jobs))], ", ")
	if g.Count == 1 {
		return names
	}
	if g.Count > few {
		names += ", ..."
	}
	return fmt.Sprintf("%d jobs: %s", g.Count, names)
}

// String returns n in words: "2 created, 9 updated, 1 deleted, 2 unchanged".
func (n JobChanges) String() string {
	text := fmt.Sprintf("%d created, %d updated, %d deleted, %d unchanged", n.Created, n.Updated, n.Deleted, n.Unchanged)
	if n.Renamed > 0 {
		text += fmt.Sprintf(", %d renamed", n.Renamed)
	}
	if n.Repaired > 0 {
		text += fmt.Sprintf("; %d of them had been changed by hand", n.Repaired)
	}
	return text
}

// Lines tell p to people, with at most so many lines of each group.
func (p Proposal) Lines(most int) []string {
	var lines []string
	for _, x := range p.Problems {
		lines = append(lines, x.String())
	}
	for _, g := range p.Groups {
		lines = append(lines, g.String())
		for _, l := range g.Lines[:min(most, len(g.Lines))] {
			lines = append(lines, "    "+l)
		}
		if n := len(g.Lines) - most; n > 0 {
			lines = append(lines, fmt.Sprintf("    ... %d more lines", n))
		}
	}
	if p.More > 0 {
		lines = append(lines, fmt.Sprintf("... and %d more changes: landfall job plan %s --commit %s", p.More, p.Project, p.Commit))
	}
	if p.Confirm != "" {
		lines = append(lines, p.Confirm+": once it has landed, landfall job apply "+p.Project+" needs --confirm")
	}
	lines = append(lines, p.Notes...)
	return append(lines, cmp.Or(map[ProposalState]string{
		ProposalPlanning: "the plan is being made",
		ProposalNone:     "no definition is touched",
		ProposalWrong:    "the definitions are wrong",
	}[p.State], p.Counts.String()))
}

// JobExplanation tells where each part of a job comes from.
type JobExplanation struct {
	Job string `json:"job"`
	// Origin is where the job is asked for and its templates are, outermost
	// first, each as "file:line".
	Origin []string  `json:"origin"`
	Parts  []JobPart `json:"parts"`
}

// JobPart is a key or a component of a job.
type JobPart struct {
	Name string `json:"name"` // "description", "builders shell"
	// At is where it is written, as "file:line:column"; empty if Landfall has made
	// it.
	At string `json:"at,omitempty"`
	// Via are the calls of macros that brought it there, outermost first.
	Via  []string `json:"via,omitempty"`
	Text string   `json:"text,omitempty"`
	// Line is where the first line of Text is written, if those that follow are
	// written below it.
	Line  int       `json:"line,omitempty"`
	Parts []JobPart `json:"parts,omitempty"`
}
