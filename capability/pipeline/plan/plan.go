package plan

import (
	"fmt"
	"strings"

	"landfall.dev/api"
)

// Input is everything that a pipeline may look at.
type Input struct {
	Event   Event             `json:"event"`
	Project Project           `json:"project"`
	Params  map[string]string `json:"params,omitempty"`

	// Jobs are the names of the project's expanded jobs; a build of any other
	// job is an error.
	Jobs []string `json:"jobs,omitempty"`

	// Changed are the paths that the change touches.
	Changed []string `json:"changed,omitempty"`

	// Files maps the paths of the project's .star files to their text:
	// "pipeline.star", "ci/lib.star".
	Files map[string]string `json:"files"`

	// Library is the same for the configuration project: its "lib.star" is
	// loaded as "@ci//lib.star".
	Library map[string]string `json:"library,omitempty"`

	// Tree is what is in the commit that is built. It is nil until a program has
	// asked for it by a Want.
	Tree *Tree `json:"tree,omitempty"`

	// Expansion, if there, asks for more of a plan instead of a whole one.
	Expansion *Expansion `json:"expansion,omitempty"`
}

// Event is what the run is for.
type Event struct {
	Type     string `json:"type"` // "patchset-created", "merged", "triggered" or "timer"
	Change   int    `json:"change,omitempty"`
	PatchSet int    `json:"patchSet,omitempty"`
	Branch   string `json:"branch,omitempty"`
	Author   string `json:"author,omitempty"`
	Commit   string `json:"commit,omitempty"`
}

// Project is the project whose pipeline it is.
type Project struct {
	Name  string            `json:"name"`
	Kind  string            `json:"kind,omitempty"`
	Attrs map[string]string `json:"attrs,omitempty"`
}

// Result is what came of an evaluation.
type Result struct {
	Plan api.Plan `json:"plan"`

	// Want, if there, is what the Input lacks; there is no plan then.
	Want *Want `json:"want,omitempty"`

	// Log is what the program printed: at most 64 KB, the rest is dropped. It
	// is there after an error in the program, too, but not after the program
	// was killed.
	Log string `json:"log,omitempty"`
}

// Error is a fault of the program, told to the person who wrote it.
type Error struct {
	File string `json:"file"` // "ci/lib.star", "@ci//lib.star"

	// Line and Column count from 1. They are 0 when the fault is not in one
	// place; Message names the file then.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`

	Message string `json:"message"`

	// Trace has the calls that led to the place, outermost first:
	// "pipeline.star:9:12 in main".
	Trace []string `json:"trace,omitempty"`

	// Refused tells that the program has ended itself, by fail().
	Refused bool `json:"refused,omitempty"`
}

func (e *Error) Error() string {
	var s strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&s, "%s:%d:%d: ", e.File, e.Line, e.Column)
	}
	s.WriteString(e.Message)
	for i := len(e.Trace) - 1; i >= 0; i-- {
		s.WriteString(", called from " + e.Trace[i])
	}
	return s.String()
}

// JoinLogs returns the log of a further evaluation after that of others, cut to
// what one may have.
func JoinLogs(log, more string) string {
	joined := log + more
	if len(joined) <= maxLog {
		return joined
	}
	return strings.ToValidUTF8(joined[:maxLog], "")
}
