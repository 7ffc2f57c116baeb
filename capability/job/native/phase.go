package native

import (
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition/yaml11"
)

// phaseLimits say of each condition that a phase of a job of jobs can have which
// results of its builds end the job.
var phaseLimits = map[string]api.CallStep{
	"SUCCESSFUL": {StepFails: api.ResultUnstable},
	"UNSTABLE":   {StepFails: api.ResultFailure, Unstable: api.ResultUnstable},
	"COMPLETED":  {Fails: api.ResultFailure, Unstable: api.ResultUnstable},
	"ALWAYS":     {Fails: api.ResultFailure, Unstable: api.ResultUnstable},
}

// phaseJob are the arguments of each of a phase's jobs.
var phaseJob = kind{
	takes: "name current-parameters predefined-parameters property-file",
	free:  "alias git-revision node-label node-label-name job-alias abort-all-job",
	lacks: "disable-job enable-condition kill-phase-on node-parameters restrict-matrix-project retry",
}

// phase starts the jobs of a phase, and waits for them.
func phase(t *translation, a args) []api.Step {
	condition := or(strings.ToUpper(a.text("condition")), "SUCCESSFUL")
	limits, ok := phaseLimits[condition]
	if !ok {
		t.miss(a.c, Cannot, "going on under the condition %q: it is SUCCESSFUL, UNSTABLE, COMPLETED or ALWAYS", yaml11.Brief(condition))
		return nil
	}
	var jobs []api.Called
	for _, m := range calls(a.get("projects")) {
		t.check(a.c, m, phaseJob)
		name := strings.TrimPrefix(t.expand(a.c, text(m.Lookup("name"))), "/")
		if name == "" {
			t.miss(a.c, Cannot, "one of its projects has no name")
			return nil
		}
		jobs = append(jobs, api.Called{Jobs: []string{name}, Pass: t.pass(a, m)})
	}
	if len(jobs) == 0 {
		t.miss(a.c, Without, "it names no job to start: add projects")
		return nil
	}
	limits.Wait = true
	one := func(first api.Called, others []api.Called) api.Step {
		step := limits
		step.Called, step.And = first, others
		return api.Step{Call: &step}
	}
	if strings.ToUpper(a.text("execution-type")) != "SEQUENTIALLY" {
		return []api.Step{one(jobs[0], jobs[1:])}
	}
	var steps []api.Step
	for _, job := range jobs {
		steps = append(steps, one(job, nil))
	}
	return steps
}
