package review

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// shownLines is how many lines of each change of a plan a message has.
const shownLines = 10

// onProposal makes the plan of a patch set a vote on it, and what is wrong with
// its definitions comments. One that touches none has no vote.
func onProposal(p api.Proposal, _ time.Time) []kit.Op {
	a, ok := judgement(p)
	if !ok {
		return nil
	}
	return []kit.Op{kit.Send(p.Change, "judged", a)}
}

// judgement returns the vote that p comes to, if it does.
func judgement(p api.Proposal) (analysis, bool) {
	a := analysis{VoteArgs: api.VoteArgs{PatchSet: p.PatchSet, Label: api.LabelJobs, Link: p.Link}}
	switch {
	case p.State == api.ProposalPlanned:
		a.Value, a.Text = 1, p.Counts.String()
	case p.State == api.ProposalWrong:
		a.Value, a.Text = -1, mistakes(p.Problems)
	default:
		return a, false
	}
	if lines := p.Lines(shownLines); len(lines) > 1 {
		a.Comments = append(a.Comments, api.Comment{Text: strings.Join(lines, "\n")})
	}
	for _, x := range p.Problems[:min(len(p.Problems), maxComments)] {
		if x.File != "" {
			a.Comments = append(a.Comments, api.Comment{File: x.File, Line: x.Line, Text: x.Text})
		}
	}
	return a, true
}

// mistakes tells the first of the problems and how many there are.
func mistakes(all []api.Problem) string {
	if len(all) == 0 {
		return "the definitions are wrong"
	}
	first, _, _ := strings.Cut(all[0].String(), "\n")
	if len(all) > 1 {
		first += fmt.Sprintf(" (and %d more)", len(all)-1)
	}
	return first
}

// proposal returns what the proposal of the patch set that run tested comes to,
// if it touches definitions. While it is being made, and the error is temporary,
// nothing can land.
func (f *filer) proposal(ctx context.Context, run api.Run) (*analysis, error) {
	id := api.ProposalID(run.Change, run.PatchSet)
	p, err := api.Proposals.Read(ctx, f.client, id)
	if errors.Is(err, kit.ErrNotFound) {
		return nil, f.unproposed(ctx, run)
	}
	if err != nil {
		return nil, err
	}
	if p.State == api.ProposalPlanning {
		return nil, kit.Errorf(kit.ErrUnavailable, p.Link, "the plan is being made")
	}
	if a, ok := judgement(p); ok {
		return &a, nil
	}
	return nil, nil
}

// unproposed tells that the proposal of a patch set is still to come: those that
// are current on the branch whose definitions are deployed get one.
func (f *filer) unproposed(ctx context.Context, run api.Run) error {
	c, err := api.Changes.Read(ctx, f.client, run.Change.ID())
	if err != nil || c.Branch != "main" || c.Status != api.ChangeOpen || c.Current().Number != run.PatchSet {
		return err
	}
	_, err = f.client.List(ctx, kit.Query{Kind: api.Proposals.Name, Limit: 1})
	if errors.Is(err, kit.ErrNotFound) {
		return nil // this hub runs without jobs
	}
	if err == nil {
		err = kit.Errorf(kit.ErrUnavailable, run.Change, "the plan of patch set %d is still to be made", run.PatchSet)
	}
	return err
}

// takeProposal is takeAnalysis of the analysis that came along with e.
func takeProposal(c api.Change, a analysis, e kit.Event, now time.Time) (api.Change, []kit.Op) {
	data, err := json.Marshal(a)
	if err != nil {
		return c, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	return takeAnalysis(c, kit.Event{Name: "judged", By: e.By, Data: data}, now)
}
