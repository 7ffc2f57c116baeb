package job

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// keptGenerations is how many earlier generations can be gone back to.
const keptGenerations = 10

// mainBranch is the branch whose definitions are deployed.
const mainBranch = "refs/heads/main"

// onRef has a project's jobs deployed when its main branch has moved.
func onRef(r api.Ref, _ time.Time) []kit.Op {
	if r.Name != mainBranch || r.Commit == "" {
		return nil
	}
	g := firstGeneration(r)
	return []kit.Op{
		kit.Create(api.Generations, r.Project, g),
		kit.Send(api.Generations.Link(r.Project), "deploy", g.Request),
	}
}

// onProject has a project's jobs deployed that were defined before Landfall kept
// generations.
func onProject(p api.Project, _ time.Time) []kit.Op {
	return []kit.Op{kit.Call("found", p.Link.ID(), nil)}
}

// found makes the first generation of the project r, if it has definitions.
func (d definitions) found(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	project := r.Link.ID()
	ref, err := api.Refs.Read(ctx, d.client, api.RefID(project, mainBranch))
	if errors.Is(err, kit.ErrNotFound) || err == nil && ref.Commit == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	_, err = api.Generations.Create(ctx, d.client, project, firstGeneration(ref))
	if errors.Is(err, kit.ErrConflict) {
		return nil, nil
	}
	return nil, err
}

func firstGeneration(r api.Ref) api.Generation {
	return api.Generation{
		Meta: kit.Meta{Source: r.Link}, Project: r.Project, Folder: folder, Request: api.DeployJobsArgs{Commit: r.Commit},
	}
}

