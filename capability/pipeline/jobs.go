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
	for _, j := range jobs {
		if !slices.ContainsFunc(j.Triggers, func(t api.Trigger) bool { return starts(t, run, changed) }) {
			continue
		}
		n := api.Node{ID: j.Name, Type: api.NodeBuild, Job: j.Name}
		if strings.ContainsAny(n.ID, ".~") || len(n.ID) > 100 || kit.CheckID(n.ID) != nil {
			n.ID = fmt.Sprintf("job-%d", len(pl.Nodes)+1)
		}
		if len(j.Origin) > 0 {
			n.Position = j.Origin[0]
		}
		pl.Nodes = append(pl.Nodes, n)
	}
	return pl
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
