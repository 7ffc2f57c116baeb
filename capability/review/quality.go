package review

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// maxComments is how many findings of a report become comments.
const maxComments = 20

// verified is the event "verified" of a change: its gating run has passed.
type verified struct {
	api.VoteArgs
	// Reports are those of the run's builds; each is to have a verdict.
	Reports []kit.Link `json:"reports,omitempty"`
	// Jobs is what the plan of its definitions comes to.
	Jobs *analysis `json:"jobs,omitempty"`
}

// verify tells the change that its gating run r has passed, which reports
// are still to come, which may be judged later than the run ends, and what the
// plan of its definitions comes to.
func (f *filer) verify(ctx context.Context, r kit.Record, op kit.Op) (any, error) {
	run, err := api.Runs.Decode(r)
	if err != nil {
		return nil, err
	}
	var v verified
	if err := json.Unmarshal(op.Data, &v.VoteArgs); err != nil {
		return nil, kit.Errorf(kit.ErrInvalid, r.Link, "%v", err)
	}
	v.Reports, err = f.reports(ctx, run)
	if err == nil {
		v.Jobs, err = f.proposal(ctx, run)
	}
	if err != nil {
		return nil, &kit.Error{Op: "review.verify", Link: r.Link, Err: err}
	}
	_, err = api.Changes.Send(ctx, f.client, run.Change.ID(), "verified", v)
	if err != nil && !kit.Temporary(err) {
		return nil, nil // a change that does not take it has no use of it
	}
	return nil, err
}

// reports returns the reports and inventories that there are or will be of the
// builds of run; none where nobody judges them.
func (f *filer) reports(ctx context.Context, run api.Run) ([]kit.Link, error) {
	var links []kit.Link
	for _, n := range run.Nodes {
		if n.Link.Kind() != api.Builds.Name {
			continue
		}
		b, err := api.Builds.Read(ctx, f.client, n.Link.ID())
		if errors.Is(err, kit.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		links = append(links, verdictsOn(b)...)
	}
	return f.judged(ctx, links)
}

// takeVerified is a vote that may bring reports along whose verdict is missing.
func takeVerified(c api.Change, e kit.Event, now time.Time) (api.Change, []kit.Op) {
	var v verified
	if err := e.Into(&v); err != nil {
		return c, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if v.PatchSet >= 1 && v.PatchSet <= len(c.PatchSets) {
		ps := &c.PatchSets[v.PatchSet-1]
		for _, l := range v.Reports {
			judged := func(old api.Vote) bool { return old.Label == api.LabelQuality && old.Link == l }
			if !slices.ContainsFunc(ps.Votes, judged) {
				ps.Votes = append(ps.Votes, api.Vote{Label: api.LabelQuality, By: verifier, At: now, Link: l, Text: "The build's reports are being judged."})
			}
		}
	}
	if v.Jobs != nil {
		// It can land by the vote that follows only.
		c, _ = takeProposal(c, *v.Jobs, e, now)
	}
	return vote(c, e, now)
}

// analysis is the event "judged" of a change: a report, or a proposal, has a
// verdict.
type analysis struct {
	api.VoteArgs
	Comments []api.Comment `json:"comments,omitempty"`
}

// onReport makes the verdict of a report a vote on the patch set that it is
// about, and what was found on lines that this adds comments.
func onReport(r api.Report, _ time.Time) []kit.Op {
	gating := fmt.Sprintf("change-%s-", r.Change.ID()) // what the ids of its runs, and so of their builds, begin with
	if r.Change == "" || !strings.HasPrefix(r.Link.ID(), gating) {
		return nil // a job that somebody tries decides nothing
	}
	a := analysis{VoteArgs: api.VoteArgs{PatchSet: r.PatchSet, Label: api.LabelQuality, Link: r.Link}}
	switch r.State {
	case api.ReportPassed:
		a.Value, a.Text = 1, conditions(r.Conditions)
	case api.ReportFailed:
		a.Value, a.Text = -1, conditions(r.Conditions)
	case api.ReportError:
		a.Text = fmt.Sprintf("The reports could not be judged: %s; landfall quality judge %s tries it again.", r.Error, r.Link.ID())
	default:
		return nil
	}
	if r.Findings != nil {
		for _, f := range r.Findings.List[:min(len(r.Findings.List), maxComments)] {
			text := strings.TrimSpace(fmt.Sprintf("%s: %s %s", f.Level, f.Message, f.Rule))
			a.Comments = append(a.Comments, api.Comment{File: f.File, Line: f.Line, Text: text})
		}
	}
	return []kit.Op{kit.Send(r.Change, "judged", a)}
}

// conditions says what a verdict is made of, what speaks against it first.
func conditions(all []api.Condition) string {
	var failed, others []string
	for _, c := range all {
		text := c.Name + ": " + c.Text
		if c.State == api.ConditionFailed {
			failed = append(failed, text)
		} else {
			others = append(others, text)
		}
	}
	return strings.Join(append(failed, others...), ". ") + "."
}

// takeAnalysis is a vote with comments. Each is made once, however often the
// patch set is judged.
func takeAnalysis(c api.Change, e kit.Event, now time.Time) (api.Change, []kit.Op) {
	var a analysis
	if err := e.Into(&a); err != nil {
		return c, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	c, ops := vote(c, e, now)
	for _, op := range ops {
		if op.Do == kit.OpRefuse {
			return c, ops
		}
	}
	for _, x := range a.Comments {
		m := api.Message{At: now, By: e.By, Text: x.Text, Link: a.Link, PatchSet: a.PatchSet, File: x.File, Line: x.Line}
		said := func(old api.Message) bool {
			return old.By == m.By && old.Text == m.Text && old.PatchSet == m.PatchSet && old.File == m.File && old.Line == m.Line
		}
		if !slices.ContainsFunc(c.Messages, said) {
			c.Messages = append(c.Messages, m)
		}
	}
	return c, ops
}
