package pipeline

import (
	"fmt"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// onReport tells a run what the reports of one of its builds came to.
func onReport(x api.Report, _ time.Time) []kit.Op {
	if x.Run == "" || x.State == "" || x.State == api.ReportJudging {
		return nil
	}
	v := api.Verdict{State: x.State, Error: shorten(x.Error), Conditions: failedOf(x.Conditions)}
	if c := x.Coverage; c != nil && x.Parent != "" {
		percent := 100
		if c.NewLines > 0 {
			percent = 100 * c.NewCovered / c.NewLines
		}
		v.NewCoverage = &percent
	}
	if f := x.Findings; f != nil {
		v.NewIssues = &f.New
	}
	return []kit.Op{kit.Send(x.Run, "report", api.NodeVerdict{Node: x.Node, Build: api.Builds.Link(x.Link.ID()), Verdict: v})}
}

// onInventory tells a run what the policy says of what one of its builds
// contains.
func onInventory(x api.Inventory, _ time.Time) []kit.Op {
	if x.Run == "" || x.State == "" || x.State == api.InventoryJudging {
		return nil
	}
	v := api.Verdict{State: api.ReportFailed, Error: shorten(x.Error), Conditions: failedOf(x.Conditions)}
	switch x.State {
	case api.InventoryPassed:
		v.State = api.ReportPassed
	case api.InventoryError:
		v.State = api.ReportError
	}
	return []kit.Op{kit.Send(x.Run, "report", api.NodeVerdict{Node: x.Node, Build: api.Builds.Link(x.Link.ID()), Verdict: v, Inventory: true})}
}

// failedOf are the conditions that do not hold, or that a person is to decide
// about: all that a gate asks for.
func failedOf(all []api.Condition) []api.Condition {
	var failed []api.Condition
	for _, c := range all {
		if c.State == api.ConditionFailed || c.State == api.ConditionReview {
			c.Text = shorten(c.Text)
			failed = append(failed, c)
		}
	}
	return failed
}

// reported takes in a verdict on a build's reports. It may come before the run
// hears that the build has ended.
func reported(r api.Run, e kit.Event, now time.Time) (api.Run, []kit.Op) {
	var v api.NodeVerdict
	if err := e.Into(&v); err != nil {
		return r, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	w := newWalk(&r, now)
	p := w.byID[v.Node]
	if p == nil || p.node == nil || p.Link != v.Build {
		return r, nil
	}
	if v.Inventory {
		p.Inventory = &v.Verdict
	} else {
		p.Verdict = &v.Verdict
	}
	w.advance()
	return r, w.ops
}

// judge ends the gate p once all the reports that it is about are judged.
func (w *walk) judge(p *part) {
	var found int
	var why []string
	for _, q := range w.builds(p) {
		if q.Reported && q.Verdict == nil || q.Listed && q.Inventory == nil {
			return // it will come
		}
		for _, v := range []*api.Verdict{q.Verdict, q.Inventory} {
			if v == nil {
				continue
			}
			found++
			for _, reason := range unfit(*v, p.node.Rules) {
				why = append(why, q.ID+": "+reason)
			}
		}
	}
	switch {
	case found == 0:
		w.fail(p, api.CauseFailure, "no build that has ended before has kept reports to judge: name the files under reports in its job's definition")
	case len(why) > 0:
		w.fail(p, api.CauseUnstable, shorten(strings.Join(why, "; ")))
	default:
		p.State, p.Finished = api.RunPassed, w.now
	}
}

// builds are those that the gate p is about: what it names, or else all that
// have ended with reports.
func (w *walk) builds(p *part) []*part {
	var list []*part
	for _, id := range p.node.Builds {
		list = append(list, w.byID[id])
	}
	if len(list) > 0 {
		return list
	}
	for _, q := range w.all {
		if q.node != nil && q.node.Type == api.NodeBuild && q.State.Final() && (q.Reported || q.Listed) {
			list = append(list, q)
		}
	}
	return list
}

// unfit says why the verdict does not do, by the rules of the gate and the
// conditions that these do not replace.
func unfit(v api.Verdict, rules *api.NodeRules) []string {
	if v.State == api.ReportError {
		return []string{"its reports could not be judged: " + v.Error}
	}
	var why []string
	replaced := map[string]bool{}
	if rules != nil && rules.NewCoverage != nil {
		replaced["coverage"] = true
		if v.NewCoverage != nil && *v.NewCoverage < *rules.NewCoverage {
			why = append(why, fmt.Sprintf("its tests cover %d %% of the added lines, not %d %%", *v.NewCoverage, *rules.NewCoverage))
		}
	}
	if rules != nil && rules.NewIssues != nil {
		replaced["issues"] = true
		if v.NewIssues != nil && *v.NewIssues > *rules.NewIssues {
			why = append(why, fmt.Sprintf("%d findings on added lines, at most %d are allowed", *v.NewIssues, *rules.NewIssues))
		}
	}
	for _, c := range v.Conditions {
		if !replaced[c.Name] {
			why = append(why, c.Text)
		}
	}
	return why
}
