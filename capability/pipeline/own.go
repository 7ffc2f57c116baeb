package pipeline

import (
	"context"
	"errors"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/pipeline/plan"
	"landfall.dev/kit"
)

// withOwn is what evaluate says of run, a patch set, unless it brings definitions
// along. They decide nothing before they have landed, but must make plans: who
// landed some that make none could land nothing after them. Where that has come to
// pass, a patch set of nothing but definitions that make plans passes without a
// build.
func (p planner) withOwn(ctx context.Context, run api.Run, result plan.Result, err error) (plan.Result, error) {
	if run.Change == "" || run.Project == ConfigProject || run.Definitions == run.Commit || err != nil && !errors.Is(err, kit.ErrInvalid) {
		return result, err
	}
	changed, failed := p.changed(ctx, run)
	if failed != nil {
		return result, failed
	}
	if !slices.ContainsFunc(changed, defines) {
		return result, err
	}
	own := run
	own.Definitions = run.Commit
	_, broken := p.evaluate(ctx, own)
	if broken == nil {
		own = api.Run{Project: run.Project, Branch: run.Branch, Event: "merged", Commit: run.Commit, Definitions: run.Commit, Library: run.Library, Author: run.Author}
		broken = p.drafts(ctx, own, changed)
	}
	if errors.Is(broken, kit.ErrInvalid) {
		return plan.Result{Log: result.Log}, kit.Errorf(kit.ErrInvalid, "", "with the definitions of this patch set the event %s has no plan: %s", own.Event, message(broken))
	}
	if broken != nil || err == nil {
		return result, broken
	}
	return p.mended(ctx, run, changed, result, err)
}

// defines tells whether a file is one of those that a project's plans are made of.
func defines(path string) bool {
	return path == "pipeline.star" || strings.HasPrefix(path, "ci/") || strings.HasPrefix(path, "jobs/")
}

// mended is what is said of run, a patch set that brings definitions along which
// make plans, where the branch's have made none for it because of err.
func (p planner) mended(ctx context.Context, run api.Run, changed []string, result plan.Result, err error) (plan.Result, error) {
	broken, failed := p.broken(ctx, run)
	switch {
	case failed != nil:
		return result, failed
	case !broken:
		return result, err
	case slices.ContainsFunc(changed, func(path string) bool { return !defines(path) }):
		return result, kit.Errorf(kit.ErrInvalid, "", "%s; to mend it, change nothing but pipeline.star and what is in ci and jobs: nothing would test the rest", message(err))
	}
	return plan.Result{Log: plan.JoinLogs(result.Log, "nothing is built: this patch set mends the pipeline, which has no plan: "+message(err)+"\n")}, nil
}

// broken tells whether the pipeline of run's branch makes no plan, whatever the
// patch set run is. One that refuses patch sets by fail(), or because of what they
// change, is not broken: nobody passes it by bringing another along.
func (p planner) broken(ctx context.Context, run api.Run) (bool, error) {
	run.Commit = run.Definitions
	err := p.drafts(ctx, run, nil)
	var bad *plan.Error
	switch {
	case errors.As(err, &bad) && bad.Refused:
		return false, nil
	case errors.Is(err, kit.ErrInvalid):
		return true, nil
	}
	return false, err
}

// drafts is an ErrInvalid if the pipeline of run, which has changed these files,
// makes no plan.
func (p planner) drafts(ctx context.Context, run api.Run, changed []string) error {
	project, err := api.Projects.Read(ctx, p.client, run.Project)
	if err != nil {
		return err
	}
	in, err := p.input(ctx, run, project)
	if err != nil || in.Files["pipeline.star"] == "" {
		return err
	}
	in.Changed = changed
	_, err = p.draft(ctx, run, in)
	return err
}
