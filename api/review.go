package api

import (
	"time"

	"landfall.dev/kit"
)

// Changes are commits under review.
var Changes = kit.Define[Change]("changes", kit.Counted())

// Change is one commit on its way to a branch, in all its patch sets.
type Change struct {
	kit.Meta
	Project  string       `json:"project"`
	Branch   string       `json:"branch"`
	ChangeID string       `json:"changeId"` // I and 40 hex digits
	Subject  string       `json:"subject"`
	Topic    string       `json:"topic,omitempty"`
	Owner    string       `json:"owner"` // subject
	Status   ChangeStatus `json:"status"`
	// PatchSets are its versions, oldest first; the last is current.
	PatchSets []PatchSet `json:"patchSets"`
	// Submit is who wanted the change to land, empty if nobody does. It is kept
	// while a rebased patch set is tested, and taken back by any other one.
	Submit string `json:"submit,omitempty"`
	// Missing says in words what the change lacks to be submitted.
	Missing []string `json:"missing,omitempty"`
	// Merged is the commit that landed.
	Merged   string    `json:"merged,omitempty"`
	Messages []Message `json:"messages,omitempty"`
}

// ChangeStatus is where a Change is.
type ChangeStatus string

// The states of a Change.
const (
	ChangeOpen      ChangeStatus = "open"
	ChangeMerged    ChangeStatus = "merged"
	ChangeAbandoned ChangeStatus = "abandoned"
)

// PatchSet is one version of a change.
type PatchSet struct {
	Number   int    `json:"number"` // from 1
	Commit   string `json:"commit"`
	Parent   string `json:"parent"`
	Author   string `json:"author"`
	Email    string `json:"email"`
	Message  string `json:"message"`
	Uploader string `json:"uploader"` // subject
	// Authors are the users with the address of the commit's author: "users/ada".
	Authors []string  `json:"authors,omitempty"`
	Created time.Time `json:"created"`
	// Rebase tells that source made it of the patch set before, with the same
	// difference: Code-Review stays, Verified goes.
	Rebase bool     `json:"rebase,omitempty"`
	Push   kit.Link `json:"push"`
	Votes  []Vote   `json:"votes,omitempty"`
}

// Vote is somebody's judgement of a patch set. A voter's later vote on a
// label takes the place of the earlier; each report has its own for Quality.
type Vote struct {
	Label string    `json:"label"`
	Value int       `json:"value"`
	By    string    `json:"by"`
	At    time.Time `json:"at"`
	// Link is the evidence: the build, with its log, the run that verified, the
	// report, or the proposal.
	Link kit.Link `json:"link,omitempty"`
	Text string   `json:"text,omitempty"`
}

// The labels. A change can be submitted with Verified +1 and Code-Review +2
// by somebody other than its owner, its uploader and its commit's author, no
// minimum on either, Quality +1 of each report of the run, and no Jobs -1. Verified 0 says
// that the run was cancelled, Quality 0 that the report has no verdict.
const (
	LabelVerified   = "Verified"    // -1 to +1; a run's verdict
	LabelQuality    = "Quality"     // -1 to +1; a report's verdict
	LabelJobs       = "Jobs"        // -1 to +1; that on the definitions of jobs
	LabelCodeReview = "Code-Review" // -2 to +2; a person's
)

// VoteArgs are the arguments of changes/N:vote.
type VoteArgs struct {
	PatchSet int      `json:"patchSet"`
	Label    string   `json:"label"`
	Value    int      `json:"value"`
	Text     string   `json:"text,omitempty"`
	Link     kit.Link `json:"link,omitempty"`
}

// SubmitArgs are the arguments of changes/N:submit: the patch set that the
// caller has seen.
type SubmitArgs struct {
	PatchSet int `json:"patchSet"`
}

// Message is something that happened to a change, for people.
type Message struct {
	At   time.Time `json:"at"`
	By   string    `json:"by"`
	Text string    `json:"text"`
	Link kit.Link  `json:"link,omitempty"`
	// PatchSet, File and Line are there if it is about a line.
	PatchSet int    `json:"patchSet,omitempty"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
}

// Current returns the change's last patch set, or a zero one.
func (c Change) Current() PatchSet {
	if len(c.PatchSets) == 0 {
		return PatchSet{}
	}
	return c.PatchSets[len(c.PatchSets)-1]
}
