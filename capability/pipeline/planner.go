package pipeline

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// planner carries out what runs wish for: it evaluates pipelines and makes
// releases.
type planner struct {
	client kit.Client
	http   *http.Client
	base   string
}

// plan evaluates the pipeline of the run r.
func (p planner) plan(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	run, err := api.Runs.Decode(r)
	if err != nil {
		return nil, err
	}
	project, err := api.Projects.Read(ctx, p.client, run.Project)
	if err != nil {
		return nil, err
	}
	if err := p.checkCurrent(ctx, run); err != nil {
		return nil, err
	}
	definitions, err := p.definitions(ctx, run)
	if err != nil {
		return nil, err
	}
	in, err := p.input(ctx, run, project, definitions)
	if err != nil {
		return nil, err
	}
	result, err := plan.Evaluate(ctx, in)
	var bad *plan.Error
	if errors.As(err, &bad) {
		return nil, kit.Errorf(kit.ErrInvalid, "", "%v", bad)
	}
	if err != nil {
		return nil, err
	}
	if run.Change != "" {
		if err := checkGate(result.Plan, project, run.Branch); err != nil {
			return nil, err
		}
	}
	if err := p.checkEnvironments(ctx, result.Plan); err != nil {
		return nil, err
	}
	if err := p.checkApprovers(ctx, result.Plan); err != nil {
		return nil, err
	}
	return planResult{Definitions: definitions, Plan: result.Plan, Log: result.Log}, nil
}

// input gathers all that the pipeline of run may look at.
func (p planner) input(ctx context.Context, run api.Run, project api.Project, definitions string) (plan.Input, error) {
	var none plan.Input
	files, err := p.files(ctx, run.Project, definitions, "pipeline.star", "ci")
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
	if in.Jobs, err = p.jobs(ctx, run.Project, definitions); err != nil {
		return none, err
	}
	in.Library, err = p.library(ctx, run.Project)
	return in, err
}

// checkGate refuses a plan for a patch set that would pass untested, or that
// does more than test without having been reviewed itself.
func checkGate(pl api.Plan, project api.Project, branch string) error {
	isBuild := func(n api.Node) bool { return n.Type == api.NodeBuild }
	if !slices.ContainsFunc(pl.Nodes, isBuild) {
		return kit.Errorf(kit.ErrInvalid, "", `pipeline.star has no build for a patch set, so nothing would test it: return at least one build(job = "NAME") where ctx.event.type is "patchset-created"`)
	}
	if project.Protects(branch) {
		return nil
	}
	for _, n := range pl.Nodes {
		if n.Type == api.NodeDeploy || n.Type == api.NodeRelease {
			return kit.Errorf(kit.ErrInvalid, "", "%s: branch %s takes direct pushes, so nobody has reviewed its pipeline: it can build, but not %s", n.Position, branch, n.Type)
		}
	}
	return nil
}

// definitions returns the commit that the run's definitions are read from:
// for a patch under review the branch's tip, so that a patch cannot change
// how it is judged.
func (p planner) definitions(ctx context.Context, run api.Run) (string, error) {
	if run.Definitions != "" {
		return run.Definitions, nil
	}
	ref, err := api.Refs.Read(ctx, p.client, api.RefID(run.Project, "refs/heads/"+run.Branch))
	return ref.Commit, err
}

// ConfigProject is the project whose files every pipeline can load as
// @ci//NAME; a hub without it has no such library.
const ConfigProject = "ci"

func (p planner) library(ctx context.Context, project string) (map[string]string, error) {
	if project == ConfigProject {
		return nil, nil
	}
	ref, err := api.Refs.Read(ctx, p.client, api.RefID(ConfigProject, "refs/heads/main"))
	if errors.Is(err, kit.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	files, err := p.files(ctx, ConfigProject, ref.Commit)
	return stars(files), err
}

// params are what a pipeline is told of the commit itself: its version, from
// the file VERSION.
func (p planner) params(ctx context.Context, run api.Run) (map[string]string, error) {
	files, err := p.files(ctx, run.Project, run.Commit, "VERSION")
	version, ok := files["VERSION"]
	if err != nil || !ok {
		return nil, err
	}
	return map[string]string{"version": strings.TrimSpace(version)}, nil
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
	body, err := p.fetch(ctx, "/job/expand/"+project+"/"+commit)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var specs []api.JobSpec
	if err := json.NewDecoder(body).Decode(&specs); err != nil {
		return nil, fmt.Errorf("jobs of %s: %w", commit, err)
	}
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	return names, nil
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
	deploys := func(n api.Node) bool { return n.Type == api.NodeDeploy }
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

// releaseArgs are the arguments of the action release.
type releaseArgs struct {
	Node    string `json:"node"`
	Attempt int    `json:"attempt"`
	Version string `json:"version"`
	Image   string `json:"image"`
}

// release makes a release of an image. Its result is the node's outcome, or
// nothing while the release is being made.
func (p planner) release(ctx context.Context, r kit.Record, op kit.Op) (any, error) {
	run, err := api.Runs.Decode(r)
	if err != nil {
		return nil, err
	}
	var a releaseArgs
	if err := (kit.Event{Name: "release", Data: op.Data}).Into(&a); err != nil {
		return nil, err
	}
	done, err := p.makeRelease(ctx, run, a)
	if err != nil && !kit.Temporary(err) {
		return api.NodeDone{Node: a.Node, Attempt: a.Attempt, Error: err.Error()}, nil
	}
	return done, err
}

// makeRelease creates the release document. One that was made of the same
// image before will do.
func (p planner) makeRelease(ctx context.Context, run api.Run, a releaseArgs) (any, error) {
	id := run.Project + "-" + a.Version
	_, err := api.Releases.Create(ctx, p.client, id, api.Release{
		Meta:    kit.Meta{Source: run.Link},
		Project: run.Project, Version: a.Version, Image: a.Image, Commit: run.Commit,
		Run: run.Link, Node: a.Node, Attempt: a.Attempt,
	})
	if !errors.Is(err, kit.ErrConflict) {
		return nil, err
	}
	old, err := api.Releases.Read(ctx, p.client, id)
	switch {
	case err != nil:
		return nil, err
	case old.Run == run.Link && old.Node == a.Node:
		return nil, nil // made by an attempt at this that was cut off
	case old.State == api.ReleaseFailed:
		return nil, kit.Errorf(kit.ErrConflict, old.Link, "version %s could not be released of commit %.12s: raise VERSION, or have an administrator delete what failed", a.Version, old.Commit)
	case old.Image == a.Image:
		return api.NodeDone{Node: a.Node, Attempt: a.Attempt, Link: old.Link, Passed: true}, nil
	}
	return nil, kit.Errorf(kit.ErrConflict, old.Link, "version %s was released of commit %.12s already: raise VERSION", a.Version, old.Commit)
}
