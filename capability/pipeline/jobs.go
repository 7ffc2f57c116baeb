package pipeline

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// planOfJobs is the plan of a project without a pipeline.star: a build of each
// job that its triggers start at the event of run, which has changed these files.
func planOfJobs(jobs []api.JobSpec, run api.Run, changed []string) api.Plan {
	var pl api.Plan
	ids, after := map[string]string{}, map[string][]string{}
	for _, j := range jobs {
		i := slices.IndexFunc(j.Triggers, func(t api.Trigger) bool { return starts(t, run, changed) })
		if i < 0 {
			continue
		}
		n := api.Node{ID: j.Name, Type: api.NodeBuild, Job: j.Name}
		if strings.ContainsAny(n.ID, ".~") || len(n.ID) > 100 || kit.CheckID(n.ID) != nil {
			n.ID = fmt.Sprintf("job-%d", len(pl.Nodes)+1)
		}
		if len(j.Origin) > 0 {
			n.Position = j.Origin[0]
		}
		if j.Triggers[i].Silent {
			block := api.Block{ID: fmt.Sprintf("#%d", len(pl.Blocks)+1), Type: api.BlockIgnore, Name: j.Name, Upto: api.CauseInfra, Position: n.Position}
			pl.Blocks, n.In = append(pl.Blocks, block), block.ID
		}
		ids[j.Name], after[j.Name] = n.ID, j.Triggers[i].After
		pl.Nodes = append(pl.Nodes, n)
	}
	for i, n := range pl.Nodes {
		for _, name := range after[n.Job] {
			if ids[name] != "" && !waits(after, name, n.Job, map[string]bool{}) {
				pl.Nodes[i].After = append(pl.Nodes[i].After, ids[name])
			}
		}
	}
	return pl
}

// waits tells whether job waits for other, or for one that does, by what each
// job comes after.
func waits(after map[string][]string, job, other string, seen map[string]bool) bool {
	if job == other {
		return true
	}
	if seen[job] {
		return false
	}
	seen[job] = true
	return slices.ContainsFunc(after[job], func(next string) bool { return waits(after, next, other, seen) })
}

// starts tells whether t starts its job at the event of run.
func starts(t api.Trigger, run api.Run, changed []string) bool {
	return slices.Contains(t.Events, run.Event) && slices.ContainsFunc(t.Sources, func(s api.TriggerSource) bool {
		switch {
		case s.Project != "" && !fits(s.Project, run.Project):
			return false
		case len(s.Branches) > 0 && !anyFits(s.Branches, run.Branch):
			return false
		case slices.ContainsFunc(changed, func(file string) bool { return anyFits(s.Except, file) }):
			return false
		}
		return len(s.Files) == 0 || slices.ContainsFunc(changed, func(file string) bool { return anyFits(s.Files, file) })
	})
}

func anyFits(expressions []string, text string) bool {
	return slices.ContainsFunc(expressions, func(e string) bool { return fits(e, text) })
}

// fits tells whether the expression matches all of text. One that is malformed
// matches nothing: it is reported where the job is translated.
func fits(expression, text string) bool {
	re, err := regexp.Compile("^(?:" + expression + ")$")
	return err == nil && re.MatchString(text)
}
