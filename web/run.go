package web

import (
	"net/http"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit/page/layout"
)

// runsPage is a list of runs.
type runsPage struct {
	Runs []api.Run
	Next string
}

func (s site) runs(r request) (page, error) {
	var p runsPage
	filter, err := projectFilter(r)
	if err != nil {
		return page{}, err
	}
	p.Runs, p.Next, err = list(r, api.Runs, filter, "-created")
	return page{Title: "Runs", Section: "/runs", Body: "runs", Content: p, Live: follow(api.Runs.Name)}, err
}

// runPage is a run and its graph.
type runPage struct {
	api.Run
	Graph graph
	Steps []runStep
	// Cancel, Again and Override tell what the caller may do.
	Cancel, Again, Override bool
}

// runStep is a node of a run's graph.
type runStep struct {
	Plan    api.Node
	Run     api.NodeRun
	Before  []string // ids of the nodes directly before it
	Around  string   // what the blocks do that it is in
	Approve bool     // the caller may
}

// What tells what the step is about.
func (s runStep) What() string {
	switch s.Plan.Type {
	case api.NodeBuild:
		return s.Plan.Job
	case api.NodeTrigger:
		return strings.TrimSpace(s.Plan.Project + " " + s.Plan.Job)
	case api.NodeExpand:
		return s.Plan.Artifact
	case api.NodeDeploy, api.NodeRollback:
		return s.Plan.Environment
	case api.NodeRelease:
		return s.Plan.Version
	case api.NodePromote:
		return s.Plan.Channel
	case api.NodeApprove:
		return layout.Who(s.Plan.By)
	}
	return s.Plan.Text
}

func (s site) run(r request) (page, error) {
	run, err := read(r, api.Runs)
	if err != nil {
		return page{}, err
	}
	p := runPage{Run: run, Cancel: !run.State.Final() && r.may("cancel", run.Link)}
	p.Again = run.State.Final() && run.State != api.RunPassed && run.Next == "" && !run.Superseded && r.may("rerun", run.Link)
	frozen := func(n api.NodeRun) bool { return n.State == api.RunWaiting && !n.Until.IsZero() }
	p.Override = (slices.ContainsFunc(run.Nodes, frozen) || slices.ContainsFunc(run.Blocks, frozen)) && r.may("override", run.Link)
	done := map[string]api.NodeRun{}
	for _, n := range run.Nodes {
		done[n.ID] = n
	}
	o := orderOf(run.Plan)
	for _, n := range run.Plan.Nodes {
		step := runStep{Plan: n, Run: done[n.ID], Before: o.before(n), Around: o.around(n)}
		step.Approve = n.Type == api.NodeApprove && step.Run.State == api.RunRunning && r.may("approve", run.Link)
		p.Steps = append(p.Steps, step)
	}
	p.Graph = graphOf(p.Steps)
	return page{Title: "Run " + run.Link.ID(), Section: "/runs", Body: "run", Content: p, Live: follow(string(run.Link))}, nil
}

// runForms are the forms on the page of a run.
var runForms = map[string]form{
	"approve": func(r *http.Request) (any, error) { return api.ApproveArgs{Node: r.PostFormValue("node")}, nil },
	"cancel":  noArguments,
	"rerun":   noArguments,
	"override": func(r *http.Request) (any, error) {
		return api.OverrideArgs{Reason: r.PostFormValue("reason")}, nil
	},
}
