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

// withOwn is what evaluate says of run, a patch set, unless it brings a pipeline
// along. That one decides nothing before it has landed, but must make plans: who
// landed one that makes none could land nothing after it. Where that has come to
// pass, a patch set that mends it passes without a build.
func (p planner) withOwn(ctx context.Context, run api.Run, result plan.Result, err error) (plan.Result, error) {
	if run.Change == "" || run.Project == ConfigProject || run.Definitions == run.Commit || err != nil && !errors.Is(err, kit.ErrInvalid) {
		return result, err
	}
	changed, failed := p.changed(ctx, run)
	if failed != nil || !slices.ContainsFunc(changed, func(path string) bool {
		return path == "pipeline.star" || strings.HasPrefix(path, "ci/")
	}) {
		return result, errors.Join(err, failed)
	}
	landed := api.Run{Project: run.Project, Branch: run.Branch, Event: "merged", Commit: run.Commit, Definitions: run.Commit, Library: run.Library, Author: run.Author}
	next := run
	next.Definitions = run.Commit
	for _, own := range []api.Run{next, landed} {
		if broken := p.drafts(ctx, own); errors.Is(broken, kit.ErrInvalid) {
			return plan.Result{Log: result.Log}, kit.Errorf(kit.ErrInvalid, "", "with the pipeline of this patch set the event %s has no plan: %s", own.Event, message(broken))
		} else if broken != nil {
			return result, broken
		}
	}
	before := run
	before.Commit = run.Definitions // without what the patch set may have done to its files
	if err == nil || !errors.Is(p.drafts(ctx, before), kit.ErrInvalid) {
		return result, err
	}
	return plan.Result{Log: plan.JoinLogs(result.Log, "nothing is built: this patch set mends the pipeline, which has no plan: "+message(err)+"\n")}, nil
}

// drafts is an ErrInvalid if the pipeline of run makes no plan.
func (p planner) drafts(ctx context.Context, run api.Run) error {
	project, err := api.Projects.Read(ctx, p.client, run.Project)
	if err != nil {
		return err
	}
	in, err := p.input(ctx, run, project)
	if err != nil || in.Files["pipeline.star"] == "" {
		return err
	}
	_, err = p.draft(ctx, run, in)
	return err
}
