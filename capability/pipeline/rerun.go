package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// recheckArgs are those of the event "recheck": when a person wanted it.
type recheckArgs struct {
	At time.Time `json:"at"`
}

// recheck runs r again if it did not pass, and ended before that was wanted. The
// wish is told again and again, as long as the change lives.
func recheck(r api.Run, e kit.Event) (api.Run, []kit.Op) {
	var a recheckArgs
	if err := e.Into(&a); err != nil {
		return r, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	switch {
	case r.Next != "":
		return r, []kit.Op{kit.Send(r.Next, "recheck", a)}
	case !r.State.Final() || r.State == api.RunPassed || r.Superseded || !a.At.After(r.Done):
		return r, nil
	}
	return rerun(r)
}

// rerun makes a new run of what r was made from, unless that is of no use.
func rerun(r api.Run) (api.Run, []kit.Op) {
	switch {
	case !r.State.Final():
		return r, kit.Refuse(kit.ErrConflict, "the run is %s: cancel it or wait for its end, and then run it again", r.State)
	case r.State == api.RunPassed:
		return r, kit.Refuse(kit.ErrConflict, "the run has passed: there is nothing to run again")
	case r.Next != "":
		return r, kit.Refuse(kit.ErrConflict, "it was run again already: see %s", r.Next)
	case r.Superseded:
		return r, kit.Refuse(kit.ErrConflict, "a later patch set took its place, which has a run of its own")
	}
	library := r.Library
	if len(r.Nodes) == 0 {
		library = "" // there was no plan: it may have been the library's fault
	}
	id := fmt.Sprintf("%s-r%d", strings.TrimSuffix(r.Link.ID(), fmt.Sprintf("-r%d", r.Round)), r.Round+1)
	r.Next = api.Runs.Link(id)
	return r, []kit.Op{kit.Create(api.Runs, id, api.Run{
		Meta:        kit.Meta{Source: r.Link},
		Project:     r.Project,
		Event:       r.Event,
		Commit:      r.Commit,
		Branch:      r.Branch,
		Author:      r.Author,
		Definitions: r.Definitions,
		Library:     library,
		Params:      r.Params,
		Depth:       r.Depth,
		Change:      r.Change,
		PatchSet:    r.PatchSet,
		Round:       r.Round + 1,
	})}
}

// supersede notes on a run that has ended that a later patch set took its
// place, and tells the run that was made to run it again.
func supersede(r api.Run) (api.Run, []kit.Op) {
	if r.Superseded {
		return r, nil
	}
	r.Superseded = true
	if r.Next == "" {
		return r, nil
	}
	return r, []kit.Op{kit.Send(r.Next, "supersede", nil)}
}

// checkCurrent refuses to carry on what landed once more when other commits
// have landed on it: that would take environments back.
func (p planner) checkCurrent(ctx context.Context, run api.Run) error {
	if run.Round == 0 || run.Change != "" {
		return nil
	}
	ref, err := api.Refs.Read(ctx, p.client, api.RefID(run.Project, "refs/heads/"+run.Branch))
	if err != nil && !errors.Is(err, kit.ErrNotFound) {
		return err
	}
	if ref.Commit != run.Commit {
		return kit.Errorf(kit.ErrInvalid, "", "branch %s has moved on to %.12s: run that again, not %.12s", run.Branch, ref.Commit, run.Commit)
	}
	return nil
}
