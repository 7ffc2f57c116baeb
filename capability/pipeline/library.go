package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/pipeline/plan"
	"landfall.dev/kit"
)

// tryLibrary makes the plans of all projects with the library of a patch set of
// the configuration project, and adds how they differ from those with the
// library as it is to the log. broken names the projects that have a plan now
// and would have none.
func (p planner) tryLibrary(ctx context.Context, run api.Run, log string) (text string, broken, err error) {
	changed, err := p.changed(ctx, run)
	if err != nil || !slices.ContainsFunc(changed, func(path string) bool { return strings.HasSuffix(path, ".star") }) {
		return log, nil, err
	}
	var lines, lost []string
	for project, err := range api.Projects.All(ctx, p.client, "", "link") {
		if err != nil {
			return log, nil, err
		}
		id := project.Link.ID()
		if id == ConfigProject {
			continue
		}
		before, err := p.preview(ctx, &api.Run{Project: id, Library: run.Definitions})
		if errors.Is(err, kit.ErrInvalid) || errors.Is(err, kit.ErrNotFound) {
			continue // it has no plan as it is
		}
		if err != nil {
			return log, nil, err
		}
		after, err := p.preview(ctx, &api.Run{Project: id, Library: run.Commit})
		if errors.Is(err, kit.ErrInvalid) {
			lost = append(lost, id+": "+message(err))
			continue
		}
		if err != nil {
			return log, nil, err
		}
		if differs := plan.Compare(before.Plan, after.Plan); len(differs) > 0 {
			lines = append(lines, "the plan of "+id+" changes:")
			lines = append(lines, differs...)
		}
	}
	if len(lines) == 0 {
		lines = []string{"no project's plan changes"}
	}
	if len(lost) > 0 {
		broken = kit.Errorf(kit.ErrInvalid, "", "with this library projects have no plan any more: %s", shortenTo(strings.Join(lost, "; "), maxBroken))
	}
	return plan.JoinLogs(log, strings.Join(lines, "\n")+"\n"), broken, nil
}

// maxBroken bounds what is said of the projects that a library would break, in
// bytes.
const maxBroken = 8 << 10

// message is what err says, without its place in the program.
func message(err error) string {
	var e *kit.Error
	if errors.As(err, &e) && e.Detail != "" {
		return e.Detail
	}
	return err.Error()
}

// preview returns the plan that the event of run would make. What run leaves
// open becomes what landed last on the main branch.
func (p planner) preview(ctx context.Context, run *api.Run) (plan.Result, error) {
	if run.Branch == "" {
		run.Branch = mainBranch
	}
	if run.Event == "" {
		run.Event = "merged"
	}
	if err := p.settleSources(ctx, run); err != nil {
		return plan.Result{}, err
	}
	if run.Commit == "" {
		run.Commit = run.Definitions
	}
	return p.evaluate(ctx, *run)
}

// servePlan answers with the plan that an event would make:
// GET /pipeline/plan?event=JSON with an api.PlanRequest, answered by an
// api.PlanAnswer.
func (p planner) servePlan(w http.ResponseWriter, r *http.Request) error {
	var ask api.PlanRequest
	if err := json.Unmarshal([]byte(r.FormValue("event")), &ask); err != nil {
		return kit.Errorf(kit.ErrInvalid, "", `?event= is no event like {"project": "ledger", "event": "merged", "branch": "main"}: %v`, err)
	}
	if err := plan.CheckRequest(ask); err != nil {
		return err
	}
	caller := kit.CallerOf(r.Context())
	for _, l := range []kit.Link{api.Projects.Link(ask.Project), api.Runs.Link("")} {
		if err := caller.May(kit.VerbRead, l); err != nil {
			return err
		}
	}
	select {
	case p.previews <- struct{}{}:
		defer func() { <-p.previews }()
	case <-r.Context().Done():
		return context.Cause(r.Context())
	}
	answer, err := p.answer(r.Context(), ask.Run())
	if err != nil {
		return err
	}
	if ask.Against != "" {
		if answer.Before, err = p.before(r.Context(), ask); err != nil {
			return err
		}
		answer.Difference = plan.Compare(answer.Before.Plan, answer.Plan)
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(answer)
}

// before is the answer with the commit ask.Against: of the project's pipeline if
// the project has it, else of the library.
func (p planner) before(ctx context.Context, ask api.PlanRequest) (*api.PlanAnswer, error) {
	run := ask.Run()
	run.Definitions = ask.Against
	if err := p.has(ctx, run.Project, ask.Against); err != nil {
		if !errors.Is(err, kit.ErrNotFound) {
			return nil, err
		}
		if err := p.has(ctx, ConfigProject, ask.Against); err != nil {
			return nil, kit.Errorf(kit.ErrNotFound, "", "neither %s nor the library, project %s, has a commit %s", run.Project, ConfigProject, ask.Against)
		}
		run.Definitions, run.Library = ask.Definitions, ask.Against
	}
	answer, err := p.answer(ctx, run)
	return &answer, err
}

// has returns ErrNotFound if the project has no such commit.
func (p planner) has(ctx context.Context, project, commit string) error {
	body, err := p.fetch(ctx, "/source/"+project+"/changed/"+commit)
	if err == nil {
		body.Close()
	}
	return err
}

// answer is the plan for run, or what is wrong with its pipeline.
func (p planner) answer(ctx context.Context, run api.Run) (api.PlanAnswer, error) {
	result, err := p.preview(ctx, &run)
	answer := api.PlanAnswer{
		Project: run.Project, Commit: run.Commit, Definitions: run.Definitions, Library: run.Library,
		Plan: result.Plan, Log: result.Log,
	}
	if errors.Is(err, kit.ErrInvalid) {
		answer.Plan, answer.Error = api.Plan{}, message(err)
		return answer, nil
	}
	if err != nil {
		return answer, fmt.Errorf("plan of %s: %w", run.Project, err)
	}
	return answer, nil
}
