package quality

import (
	"slices"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// self is who alone makes reports.
const self = "services/quality"

// onBuild wishes for a report on a build that has ended with report files, but
// for those that are inventory's. The report's id is the build's, so an event
// seen twice makes one document.
func onBuild(b api.Build, _ time.Time) []kit.Op {
	judged := func(f api.ReportFile) bool { return !f.Kind.OfInventory() }
	if !slices.ContainsFunc(b.Reports, judged) || b.State != api.BuildPassed && b.State != api.BuildFailed {
		return nil
	}
	return []kit.Op{kit.Create(api.Reports, b.Link.ID(), api.Report{
		Meta: kit.Meta{Source: b.Link}, Project: b.Project, Job: b.Job, Commit: b.Commit, Change: b.Change, PatchSet: b.PatchSet,
		Run: b.Run, Node: b.Node,
	})}
}

// nextReport returns r after e, and what must now happen.
func nextReport(r api.Report, e kit.Event, now time.Time) (api.Report, []kit.Op) {
	judge := []kit.Op{kit.Call("judge", "1", nil)}
	switch e.Name {
	case "created":
		if e.By != self {
			return r, kit.Refuse(kit.ErrForbidden, "reports are made of builds: declare the job's files under reports")
		}
		r.State, r.Conditions = api.ReportJudging, nil
		return r, judge
	case "judge":
		if r.State == api.ReportJudging {
			return r, kit.Refuse(kit.ErrConflict, "it is being judged")
		}
		r.State = api.ReportJudging
		return r, judge
	case "judge.done":
		return judged(r, e, now)
	case "judge.failed":
		var f struct {
			Error string `json:"error"`
		}
		_ = e.Into(&f) // without a reason it has failed all the same
		r.State, r.Error, r.Judged = api.ReportError, f.Error, now
	}
	return r, nil
}

// outcome is the result of the action judge.
type outcome struct {
	Parent string `json:"parent,omitempty"`
	verdict
	Tested *tested `json:"tested,omitempty"`
}

func judged(r api.Report, e kit.Event, now time.Time) (api.Report, []kit.Op) {
	var o outcome
	if err := e.Into(&o); err != nil {
		r.State, r.Error, r.Judged = api.ReportError, err.Error(), now
		return r, nil
	}
	r.State, r.Error, r.Judged, r.Parent, r.Rules = api.ReportPassed, "", now, o.Parent, o.Rules
	r.Conditions, r.Tests, r.Coverage, r.Findings, r.Duplication = o.Conditions, o.Tests, o.Coverage, o.Findings, o.Duplication
	for _, c := range r.Conditions {
		if c.State == api.ConditionFailed {
			r.State = api.ReportFailed
		}
	}
	if o.Tested == nil {
		return r, nil
	}
	id := historyID(r)
	return r, []kit.Op{
		kit.Create(api.Tests, id, api.TestHistory{Project: r.Project, Job: r.Job}),
		kit.Send(api.Tests.Link(id), "tested", o.Tested),
	}
}

// historyID is the id of the history of r's job, which is the job's.
func historyID(r api.Report) string { return r.Project + "~" + r.Job }

// maxKey is how long the key of a project of SonarQube may be.
const maxKey = 400

// nextGate refuses rules that nobody can keep to.
func nextGate(g api.Gate, _ kit.Event, _ time.Time) (api.Gate, []kit.Op) {
	switch {
	case g.NewCoverage < 0 || g.NewCoverage > 100:
		return g, kit.Refuse(kit.ErrInvalid, "newCoverage %d: it is a percentage, from 0 (it does not matter) to 100", g.NewCoverage)
	case g.NewDuplication < 0 || g.NewDuplication > 100:
		return g, kit.Refuse(kit.ErrInvalid, "newDuplication %d: it is a percentage, from 0 (it does not matter) to 100", g.NewDuplication)
	case g.NewIssues < 0:
		return g, kit.Refuse(kit.ErrInvalid, "newIssues %d: it is how many there may be, 0 or more", g.NewIssues)
	case g.MinimumLines < 0:
		return g, kit.Refuse(kit.ErrInvalid, "minimumLines %d: it is a number of lines, 0 or more", g.MinimumLines)
	case len(g.Sonar) > maxKey:
		return g, kit.Refuse(kit.ErrInvalid, "sonar: the key has more than %d characters, which no project of SonarQube has", maxKey)
	case g.Quarantine < 0 || g.Quarantine > maxBuilds:
		return g, kit.Refuse(kit.ErrInvalid, "quarantine %d: it is a number of builds, from 0 (none) to %d", g.Quarantine, maxBuilds)
	case g.Level != "" && rank(g.Level) == 0:
		return g, kit.Refuse(kit.ErrInvalid, "level %q is not known: use note, warning or error", g.Level)
	}
	return g, nil
}

// rank orders the levels of findings, from 1; 0 is none of them.
func rank(level string) int {
	return map[string]int{"note": 1, "warning": 2, "error": 3}[level]
}
