package task

import (
	"context"
	"errors"
	"strings"
	"time"

	"landfall.dev/kit"
)

// The bounds of what is kept of a document's operations.
const (
	maxSteps    = 20
	maxAttempts = 8   // of a step
	maxError    = 300 // bytes of its text
	stepsAge    = 7 * 24 * time.Hour
)

// Steps are the latest actions of a document, and those other operations that
// did not succeed at once. They are kept for a week after the last one.
type Steps struct {
	kit.Meta
	Steps []Step `json:"steps,omitempty"`
	// Note is what an update adds; it is never kept.
	Note *Note `json:"note,omitempty"`
}

// Step is what became of one operation.
type Step struct {
	Op string `json:"op"` // its id
	// Count is how many attempts have ended so far, on all nodes.
	Count int `json:"count"`
	// Attempts are the latest ones; failures that are alike are one.
	Attempts []Attempt `json:"attempts"`
	// Progress is what the action has reported last.
	Progress *kit.Report `json:"progress,omitempty"`
}

// Attempt is one attempt at an operation, or several that failed alike on the
// same node.
type Attempt struct {
	Node    string    `json:"node,omitempty"`
	Fence   int64     `json:"fence,omitempty"`
	Count   int       `json:"count"`
	Began   time.Time `json:"began,omitzero"`
	Ended   time.Time `json:"ended,omitzero"` // of the last; zero while it runs
	Outcome Outcome   `json:"outcome"`
	Error   string    `json:"error,omitempty"`
}

// Outcome is what became of an attempt.
type Outcome string

// The outcomes. The last three end a step.
const (
	Running   Outcome = "running"
	Failing   Outcome = "failing" // it is tried again
	Done      Outcome = "done"
	Failed    Outcome = "failed" // for good, or as often as it may be tried
	Cancelled Outcome = "cancelled"
)

// Note adds to the step of an operation.
type Note struct {
	Op       string      `json:"op"`
	Attempt  Attempt     `json:"attempt"`
	Progress *kit.Report `json:"progress,omitempty"`
}

// AllSteps are the steps of all documents. Those of changes/42 are
// steps/changes.42.
var AllSteps = kit.Define[Steps]("steps", kit.Local())

// stepsLink returns where the steps of the document at l are, or false for a
// link that is too long to have any.
func stepsLink(l kit.Link) (kit.Link, bool) {
	id := l.Kind() + "." + l.ID()
	return AllSteps.Link(id), kit.CheckID(id) == nil
}

// nextSteps is the life of a document's steps.
func nextSteps(s Steps, e kit.Event, _ time.Time) (Steps, []kit.Op) {
	if s.Note != nil {
		s = s.with(*s.Note)
		s.Note = nil
	}
	return s, nil
}

// open returns the index of the operation's step that has not ended, or -1.
func (s Steps) open(op string) int {
	for i := len(s.Steps) - 1; i >= 0; i-- {
		if s.Steps[i].Op != op {
			continue
		}
		if a := s.Steps[i].Attempts; len(a) > 0 {
			switch a[len(a)-1].Outcome {
			case Done, Failed, Cancelled:
				return -1
			}
		}
		return i
	}
	return -1
}

func (s Steps) with(n Note) Steps {
	i := s.open(n.Op)
	if i < 0 {
		s.Steps = append(s.Steps, Step{Op: n.Op})
		s.Steps = s.Steps[max(0, len(s.Steps)-maxSteps):]
		i = len(s.Steps) - 1
	}
	step := &s.Steps[i]
	if n.Progress != nil {
		step.Progress = n.Progress
	}
	a := n.Attempt
	if len(a.Error) > maxError {
		a.Error = strings.ToValidUTF8(a.Error[:maxError], "") + "..."
	}
	if a.Outcome != Running {
		a.Count = 1
		step.Count++
	}
	if k := len(step.Attempts) - 1; k >= 0 {
		last := step.Attempts[k]
		here := last.Node == a.Node && last.Fence == a.Fence
		switch {
		case here && last.Outcome == Running:
			step.Attempts = step.Attempts[:k]
		case here && last.Outcome == Failing && a.Outcome == Failing && last.Error == a.Error:
			a.Began, a.Count = last.Began, last.Count+1
			step.Attempts = step.Attempts[:k]
		}
	}
	step.Attempts = append(step.Attempts, a)
	step.Attempts = step.Attempts[max(0, len(step.Attempts)-maxAttempts):]
	return s
}

// earlier returns the step of the operation that other attempts have left, on
// whichever node.
func (r *Runner) earlier(ctx context.Context, l kit.Link, op string) Step {
	link, ok := stepsLink(l)
	if !ok {
		return Step{}
	}
	s, err := AllSteps.Read(ctx, r.client, link.ID())
	if err != nil {
		if !errors.Is(err, kit.ErrNotFound) && ctx.Err() == nil {
			r.log.Warn("steps not read", "link", l, "error", err)
		}
		return Step{}
	}
	if i := s.open(op); i >= 0 {
		return s.Steps[i]
	}
	return Step{}
}
