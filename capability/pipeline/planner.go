package pipeline

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/pipeline/plan"
	"landfall.dev/kit"
)

// planner carries out what runs wish for: it evaluates pipelines, makes and
// promotes releases, goes back and triggers.
type planner struct {
	client kit.Client
	http   *http.Client
	base   string
	// previews has room for as many plans as may be made at once for those who
	// only want to see them.
	previews chan struct{}
}

// plan evaluates the pipeline of the run r.
func (p planner) plan(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	run, err := api.Runs.Decode(r)
	if err != nil {
		return nil, err
	}
	if err := p.checkCurrent(ctx, run); err != nil {
		return nil, err
	}
	if err := p.settleSources(ctx, &run); err != nil {
		return nil, err
	}
	result, err := p.evaluate(ctx, run)
	result, err = p.withOwn(ctx, run, result, err)
	out := planResult{Definitions: run.Definitions, Library: run.Library, Plan: result.Plan, Log: result.Log}
	if errors.Is(err, kit.ErrInvalid) {
		out.Plan, out.Error = api.Plan{}, err.Error()
		return out, nil
	}
	if err == nil && run.Project == ConfigProject && run.Change != "" {
		var broken error
		out.Log, broken, err = p.tryLibrary(ctx, run, out.Log)
		if broken != nil {
			out.Plan, out.Error = api.Plan{}, broken.Error()
		}
	}
	return out, err
}

// evaluate returns the checked plan of run. An ErrInvalid is the fault of the
// pipeline.
func (p planner) evaluate(ctx context.Context, run api.Run) (plan.Result, error) {
	var none plan.Result
	project, err := api.Projects.Read(ctx, p.client, run.Project)
	if err != nil {
		return none, err
	}
	in, err := p.input(ctx, run, project)
	if err != nil {
		return none, err
	}
	if in.Files["pipeline.star"] == "" && run.Project != ConfigProject {
		jobs, err := p.specs(ctx, run.Project, run.Definitions)
		if pl := planOfJobs(jobs, run, in.Changed); err != nil || len(pl.Nodes) > 0 {
			return plan.Result{Plan: pl}, err
		}
	}
	result, err := p.draft(ctx, run, in)
	if err != nil {
		return result, err
	}
	if err := checkTested(result.Plan, run); err != nil {
		return result, err
	}
	return result, p.check(ctx, run, project, result.Plan)
}

// check refuses a plan with nodes that could not be carried out, or must not.
func (p planner) check(ctx context.Context, run api.Run, project api.Project, pl api.Plan) error {
	if err := checkReviewed(pl, run, project); err != nil {
		return err
	}
	if err := p.checkEnvironments(ctx, pl); err != nil {
		return err
	}
	if err := p.checkApprovers(ctx, pl); err != nil {
		return err
	}
	if err := p.checkTriggers(ctx, pl); err != nil {
		return err
	}
	return p.checkChannels(ctx, run.Project, pl)
}

// input gathers all that the pipeline of run may look at.
func (p planner) input(ctx context.Context, run api.Run, project api.Project) (plan.Input, error) {
	var none plan.Input
	paths := []string{"pipeline.star", "ci"}
	if run.Project == ConfigProject {
		paths = nil // its library is all over it
	}
	files, err := p.files(ctx, run.Project, run.Definitions, paths...)
	if err != nil {
		return none, err
	}
	in := plan.Input{
		Event: plan.Event{
			Type: run.Event, Change: number(run.Change), PatchSet: run.PatchSet,
			Branch: run.Branch, Author: run.Author, Commit: run.Commit,
		},
		Project: plan.Project{Name: run.Project, Kind: project.Type, Attrs: project.Attributes},
		Files:   stars(files),
	}
	if in.Params, err = p.params(ctx, run); err != nil {
		return none, err
	}
	if in.Changed, err = p.changed(ctx, run); err != nil {
		return none, err
	}
	if in.Jobs, err = p.jobs(ctx, run.Project, run.Definitions); err != nil {
		return none, err
	}
	if run.Library != "" {
		library, err := p.files(ctx, ConfigProject, run.Library)
		if err != nil {
			return none, err
		}
		in.Library = stars(library)
	}
	return in, nil
}

// checkTested refuses a plan for a patch set that would pass untested.
func checkTested(pl api.Plan, run api.Run) error {
	isBuild := func(n api.Node) bool { return n.Type == api.NodeBuild }
	if run.Change == "" || slices.ContainsFunc(pl.Nodes, isBuild) {
		return nil
	}
	return kit.Errorf(kit.ErrInvalid, "", `pipeline.star has no build for a patch set, so nothing would test it: return at least one build(job = "NAME") where ctx.event.type is "patchset-created"`)
}

// checkReviewed refuses a plan that does more than test, if it comes from a
// branch whose commits nobody has to review.
func checkReviewed(pl api.Plan, run api.Run, project api.Project) error {
	landed := run.Change == "" && run.Event != eventTriggered && run.Event != eventTimer
	if landed || project.Protects(run.Branch) {
		return nil
	}
	harmless := []api.NodeType{api.NodeBuild, api.NodeExpand, api.NodeGate, api.NodeApprove, api.NodeNotify}
	for _, n := range pl.Nodes {
		if !slices.Contains(harmless, n.Type) {
			return kit.Errorf(kit.ErrInvalid, "", "%s: branch %s takes direct pushes, so nobody has reviewed its pipeline: it can build, but not %s", n.Position, run.Branch, n.Type)
		}
	}
	return nil
}

