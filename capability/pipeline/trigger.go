package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// maxDepth bounds how many runs trigger one another.
const maxDepth = 5

// triggerArgs are the arguments of the action trigger.
type triggerArgs struct {
	errand
	Project string            `json:"project"`
	Job     string            `json:"job,omitempty"`
	Params  map[string]string `json:"params,omitempty"`
}

// trigger orders a build of another project's job, or a run of its pipeline, at
// the tip of its main branch. Its end is told to the run like that of a build
// of its own.
func (p planner) trigger(ctx context.Context, r kit.Record, op kit.Op) (any, error) {
	run, err := api.Runs.Decode(r)
	if err != nil {
		return nil, err
	}
	var a triggerArgs
	if err := arguments(op, &a); err != nil {
		return nil, err
	}
	err = p.orderOf(ctx, run, a)
	if errors.Is(err, kit.ErrConflict) {
		return nil, nil // an attempt at this that was cut off has ordered it
	}
	if err != nil && !kit.Temporary(err) {
		return a.failed(err), nil
	}
	return nil, err
}

func (p planner) orderOf(ctx context.Context, run api.Run, a triggerArgs) error {
	commit, err := p.tip(ctx, a.Project)
	if err != nil {
		return err
	}
	id := triggered(run, api.NodeRun{ID: a.Node, Attempt: a.Attempt}, api.Node{Project: a.Project, Job: a.Job}).ID()
	if a.Job != "" {
		_, err := api.Builds.Create(ctx, p.client, id, api.Build{
			Meta: kit.Meta{Source: run.Link}, Project: a.Project, Job: a.Job, Commit: commit, Definitions: commit,
			Author: run.Author, Run: run.Link, Node: a.Node, Params: a.Params, Tip: true,
		})
		return err
	}
	if run.Depth >= maxDepth {
		return kit.Errorf(kit.ErrInvalid, run.Link, "%d runs have triggered one another already: is there a circle?", run.Depth+1)
	}
	_, err = api.Runs.Create(ctx, p.client, id, api.Run{
		Meta: kit.Meta{Source: run.Link}, Project: a.Project, Event: eventTriggered, Commit: commit, Branch: mainBranch,
		Author: run.Author, Definitions: commit, Params: a.Params, Depth: run.Depth + 1,
		Upstream: &api.Upstream{Run: run.Link, Node: a.Node, Attempt: a.Attempt},
	})
	return err
}

const (
	eventTriggered = "triggered"
	eventTimer     = "timer"
	mainBranch     = "main"
)

// tip returns the commit that the main branch of project is at.
func (p planner) tip(ctx context.Context, project string) (string, error) {
	ref, err := api.Refs.Read(ctx, p.client, api.RefID(project, "refs/heads/"+mainBranch))
	return ref.Commit, err
}

// checkTriggers refuses a plan that triggers what there is not.
func (p planner) checkTriggers(ctx context.Context, pl api.Plan) error {
	jobs := map[string][]string{}
	for _, n := range pl.Nodes {
		if n.Type != api.NodeTrigger {
			continue
		}
		if _, known := jobs[n.Project]; !known {
			found, err := p.jobsOf(ctx, n.Project)
			if errors.Is(err, kit.ErrNotFound) {
				return kit.Errorf(kit.ErrInvalid, "", "%s: there is no project %q with a branch %s to trigger; landfall project list shows which there are", n.Position, n.Project, mainBranch)
			}
			if err != nil {
				return err
			}
			jobs[n.Project] = found
		}
		if n.Job != "" && !slices.Contains(jobs[n.Project], n.Job) {
			return kit.Errorf(kit.ErrInvalid, "", "%s: project %s has no job %q%s", n.Position, n.Project, n.Job, didYouMean(n.Job, jobs[n.Project]))
		}
	}
	return nil
}

func (p planner) jobsOf(ctx context.Context, project string) ([]string, error) {
	commit, err := p.tip(ctx, project)
	if err != nil {
		return nil, err
	}
	return p.jobs(ctx, project, commit)
}

// didYouMean names the candidate that is nearest to name, if one is near.
func didYouMean(name string, candidates []string) string {
	if best := kit.Nearest(name, slices.Sorted(slices.Values(candidates))); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return ""
}

// checkChannels refuses a plan that promotes to a channel that there is not.
func (p planner) checkChannels(ctx context.Context, project string, pl api.Plan) error {
	known := map[string]bool{}
	for _, n := range pl.Nodes {
		if n.Type != api.NodePromote {
			continue
		}
		if len(known) == 0 {
			for c, err := range api.Channels.All(ctx, p.client, fmt.Sprintf("project == %q", project), "") {
				if err != nil {
					return err
				}
				known[c.Name] = true
			}
		}
		if !known[n.Channel] {
			names := strings.Join(slices.Sorted(maps.Keys(known)), ", ")
			return kit.Errorf(kit.ErrInvalid, "", "%s: %s has no channel %q; it has %s", n.Position, project, n.Channel, orNone(names))
		}
	}
	return nil
}

func orNone(names string) string {
	if names == "" {
		return "none: make one with landfall channel create"
	}
	return names
}
