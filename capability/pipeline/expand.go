package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/pipeline/plan"
	"landfall.dev/kit"
)

// maxArtifact bounds the artifact that a plan is expanded from, in bytes.
const maxArtifact = 1 << 20

// expandArgs are the arguments of the action expand.
type expandArgs struct {
	errand
	Build    kit.Link `json:"build"`
	Artifact string   `json:"artifact"`
	Function string   `json:"function"`
}

// expansion is the outcome of the action expand. Error says why there is no
// plan.
type expansion struct {
	errand
	Plan  api.Plan `json:"plan"`
	Log   string   `json:"log,omitempty"`
	Error string   `json:"error,omitempty"`
}

func (w *walk) expand(p *part) {
	w.wish(w.call(p, expandArgs{
		errand: errand{Node: p.ID, Attempt: p.Attempt},
		Build:  w.byID[p.node.Of].Link, Artifact: p.node.Artifact, Function: p.node.Function,
	}), "")
}

// expanded adds what the function of the node returned to the plan, in the
// node's block and after the node.
func expanded(r api.Run, e kit.Event, now time.Time) (api.Run, []kit.Op) {
	var x expansion
	if err := e.Into(&x); err != nil {
		return r, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	w := newWalk(&r, now)
	p := w.byID[x.Node]
	if p == nil || p.State != api.RunRunning || p.Attempt != x.Attempt {
		return r, nil
	}
	r.Log = plan.JoinLogs(r.Log, x.Log)
	if x.Error != "" {
		w.fail(p, api.CauseFailure, shorten(x.Error))
		w.advance()
		return r, w.ops
	}
	p.State, p.Finished = api.RunPassed, now
	extend(&r, within(x.Plan, p.node))
	w = newWalk(&r, now) // of the longer plan
	w.advance()
	return r, w.ops
}

// within puts a plan into the block of the node n, to begin after it.
func within(p api.Plan, n *api.Node) api.Plan {
	for i := range p.Nodes {
		if x := &p.Nodes[i]; x.In == "" {
			x.In, x.Needs = n.In, append([]string{n.ID}, x.Needs...)
		}
		if p.Nodes[i].Stage == "" {
			p.Nodes[i].Stage = n.Stage
		}
	}
	for i := range p.Blocks {
		if b := &p.Blocks[i]; b.In == "" {
			b.In, b.Needs = n.In, append([]string{n.ID}, b.Needs...)
		}
	}
	return p
}

// expand calls the function of a node of the run r with the artifact that it
// is for.
func (p planner) expand(ctx context.Context, r kit.Record, op kit.Op) (any, error) {
	run, err := api.Runs.Decode(r)
	if err != nil {
		return nil, err
	}
	var a expandArgs
	if err := arguments(op, &a); err != nil {
		return nil, err
	}
	result, err := p.expansion(ctx, run, a)
	x := expansion{errand: a.errand, Plan: result.Plan, Log: result.Log}
	if err != nil && (kit.Temporary(err) || ctx.Err() != nil) {
		return nil, err
	}
	if err != nil {
		x.Plan, x.Error = api.Plan{}, err.Error()
	}
	return x, nil
}

func (p planner) expansion(ctx context.Context, run api.Run, a expandArgs) (plan.Result, error) {
	var none plan.Result
	value, err := p.artifact(ctx, a)
	if err != nil {
		return none, err
	}
	project, err := api.Projects.Read(ctx, p.client, run.Project)
	if err != nil {
		return none, err
	}
	in, err := p.input(ctx, run, project)
	if err != nil {
		return none, err
	}
	in.Expansion = &plan.Expansion{Function: a.Function, Source: fmt.Sprintf("%s of %s", a.Artifact, a.Build), Value: value, Plan: run.Plan, Node: a.Node}
	for _, n := range run.Nodes {
		if n.Image != "" {
			in.Expansion.Images = append(in.Expansion.Images, n.ID)
		}
	}
	result, err := p.draft(ctx, run, in)
	if err == nil {
		err = p.check(ctx, run, project, result.Plan)
	}
	return result, err
}

// artifact returns the JSON that the build has kept.
func (p planner) artifact(ctx context.Context, a expandArgs) (json.RawMessage, error) {
	b, err := api.Builds.Read(ctx, p.client, a.Build.ID())
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(b.Artifacts, func(x api.Artifact) bool { return x.Path == a.Artifact })
	if i < 0 {
		var kept []string
		for _, x := range b.Artifacts {
			kept = append(kept, x.Path)
		}
		return nil, kit.Errorf(kit.ErrInvalid, b.Link, "the build has kept no artifact %q: name it under artifacts in the definition of %s%s", a.Artifact, b.Job, didYouMean(a.Artifact, kept))
	}
	if b.Artifacts[i].Size > maxArtifact {
		return nil, kit.Errorf(kit.ErrTooLarge, b.Link, "artifact %s has %d KB: a plan is expanded from at most %d KB", a.Artifact, b.Artifacts[i].Size>>10, maxArtifact>>10)
	}
	body, err := p.fetch(ctx, "/blobs/"+string(b.Artifacts[i].Digest))
	if err != nil {
		return nil, err
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, maxArtifact+1))
	if err != nil {
		return nil, err
	}
	var check any
	if err := json.Unmarshal(text, &check); err != nil {
		return nil, kit.Errorf(kit.ErrInvalid, b.Link, "artifact %s is no JSON: %v", a.Artifact, err)
	}
	return text, nil
}
