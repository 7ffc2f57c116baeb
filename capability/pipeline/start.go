package pipeline

import (
	"crypto/sha256"
	"fmt"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// order orders what the node p, which has just started, is there for.
func (w *walk) order(p *part) {
	r, spec := *w.r, *p.node
	if needsImage := spec.Type == api.NodeDeploy || spec.Type == api.NodeRelease; needsImage && w.image(spec.Image) == "" {
		w.fail(p, api.CauseFailure, fmt.Sprintf("node %s has made no image: give its job a pack", spec.Image))
		return
	}
	e := errand{Node: p.ID, Attempt: p.Attempt}
	switch spec.Type {
	case api.NodeBuild:
		p.Link = api.Builds.Link(workID(r, *p.NodeRun))
		w.wish(kit.Create(api.Builds, p.Link.ID(), buildOf(r, spec)), "")
	case api.NodeDeploy:
		p.Link = api.Deployments.Link(workID(r, *p.NodeRun))
		d := deploymentOf(r, spec, *p.NodeRun)
		d.Image = w.image(spec.Image)
		w.wish(kit.Create(api.Deployments, p.Link.ID(), d), "")
	case api.NodeRelease:
		w.wish(w.call(p, releaseArgs{errand: e, Version: spec.Version, Image: w.image(spec.Image)}), "")
	case api.NodePromote:
		w.wish(w.call(p, promoteArgs{errand: e, Channel: spec.Channel, Release: w.byID[spec.Of].Link}), "")
	case api.NodeRollback:
		w.wish(w.call(p, rollbackArgs{errand: e, Environment: spec.Environment}), "")
	case api.NodeTrigger:
		p.Link = triggered(r, *p.NodeRun, spec)
		w.wish(w.call(p, triggerArgs{errand: e, Project: spec.Project, Job: spec.Job, Params: spec.Params}), "")
	case api.NodeExpand:
		w.expand(p)
	case api.NodeGate:
		w.judge(p)
	case api.NodeNotify:
		p.State, p.Finished = api.RunPassed, w.now
		to := r.Author
		if spec.To != "" {
			to = spec.To
		}
		w.wish(kit.Create(api.Notices, workID(r, *p.NodeRun), api.Notice{
			Meta: kit.Meta{Source: r.Link}, To: to, Text: spec.Text, About: r.Link,
		}), "")
	}
}

// errand says which attempt of which node an action is for. It is a part of its
// arguments.
type errand struct {
	Node    string `json:"node"`
	Attempt int    `json:"attempt"`
}

// failed is the outcome of an errand that could not be done.
func (e errand) failed(err error) api.NodeDone {
	return api.NodeDone{Node: e.Node, Attempt: e.Attempt, Error: err.Error()}
}

// call is the action for the node p, which is called as its type. It is not
// kept waiting by other operations, nor does it keep them waiting.
func (w *walk) call(p *part, args any) kit.Op {
	op := kit.Call(string(p.node.Type), fmt.Sprintf("%s.%d", p.ID, p.Attempt), args)
	op.At = w.now
	return op
}

// image returns what the build of the node packed.
func (w *walk) image(node string) string {
	if p := w.byID[node]; p != nil {
		return p.Image
	}
	return ""
}

func buildOf(r api.Run, spec api.Node) api.Build {
	return api.Build{
		Meta:        kit.Meta{Source: r.Link},
		Project:     r.Project,
		Job:         spec.Job,
		Commit:      r.Commit,
		Definitions: r.Definitions,
		Author:      r.Author,
		Run:         r.Link,
		Node:        spec.ID,
		Change:      r.Change,
		PatchSet:    r.PatchSet,
		Params:      spec.Params,
		Step:        spec.Step,
		Tip:         r.Event == eventTriggered || r.Event == eventTimer,
	}
}

func deploymentOf(r api.Run, spec api.Node, n api.NodeRun) api.Deployment {
	return api.Deployment{
		Meta:        kit.Meta{Source: r.Link},
		Environment: spec.Environment,
		Project:     r.Project,
		Run:         r.Link,
		Node:        spec.ID,
		Attempt:     n.Attempt,
		Tests:       spec.Tests,
	}
}

// triggered is the link of what a trigger orders: the build of a job, or the
// run of a pipeline. Runs that trigger one another do not get longer ids.
func triggered(r api.Run, n api.NodeRun, spec api.Node) kit.Link {
	id := workID(r, n)
	if spec.Job != "" {
		return api.Builds.Link(id)
	}
	return api.Runs.Link(fmt.Sprintf("%s-by-%.6x", spec.Project, sha256.Sum256([]byte(id))))
}

// workID is the id of what a node orders: the run, the node, the attempt.
func workID(r api.Run, n api.NodeRun) string {
	return fmt.Sprintf("%s.%s.%d", r.Link.ID(), n.ID, n.Attempt)
}
