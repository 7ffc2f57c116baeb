package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// onRun tells the author of a run that it has failed, once: as soon as a node
// has for good, which is before the others have ended. The notice's id is made
// from the run's. Of one that a schedule started, the project's channel is told.
// A run that a trigger made is a part of the one above, which may try it again or
// ignore it.
func onRun(r api.Run, _ time.Time) []kit.Op {
	to := r.Author
	if to == "" && r.Source.Kind() == api.Builds.Name { // a job that a schedule ordered
		to = "#" + r.Project
	}
	if to == "" || r.Upstream != nil || r.Superseded {
		return nil
	}
	i := 0
	for i < len(r.Nodes) && !lasting(r, i) {
		i++
	}
	what, why, about := "the pipeline", r.Error, r.Link
	switch {
	case i == len(r.Nodes) && r.State != api.RunFailed:
		return nil
	case i < len(r.Nodes):
		n := r.Nodes[i]
		what, why, about = cmp.Or(r.Plan.Nodes[i].Job, n.ID), n.Error, cmp.Or(n.Link, r.Link)
	}
	return []kit.Op{kit.Create(api.Notices, "run-"+r.Link.ID(), api.Notice{
		Meta: kit.Meta{Source: r.Link}, To: to, Text: failure(what, r.Project, r.Change, r.PatchSet, why), About: about,
	})}
}

func failure(what, project string, change kit.Link, patchSet int, why string) string {
	if change != "" {
		return fmt.Sprintf("%s failed on change %s, patch set %d: %s", what, change.ID(), patchSet, why)
	}
	return fmt.Sprintf("%s of %s failed: %s", what, project, why)
}

// lasting tells whether the i-th node has failed for good: no block around it
// tries it again or ignores it any more.
func lasting(r api.Run, i int) bool {
	if r.Nodes[i].State != api.RunFailed {
		return false
	}
	for in := r.Plan.Nodes[i].In; in != ""; {
		k := slices.IndexFunc(r.Plan.Blocks, func(b api.Block) bool { return b.ID == in })
		b := r.Plan.Blocks[k] // a plan names no block that it does not have
		if forgives := b.Type == api.BlockIgnore || b.Type == api.BlockRetry; forgives && !r.Blocks[k].State.Final() {
			return false
		}
		in = b.In
	}
	return true
}

// settled tells whether it is known that b, which did not pass, counts in its
// run r, and whether it does: one that is tried again or ignored does not.
func settled(r api.Run, b api.Build) (known, counts bool) {
	i := slices.IndexFunc(r.Nodes, func(n api.NodeRun) bool { return n.ID == b.Node })
	switch {
	case i < 0:
		return true, true
	case r.Nodes[i].Link != b.Link, r.Nodes[i].State == api.RunWaiting, r.Nodes[i].State == api.RunUnstable:
		return true, false
	}
	done := r.State.Final() || r.Nodes[i].State == api.RunCancelled || lasting(r, i)
	return done, done
}

// verdictLimit is how long one attempt waits until a run knows whether a build
// counts.
const verdictLimit = 30 * time.Second

// counts tells whether people are to hear of the end of b.
func (a announcer) counts(ctx context.Context, b api.Build) (bool, error) {
	if b.Run == "" || b.Outcome() == api.ResultSuccess {
		return true, nil
	}
	r, err := api.Runs.Read(ctx, a.client, b.Run.ID())
	if errors.Is(err, kit.ErrNotFound) {
		return true, nil // it is gone: nobody will say so any more
	}
	if err != nil {
		return false, err
	}
	limited, cancel := context.WithTimeout(ctx, verdictLimit)
	defer cancel()
	r, err = api.Runs.Await(limited, a.client, b.Run.ID(), func(r api.Run) bool {
		known, _ := settled(r, b)
		return known
	})
	switch {
	case errors.Is(err, kit.ErrNotFound):
		return true, nil
	case err != nil && limited.Err() != nil && ctx.Err() == nil:
		return false, kit.Errorf(kit.ErrUnavailable, b.Run, "the run does not know yet whether %s counts", b.Link)
	}
	_, counts := settled(r, b)
	return counts, err
}

// tell tells the author of a build that another has started that it has failed,
// unless that one waits for it: then its failure is that one's.
func (a announcer) tell(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	b, err := api.Builds.Decode(r)
	if err != nil {
		return nil, err
	}
	above, err := api.Builds.Read(ctx, a.client, b.Upstream.ID())
	if err != nil && !errors.Is(err, kit.ErrNotFound) {
		return nil, err
	}
	if slices.ContainsFunc(above.Calls, func(c api.Call) bool { return c.Build == b.Link && c.Wait }) {
		return nil, nil
	}
	_, err = api.Notices.Create(ctx, a.client, noticeID(b), noticeOf(b, b.Author))
	if errors.Is(err, kit.ErrConflict) {
		return nil, nil // an attempt at this that was cut off has made it
	}
	return nil, err
}
