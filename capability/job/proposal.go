package job

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/difference"
	"landfall.dev/kit"
)

// What a proposal tells at most.
const (
	maxGroups     = 30
	maxGroupLines = 40
	maxLineLength = 300 // in bytes
	maxProblems   = 50
)

// onChange has what the current patch set of an open change would make of the
// deployed jobs found out.
func onChange(c api.Change, _ time.Time) []kit.Op {
	if c.Status != api.ChangeOpen || "refs/heads/"+c.Branch != mainBranch {
		return nil
	}
	ps := c.Current()
	return []kit.Op{kit.Create(api.Proposals, api.ProposalID(c.Link, ps.Number), api.Proposal{
		Meta: kit.Meta{Source: c.Link}, Project: c.Project, Change: c.Link, PatchSet: ps.Number, Commit: ps.Commit, Parent: ps.Parent,
	})}
}

// nextProposal returns p after e, and what must now happen:
//
//	planning ──propose.done──▶ none | planned | wrong
func nextProposal(p api.Proposal, e kit.Event, _ time.Time) (api.Proposal, []kit.Op) {
	switch e.Name {
	case "created":
		if e.By != self {
			return p, kit.Refuse(kit.ErrForbidden, "proposals are made of changes: push one to refs/for/main")
		}
		p = api.Proposal{Meta: p.Meta, Project: p.Project, Change: p.Change, PatchSet: p.PatchSet, Commit: p.Commit, Parent: p.Parent}
		p.State = api.ProposalPlanning
		return p, []kit.Op{kit.Call("propose", "1", nil)}
	case "propose.done":
		var done api.Proposal
		if err := e.Into(&done); err != nil {
			return p, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
		done.Meta, done.Project, done.Change, done.PatchSet, done.Commit, done.Parent = p.Meta, p.Project, p.Change, p.PatchSet, p.Commit, p.Parent
		return done, nil
	case "propose.failed":
		var f struct {
			Error string `json:"error"`
		}
		_ = e.Into(&f) // without a reason it has failed all the same
		p.State, p.Problems = api.ProposalWrong, []api.Problem{{Text: f.Error}}
	}
	return p, nil
}

// propose returns the proposal r as it is once it is planned.
func (d definitions) propose(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	p, err := api.Proposals.Decode(r)
	if err != nil {
		return nil, err
	}
	touched, err := d.touches(ctx, p.Project, p.Commit)
	if err != nil {
		return nil, err
	}
	if !touched {
		p.State = api.ProposalNone
		return p, nil
	}
	files, err := d.files(ctx, p.Project, p.Commit)
	if err != nil {
		return nil, err
	}
	set, specs, err := translate(files)
	if err != nil {
		p.State, p.Problems = api.ProposalWrong, problems(err)
		return p, nil
	}
	plan, err := d.compare(ctx, &p, specs)
	if err != nil {
		return nil, err
	}
	changed := changedSpecs(plan, specs)
	if p.Problems, p.Notes, err = checkScripts(ctx, set, changed); err != nil {
		return nil, err
	}
	missing, err := d.missingSecrets(ctx, p.Project, changed)
	if err != nil {
		return nil, err
	}
	p.Notes = append(append(p.Notes, missing...), lacking(changed)...)
	p.State = api.ProposalPlanned
	if len(p.Problems) > 0 {
		p.State = api.ProposalWrong
	}
	return p, nil
}

// touches tells whether a commit changes a file of definitions.
func (d definitions) touches(ctx context.Context, project, commit string) (bool, error) {
	body, err := d.ask(ctx, "/source/"+project+"/changed/"+commit)
	if err != nil {
		return false, err
	}
	defer body.Close()
	names, err := io.ReadAll(io.LimitReader(body, maxDefinitions))
	if err != nil {
		return false, err
	}
	for name := range strings.Lines(string(names)) {
		if strings.HasPrefix(name, folder+"/") {
			return true, nil
		}
	}
	return false, nil
}

// compare adds to p what its specs would change, and stores the whole plan.
func (d definitions) compare(ctx context.Context, p *api.Proposal, specs []api.JobSpec) (jobPlan, error) {
	deployed, err := d.deployed(ctx, p.Project)
	if err != nil {
		return jobPlan{}, err
	}
	g, err := api.Generations.Read(ctx, d.client, p.Project)
	if err != nil && !errors.Is(err, kit.ErrNotFound) {
		return jobPlan{}, err
	}
	wanted := specs
	if p.Parent != "" {
		parent, err := d.expand(ctx, p.Project, p.Parent)
		switch {
		case err == nil:
			wanted = overlay(deployed, parent, specs)
		case kit.Temporary(err):
			return jobPlan{}, err
		}
	}
	plan, err := newJobPlan(api.Ref{Project: p.Project, Commit: p.Commit}, deployed, wanted)
	if err != nil {
		return plan, err
	}
	p.Against, p.Counts, p.Confirm = g.Number, plan.counts, plan.confirm(len(deployed))
	groups := difference.Brief(plan.edits)
	p.More = max(0, len(groups)-maxGroups)
	p.Groups = groups[:len(groups)-p.More]
	for i := range p.Groups {
		p.Groups[i] = bounded(p.Groups[i])
	}
	text, err := json.Marshal(api.JobPlan{Project: p.Project, Commit: p.Commit, Changes: plan.edits, Counts: plan.counts, Confirm: p.Confirm})
	if err != nil {
		return plan, err
	}
	p.Plan, _, err = d.blobs.Put(ctx, bytes.NewReader(text), "")
	return plan, err
}

// bounded returns g with as much text as a document shall have.
func bounded(g api.JobGroup) api.JobGroup {
	short := func(s string) string {
		if len(s) > maxLineLength {
			return strings.ToValidUTF8(s[:maxLineLength], "") + "..."
		}
		return s
	}
	g.Title = short(g.Title)
	g.Lines = g.Lines[:min(len(g.Lines), maxGroupLines)]
	for i, l := range g.Lines {
		g.Lines[i] = short(l)
	}
	return g
}

// overlay returns the jobs that there will be once a patch has landed on what is
// deployed: that, with what the patch changes of its parent's definitions. So
// nobody takes what others have changed since for what the patch does.
func overlay(deployed []api.Job, parent, patch []api.JobSpec) []api.JobSpec {
	now, before, after := map[string]api.JobSpec{}, map[string]api.JobSpec{}, map[string]bool{}
	for _, j := range deployed {
		now[j.Spec.Name] = j.Spec
	}
	for _, s := range parent {
		before[s.Name] = s
	}
	var wanted []api.JobSpec
	for _, s := range patch {
		after[s.Name] = true
		old, existed := before[s.Name]
		if !existed || !equal(old, s) {
			wanted = append(wanted, s)
		} else if is, ok := now[s.Name]; ok {
			wanted = append(wanted, is)
		}
	}
	for _, j := range deployed {
		if _, existed := before[j.Spec.Name]; !existed && !after[j.Spec.Name] {
			wanted = append(wanted, j.Spec)
		}
	}
	return wanted
}

// equal tells whether two specs are the same, wherever they are written.
func equal(a, b api.JobSpec) bool {
	a.Origin, b.Origin = nil, nil
	return reflect.DeepEqual(a, b)
}

// missingSecrets says which secrets the jobs name that there are not, or not yet.
func (d definitions) missingSecrets(ctx context.Context, project string, jobs []api.JobSpec) ([]string, error) {
	var notes []string
	seen := map[api.SecretUse]bool{}
	for _, j := range jobs {
		for _, use := range j.Secrets {
			if seen[use] || len(notes) == maxProblems {
				continue
			}
			seen[use] = true
			err := d.has(ctx, project, use)
			if err != nil && kit.Temporary(err) {
				return nil, err
			}
			if err != nil {
				notes = append(notes, reason(err))
			}
		}
	}
	return notes, nil
}

// lacking returns what of the definitions of jobs is not carried out, each once.
func lacking(jobs []api.JobSpec) []string {
	var parts []api.MissingPart
	of := map[api.MissingPart][]string{}
	for _, j := range jobs {
		for _, m := range j.Missing {
			if of[m] == nil {
				parts = append(parts, m)
			}
			of[m] = append(of[m], j.Name)
		}
	}
	var notes []string
	for i, m := range parts {
		if i == maxProblems {
			return append(notes, fmt.Sprintf("... and %d more parts are not carried out: landfall job test tells all", len(parts)-i))
		}
		who, how := of[m][0], "is without"
		if m.Needed {
			how = "cannot run for want of"
		}
		if n := len(of[m]); n > 1 {
			who = fmt.Sprintf("%s (and %d more)", who, n-1)
		}
		notes = append(notes, strings.TrimPrefix(fmt.Sprintf("%s: %s %s %s: %s", m.At, who, how, m.Component, m.Reason), ": "))
	}
	return notes
}

// changedSpecs returns those that plan makes or changes.
func changedSpecs(plan jobPlan, specs []api.JobSpec) []api.JobSpec {
	touched := map[string]bool{}
	for _, e := range plan.edits {
		touched[e.Job] = e.Action != api.JobDelete
	}
	var changed []api.JobSpec
	for _, s := range specs {
		if touched[s.Name] {
			changed = append(changed, s)
		}
	}
	return changed
}

// problems returns the first of what err, of definitions, joins.
func problems(err error) []api.Problem {
	var all []api.Problem
	var walk func(error)
	walk = func(err error) {
		var at *definition.Error
		joined, many := err.(interface{ Unwrap() []error })
		switch {
		case len(all) == maxProblems:
		case many:
			for _, e := range joined.Unwrap() {
				walk(e)
			}
		case errors.As(err, &at):
			all = append(all, api.Problem{File: at.File, Line: at.Line, Text: strings.Join(append([]string{at.Message}, at.Chain...), "\n  ")})
		default:
			all = append(all, api.Problem{Text: err.Error()})
		}
	}
	walk(err)
	return all
}
