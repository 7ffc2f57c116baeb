package pipeline

import (
	"fmt"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// start begins node i of r and returns what it orders.
func start(r *api.Run, i int, now time.Time) []kit.Op {
	spec, n := r.Plan.Nodes[i], &r.Nodes[i]
	n.State, n.Attempt, n.Started, n.Error, n.Link = api.RunRunning, n.Attempt+1, now, "", ""
	if needsImage := spec.Type == api.NodeDeploy || spec.Type == api.NodeRelease; needsImage && imageOf(*r, spec.Image) == "" {
		n.State, n.Finished = api.RunFailed, now
		n.Error = fmt.Sprintf("node %s has made no image: give its job a pack", spec.Image)
		return nil
	}
	switch spec.Type {
	case api.NodeBuild:
		b := buildOf(*r, spec)
		n.Link = api.Builds.Link(workID(*r, *n))
		return []kit.Op{kit.Create(api.Builds, n.Link.ID(), b)}
	case api.NodeDeploy:
		d := deploymentOf(*r, spec, *n)
		n.Link = api.Deployments.Link(workID(*r, *n))
		return []kit.Op{kit.Create(api.Deployments, n.Link.ID(), d)}
	case api.NodeRelease:
		return []kit.Op{kit.Call("release", n.ID, releaseArgs{
			Node: n.ID, Attempt: n.Attempt, Version: spec.Version, Image: imageOf(*r, spec.Image),
		})}
	case api.NodeNotify:
		n.State, n.Finished = api.RunPassed, now
		return []kit.Op{kit.Create(api.Notices, workID(*r, *n), api.Notice{
			Meta: kit.Meta{Source: r.Link}, To: r.Author, Text: spec.Text, About: r.Link,
		})}
	}
	return nil // an approval waits for a person
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
	}
}

func deploymentOf(r api.Run, spec api.Node, n api.NodeRun) api.Deployment {
	return api.Deployment{
		Meta:        kit.Meta{Source: r.Link},
		Environment: spec.Environment,
		Project:     r.Project,
		Image:       imageOf(r, spec.Image),
		Run:         r.Link,
		Node:        spec.ID,
		Attempt:     n.Attempt,
		Tests:       spec.Tests,
	}
}

func imageOf(r api.Run, node string) string {
	if i := find(r, node); i >= 0 {
		return r.Nodes[i].Image
	}
	return ""
}
