package pipeline

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// onChange gates the current patch set of an open change by a run, and ends
// the runs of those before: of all, since a change that moves on fast is seen
// only as it is at last.
func onChange(c api.Change, _ time.Time) []kit.Op {
	if c.Status != api.ChangeOpen {
		return nil
	}
	ps := c.Current()
	id := gateID(c, ps.Number)
	ops := []kit.Op{kit.Create(api.Runs, id, api.Run{
		Meta:     kit.Meta{Source: c.Link},
		Project:  c.Project,
		Event:    "patchset-created",
		Commit:   ps.Commit,
		Branch:   c.Branch,
		Author:   c.Owner,
		Change:   c.Link,
		PatchSet: ps.Number,
	})}
	for n := 1; n < ps.Number; n++ {
		ops = append(ops, kit.Send(api.Runs.Link(gateID(c, n)), "supersede", nil))
	}
	for _, m := range slices.Backward(c.Messages) {
		asks := kit.Link(m.By).Kind() == api.Users.Name && strings.TrimSpace(m.Text) == Recheck
		if asks && m.At.After(ps.Created) {
			return append(ops, kit.Send(api.Runs.Link(id), "recheck", recheckArgs{At: m.At}))
		}
	}
	return ops
}

// Recheck is the comment on a change by which a person wants its gating run once
// more.
const Recheck = "recheck"

func gateID(c api.Change, patchSet int) string {
	return fmt.Sprintf("change-%s-%d", c.Link.ID(), patchSet)
}

// onLanding carries a commit that has landed on, by a run. Each landing is seen,
// however fast its branch moves on. What stands below a commit on a branch that
// takes direct pushes, its pipeline too, nobody has reviewed.
func onLanding(l api.Landing, _ time.Time) []kit.Op {
	if l.State != api.LandingLanded || !l.Protected {
		return nil
	}
	return merged(l.Link, l.Project, l.Branch, l.Commit, l.By)
}

// onRef carries the first commit of a project on, which is imported. What else
// is on a branch has landed, or was pushed past the review: then it is not to
// say what becomes of it.
func onRef(r api.Ref, _ time.Time) []kit.Op {
	branch, ok := strings.CutPrefix(r.Name, "refs/heads/")
	if !ok || r.Commit == "" || r.Before != "" || r.Source.Kind() != api.Projects.Name {
		return nil
	}
	return merged(r.Link, r.Project, branch, r.Commit, r.By)
}

func merged(source kit.Link, project, branch, commit, by string) []kit.Op {
	id := fmt.Sprintf("%s-%s-%.12s", project, strings.ReplaceAll(branch, "/", "~"), commit)
	return []kit.Op{kit.Create(api.Runs, id, api.Run{
		Meta:        kit.Meta{Source: source},
		Project:     project,
		Event:       "merged",
		Commit:      commit,
		Branch:      branch,
		Author:      by,
		Definitions: commit,
	})}
}

// onBuild tells a run of the end of a build. One that a schedule has ordered, of
// a job that is there for that, starts the pipeline.
func onBuild(b api.Build, _ time.Time) []kit.Op {
	if timed := b.Source.Kind() == api.Schedules.Name; timed && b.State == api.BuildPassed && b.Spec != nil && b.Spec.Pipeline {
		return []kit.Op{kit.Create(api.Runs, b.Link.ID(), api.Run{
			Meta: kit.Meta{Source: b.Link}, Project: b.Project, Event: eventTimer, Commit: b.Commit, Branch: mainBranch,
			Definitions: b.Definitions, Params: timerParams(b),
		})}
	}
	if b.Run == "" || !b.State.Done() {
		return nil
	}
	d := done(b.Link, b.Node)
	d.Passed = b.State == api.BuildPassed
	d.Infrastructure = b.State == api.BuildError
	d.Unstable, d.ExitCode = b.Result == api.ResultUnstable, b.ExitCode
	d.Image, d.Error = b.Image, b.Error
	for _, f := range b.Reports {
		judged := b.State == api.BuildPassed || b.State == api.BuildFailed
		d.Reported = d.Reported || judged && !f.Kind.OfInventory()
		d.Listed = d.Listed || judged && f.Kind.OfInventory()
	}
	return []kit.Op{kit.Send(b.Run, "node", d)}
}

// timerParams are those of a build that starts a pipeline, and its job.
func timerParams(b api.Build) map[string]string {
	params := map[string]string{"job": b.Job}
	maps.Copy(params, b.Params)
	return params
}

func onDeployment(x api.Deployment, _ time.Time) []kit.Op {
	if x.Run == "" || !x.State.Done() {
		return nil
	}
	d := done(x.Link, x.Node)
	d.Passed, d.Error = x.State == api.DeploymentPassed, x.Error
	return []kit.Op{kit.Send(x.Run, "node", d)}
}

func onRelease(x api.Release, _ time.Time) []kit.Op {
	if x.Run == "" || x.State == "" || x.State == api.ReleaseDraft {
		return nil
	}
	d := done(x.Link, x.Node)
	d.Attempt = x.Attempt
	d.Passed, d.Error = x.State != api.ReleaseFailed, x.Error
	return []kit.Op{kit.Send(x.Run, "node", d)}
}

// done returns the outcome of the node whose work is at link; the attempt is
// the last part of the link.
func done(link kit.Link, node string) api.NodeDone {
	i := strings.LastIndexByte(string(link), '.')
	attempt, _ := strconv.Atoi(string(link)[i+1:])
	return api.NodeDone{Node: node, Attempt: attempt, Link: link}
}