// nextGeneration returns g after e, and what must now happen:
//
//	created, deploy ──▶ deploying ──redeploy.done──▶ deployed | held | failed
//
// One deployment is carried out at a time; what is asked for meanwhile is
// carried out after it.
func nextGeneration(g api.Generation, e kit.Event, now time.Time) (api.Generation, []kit.Op) {
	switch e.Name {
	case "created":
		return ask(api.Generation{Meta: g.Meta, Project: g.Project, Folder: folder}, api.DeployJobsArgs{Commit: g.Request.Commit})
	case "deploy":
		var a api.DeployJobsArgs
		if err := e.Into(&a); err != nil {
			return g, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
		deploying := g.State == api.GenerationDeploying && g.Request.Commit == a.Commit
		deployed := g.State == api.GenerationDeployed && g.Commit == a.Commit
		if a.Commit != "" && (deploying || deployed) {
			return g, nil
		}
		known := func(d api.Deployed) bool { return d.Number == a.Back }
		if a.Back != 0 && !slices.ContainsFunc(g.Earlier, known) {
			return g, kit.Refuse(kit.ErrInvalid, "there is no earlier generation %d to go back to", a.Back)
		}
		return ask(g, a)
	case "writing":
		var w writing
		if err := e.Into(&w); err != nil || e.By != self {
			return g, kit.Refuse(kit.ErrForbidden, "only a deployment writes jobs: ask for one with deploy")
		}
		g.Writing, g.Last = w.Asked, w.Changes
		return g, nil
	case "redeploy.done":
		var r redeployed
		if err := e.Into(&r); err != nil {
			return g, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
		return settle(g, r, now)
	case "redeploy.failed":
		var f struct {
			Error string `json:"error"`
		}
		_ = e.Into(&f) // without a reason it has failed all the same
		return settle(g, redeployed{Asked: g.Asked, State: api.GenerationFailed, Error: f.Error}, now)
	}
	return g, nil
}

func ask(g api.Generation, a api.DeployJobsArgs) (api.Generation, []kit.Op) {
	g.Asked++
	g.Request = a
	if g.State == api.GenerationDeploying {
		return g, nil
	}
	g.State = api.GenerationDeploying
	return g, []kit.Op{kit.Call("redeploy", strconv.Itoa(g.Asked), nil)}
}

// settle takes in how a deployment ended.
func settle(g api.Generation, r redeployed, now time.Time) (api.Generation, []kit.Op) {
	g.State, g.Error, g.Held, g.Last, g.Writing = r.State, r.Error, "", r.Changes, 0
	switch r.State {
	case api.GenerationHeld:
		g.Held = r.Deployed.Commit
	case api.GenerationDeployed:
		if g.Number == 0 || r.Deployed.Specs != g.Specs {
			if g.Number > 0 {
				g.Earlier = slices.Insert(g.Earlier, 0, g.Deployed)
				g.Earlier = g.Earlier[:min(len(g.Earlier), keptGenerations)]
			}
			r.Deployed.Number, r.Deployed.At = g.Number+1, now
			g.Deployed = r.Deployed
		} else {
			g.Commit = r.Deployed.Commit
		}
	}
	if r.Asked < g.Asked {
		g.State = api.GenerationDeploying
		return g, []kit.Op{kit.Call("redeploy", strconv.Itoa(g.Asked), nil)}
	}
	return g, nil
}

// redeployed is the outcome of the action redeploy.
type redeployed struct {
	Asked    int                 `json:"asked"` // the request that it carried out
	State    api.GenerationState `json:"state"`
	Error    string              `json:"error,omitempty"`
	Changes  api.JobChanges      `json:"changes,omitzero"`
	Deployed api.Deployed        `json:"deployed,omitzero"`
}

// writing is the event of that name of a generation: several writes begin.
type writing struct {
	Asked   int            `json:"asked"` // the request that they carry out
	Changes api.JobChanges `json:"changes"`
}

// redeploy makes a project's jobs what the definitions at its main branch's tip
// say, or those of an earlier generation, in one write; more than fit into that
// are several, which a crash between them only puts off: the generation is
// deploying, and says that it is written, until all are done. Jobs that were changed or deleted by other
// means become what they were. Broken definitions leave all as it was; the
// builds that need them say what is wrong.
func (d definitions) redeploy(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	g, err := api.Generations.Decode(r)
	if err != nil {
		return nil, err
	}
	out, err := d.deploy(ctx, g)
	if err != nil && kit.Temporary(err) {
		return nil, err
	}
	if err != nil {
		out = redeployed{State: api.GenerationFailed, Error: reason(err)}
	}
	out.Asked = g.Asked
	return out, nil
}

// reason is what people are told of err.
func reason(err error) string {
	var e *kit.Error
	if errors.As(err, &e) && e.Detail != "" {
		return e.Detail
	}
	return err.Error()
}

func (d definitions) deploy(ctx context.Context, g api.Generation) (redeployed, error) {
	ref, specs, err := d.wanted(ctx, g)
	if err != nil {
		return redeployed{}, err
	}
	deployed, err := d.deployed(ctx, g.Project)
	if err != nil {
		return redeployed{}, err
	}
	p, err := newJobPlan(ref, deployed, specs)
	if err != nil {
		return redeployed{}, err
	}
	text, err := json.Marshal(specs)
	if err != nil {
		return redeployed{}, err
	}
	digest, _, err := d.blobs.Put(ctx, bytes.NewReader(text), "")
	if err != nil {
		return redeployed{}, err
	}
	out := redeployed{
		State: api.GenerationDeployed, Changes: p.counts,
		Deployed: api.Deployed{Commit: ref.Commit, Jobs: len(specs), By: ref.By, Specs: digest},
	}
	if why := p.confirm(len(deployed)); why != "" && g.Request.Confirm != ref.Commit {
		out.State, out.Error = api.GenerationHeld, why+": confirm it with landfall job apply "+g.Project+" --confirm"
		return out, nil
	}
	if err := p.check(); err != nil {
		return redeployed{}, err
	}
	if digest == g.Specs {
		out.Changes.Repaired = len(p.edits)
	}
	batches := p.batches()
	if g.Writing == g.Asked { // cut off: what is compared now is the rest
		out.Changes = g.Last
	} else if len(batches) > 1 {
		if _, err := api.Generations.Send(ctx, d.client, g.Project, "writing", writing{g.Asked, out.Changes}); err != nil {
			return out, err
		}
	}
	for _, writes := range batches {
		if _, err = d.client.Batch(ctx, writes); err != nil {
			break
		}
	}
	if kit.FaultOf(err) == kit.ErrConflict || kit.FaultOf(err) == kit.ErrNotFound { // something else has changed them: compare anew
		err = &kit.Error{Op: "job.redeploy", Fault: kit.ErrStale, Err: err}
	}
	return out, err
}

// wanted returns the specs that g shall deploy, and the ref that they are of.
func (d definitions) wanted(ctx context.Context, g api.Generation) (api.Ref, []api.JobSpec, error) {
	if g.Request.Back == 0 {
		ref, err := api.Refs.Read(ctx, d.client, api.RefID(g.Project, mainBranch))
		if err != nil {
			return ref, nil, err
		}
		specs, err := d.expand(ctx, g.Project, ref.Commit)
		return ref, specs, err
	}
	i := slices.IndexFunc(g.Earlier, func(e api.Deployed) bool { return e.Number == g.Request.Back })
	if i < 0 {
		return api.Ref{}, nil, kit.Errorf(kit.ErrInvalid, g.Link, "generation %d is not kept any more", g.Request.Back)
	}
	specs, err := d.specs(ctx, g.Earlier[i].Specs)
	ref := api.Ref{Meta: kit.Meta{Link: g.Source}, Project: g.Project, Commit: g.Earlier[i].Commit, By: g.Earlier[i].By}
	return ref, specs, err
}

func (d definitions) specs(ctx context.Context, digest kit.Digest) ([]api.JobSpec, error) {
	b, err := d.blobs.Open(ctx, digest)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	var specs []api.JobSpec
	return specs, json.NewDecoder(b).Decode(&specs)
}

// deployed returns all jobs of the source: what it may change and delete.
func (d definitions) deployed(ctx context.Context, project string) ([]api.Job, error) {
	var jobs []api.Job
	for j, err := range api.Jobs.All(ctx, d.client, fmt.Sprintf("project == %q", project), "") {
		if err != nil {
			return nil, err
		}
		if j.Folder == folder || j.Folder == "" { // made before jobs said it
			jobs = append(jobs, j)
		}
	}
	return jobs, nil
}

// serveJobPlan answers with what the deployment of a project's definitions would
// do: those at ?commit=, or at the tip of its main branch.
func (d definitions) serveJobPlan(w http.ResponseWriter, r *http.Request) error {
	project, ctx := r.PathValue("project"), r.Context()
	if err := kit.CallerOf(ctx).May(kit.VerbRead, api.Projects.Link(project)); err != nil {
		return err
	}
	ref := api.Ref{Project: project, Commit: r.FormValue("commit")}
	if ref.Commit == "" {
		var err error
		ref, err = api.Refs.Read(ctx, d.client, api.RefID(project, mainBranch))
		if errors.Is(err, kit.ErrNotFound) {
			err = kit.Errorf(kit.ErrNotFound, api.Projects.Link(project), "there is no such project, or it has no branch main: landfall project list has those that there are")
		}
		if err != nil {
			return err
		}
	}
	files, err := d.files(ctx, project, ref.Commit)
	if err != nil {
		return err
	}
	specs, err := Expand(files)
	if err != nil {
		return err
	}
	deployed, err := d.deployed(ctx, project)
	if err != nil {
		return err
	}
	p, err := newJobPlan(ref, deployed, specs)
	if err != nil {
		return err
	}
	if p.edits == nil {
		p.edits = []api.JobEdit{}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(api.JobPlan{
		Project: project, Commit: ref.Commit, Changes: p.edits, Counts: p.counts, Confirm: p.confirm(len(deployed)), Warning: Unread(files),
	})
	return nil
}