// settleSources settles the commits that the run's pipeline is read from. For a
// patch under review its definitions are those of the branch's tip, so that a
// patch cannot change how it is judged.
func (p planner) settleSources(ctx context.Context, run *api.Run) error {
	if run.Definitions == "" {
		ref, err := api.Refs.Read(ctx, p.client, api.RefID(run.Project, "refs/heads/"+run.Branch))
		if err != nil {
			return err
		}
		run.Definitions = ref.Commit
	}
	if run.Library != "" || run.Project == ConfigProject {
		return nil
	}
	commit, err := p.tip(ctx, ConfigProject)
	if errors.Is(err, kit.ErrNotFound) {
		return nil
	}
	run.Library = commit
	return err
}

// ConfigProject is the project whose files every pipeline can load as
// @ci//NAME; a hub without it has no such library.
const ConfigProject = "ci"

// params are those that triggered the run, and what a pipeline is told of the
// commit itself: its version, from the file VERSION.
func (p planner) params(ctx context.Context, run api.Run) (map[string]string, error) {
	files, err := p.files(ctx, run.Project, run.Commit, "VERSION")
	version, ok := files["VERSION"]
	if err != nil || !ok {
		return run.Params, err
	}
	params := map[string]string{"version": strings.TrimSpace(version)}
	maps.Copy(params, run.Params)
	return params, nil
}

func (p planner) changed(ctx context.Context, run api.Run) ([]string, error) {
	body, err := p.fetch(ctx, "/source/"+run.Project+"/changed/"+run.Commit)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxSources))
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' }), nil
}

// jobs returns the names of the jobs that the definitions at commit make.
func (p planner) jobs(ctx context.Context, project, commit string) ([]string, error) {
	specs, err := p.specs(ctx, project, commit)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	return names, nil
}

// specs returns the project's expanded jobs at the commit.
func (p planner) specs(ctx context.Context, project, commit string) ([]api.JobSpec, error) {
	body, err := p.fetch(ctx, "/job/expand/"+project+"/"+commit)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var specs []api.JobSpec
	if err := json.NewDecoder(body).Decode(&specs); err != nil {
		return nil, fmt.Errorf("jobs of %s: %w", commit, err)
	}
	return specs, nil
}

func number(change kit.Link) int {
	n, _ := strconv.Atoi(change.ID())
	return n
}

// maxSources bounds the definitions of a project, in bytes.
const maxSources = 16 << 20

// files returns the named files and folders of project at commit; all of them
// if none is named.
func (p planner) files(ctx context.Context, project, commit string, paths ...string) (map[string]string, error) {
	q := url.Values{"path": paths}
	body, err := p.fetch(ctx, "/source/"+project+"/archive/"+commit+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	defer body.Close()
	limited := &io.LimitedReader{R: body, N: maxSources}
	texts, err := untar(limited)
	if limited.N <= 0 {
		return nil, kit.Errorf(kit.ErrTooLarge, api.Projects.Link(project), "its definitions have more than %d MB", maxSources>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("archive of %s: %w", commit, err)
	}
	return texts, nil
}

// untar returns the plain files of a tar stream, by path.
func untar(r io.Reader) (map[string]string, error) {
	files := map[string]string{}
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		b, err := io.ReadAll(t)
		if err != nil {
			return nil, err
		}
		files[path.Clean(h.Name)] = string(b)
	}
}

func (p planner) fetch(ctx context.Context, target string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+target, nil)
	if err != nil {
		return nil, err
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(resp.Body, kit.MaxDocument))
		return nil, kit.DecodeProblem(resp.StatusCode, b)
	}
	return resp.Body, nil
}

// stars returns the Starlark files, by path.
func stars(files map[string]string) map[string]string {
	m := map[string]string{}
	for name, f := range files {
		if strings.HasSuffix(name, ".star") {
			m[name] = f
		}
	}
	return m
}

// checkEnvironments refuses a plan that deploys to a place that there is not.
func (p planner) checkEnvironments(ctx context.Context, pl api.Plan) error {
	deploys := func(n api.Node) bool { return n.Type == api.NodeDeploy || n.Type == api.NodeRollback }
	if !slices.ContainsFunc(pl.Nodes, deploys) {
		return nil
	}
	var known []string
	for e, err := range api.Environments.All(ctx, p.client, "", "") {
		if err != nil {
			return err
		}
		known = append(known, e.Link.ID())
	}
	for _, n := range pl.Nodes {
		if deploys(n) && !slices.Contains(known, n.Environment) {
			choice := ""
			if len(known) > 0 {
				choice = "use one of " + strings.Join(known, ", ") + ", or "
			}
			return kit.Errorf(kit.ErrInvalid, "", "%s: there is no environment %q: %smake it with landfall env create %s",
				n.Position, n.Environment, choice, n.Environment)
		}
	}
	return nil
}
