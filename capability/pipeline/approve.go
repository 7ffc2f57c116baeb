package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

// firstAdministrator is there before anybody has a document.
const firstAdministrator = "users/admin"

// admission is a person's approval on its way: the arguments of the action
// admit, and its result.
type admission struct {
	Node    string `json:"node"`
	Attempt int    `json:"attempt"`
	By      string `json:"by"`
	// Group is the group that may approve, if it is left to one.
	Group string `json:"group,omitempty"`
	// NotAuthor leaves it to others than the authors of what the run is about.
	NotAuthor bool `json:"notAuthor,omitempty"`
	// Refusal says why By cannot approve; empty if they can.
	Refusal string `json:"refusal,omitempty"`
}

// approve takes an approval in if the person whom it is left to gives it. Who is
// in a group, and who wrote the change, only other documents know: then admit
// looks there first.
func approve(r api.Run, e kit.Event, now time.Time) (api.Run, []kit.Op) {
	var a api.ApproveArgs
	if err := e.Into(&a); err != nil {
		return r, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	w := newWalk(&r, now)
	p := w.byID[a.Node]
	if p == nil || p.node == nil || p.node.Type != api.NodeApprove {
		return r, kit.Refuse(kit.ErrInvalid, "the run has no approval %q", a.Node)
	}
	if p.State != api.RunRunning {
		return r, kit.Refuse(kit.ErrConflict, "approval %q is %s: it cannot be given now", a.Node, p.State)
	}
	if p.hasApproved(e.By) {
		return r, kit.Refuse(kit.ErrConflict, "%s has approved this already: %d of %d have, the others must be other people", e.By, len(p.Approved), p.approvals())
	}
	ask := admission{Node: a.Node, Attempt: p.Attempt, By: e.By, NotAuthor: p.node.NotAuthor}
	switch by := p.node.By; {
	case kit.Link(by).Kind() == rest.Groups.Name:
		ask.Group = by
	case by != "" && by != e.By:
		return r, kit.Refuse(kit.ErrForbidden, "%s is to approve this, not %s", by, e.By)
	}
	if ask.Group != "" || ask.NotAuthor {
		p.Error = ""
		return r, []kit.Op{kit.Call("admit", a.Node+" "+e.By, ask)}
	}
	w.approved(p, e.By)
	return r, w.ops
}

// approvals is how many people must approve.
func (p *part) approvals() int { return max(1, p.node.Approvals) }

func (p *part) hasApproved(by string) bool {
	return slices.ContainsFunc(p.Approved, func(a api.Approval) bool { return a.By == by })
}

// admitted takes in what became of an approval that admit has looked at.
func admitted(r api.Run, e kit.Event, now time.Time) (api.Run, []kit.Op) {
	var a admission
	if err := e.Into(&a); err != nil {
		return r, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	w := newWalk(&r, now)
	p := w.byID[a.Node]
	if p == nil || p.State != api.RunRunning || p.Attempt != a.Attempt || p.hasApproved(a.By) {
		return r, nil
	}
	if a.Refusal != "" {
		p.Error = a.Refusal
		return r, nil
	}
	w.approved(p, a.By)
	return r, w.ops
}

// approved adds an approval to the node p, which passes with the last that it
// needs.
func (w *walk) approved(p *part, by string) {
	p.Approved, p.Error = append(slices.Clip(p.Approved), api.Approval{By: by, At: w.now}), ""
	if len(p.Approved) < p.approvals() {
		return
	}
	var all []string
	for _, a := range p.Approved {
		all = append(all, a.By)
	}
	p.State, p.Finished, p.By = api.RunPassed, w.now, strings.Join(all, ", ")
	w.advance()
}

// admit finds out whether somebody who approves is in the group that may, and is
// no author of what the run r is about.
func (p planner) admit(ctx context.Context, r kit.Record, op kit.Op) (any, error) {
	var a admission
	if err := (kit.Event{Name: "admit", Data: op.Data}).Into(&a); err != nil {
		return nil, err
	}
	if a.NotAuthor {
		run, err := api.Runs.Decode(r)
		if err != nil {
			return nil, err
		}
		authors, err := p.authors(ctx, run)
		if err != nil {
			return nil, err
		}
		if slices.Contains(authors, a.By) {
			a.Refusal = fmt.Sprintf("%s cannot approve this: it is their own change, and somebody else is to look at it", a.By)
			return a, nil
		}
	}
	if a.Group == "" || a.Group == rest.Everyone {
		return a, nil
	}
	g, err := rest.Groups.Read(ctx, p.client, kit.Link(a.Group).ID())
	if err != nil && !errors.Is(err, kit.ErrNotFound) {
		return nil, err
	}
	if !slices.Contains(g.Members, a.By) {
		a.Refusal = fmt.Sprintf("%s cannot approve this, but a member of %s", a.By, a.Group)
	}
	return a, nil
}

// authors are the people who made what the run is about: who owns the change,
// uploaded its last patch set or is named as the author of the commit. Of what
// no change is known of, it is the run's author.
func (p planner) authors(ctx context.Context, run api.Run) ([]string, error) {
	change := run.Change
	for source := run.Source; change == "" && source != ""; {
		switch source.Kind() {
		case api.Landings.Name:
			l, err := api.Landings.Read(ctx, p.client, source.ID())
			if err != nil {
				return nil, err
			}
			change, source = l.Change, ""
		case api.Runs.Name: // which was run again, or has a trigger
			above, err := api.Runs.Read(ctx, p.client, source.ID())
			if err != nil {
				return nil, err
			}
			change, source = above.Change, above.Source
		default:
			source = ""
		}
	}
	if change == "" {
		return []string{run.Author}, nil
	}
	c, err := api.Changes.Read(ctx, p.client, change.ID())
	if err != nil {
		return nil, err
	}
	ps := c.Current()
	return append([]string{c.Owner, ps.Uploader}, ps.Authors...), nil
}

// checkApprovers refuses a plan with an approval that nobody could give.
func (p planner) checkApprovers(ctx context.Context, pl api.Plan) error {
	for _, n := range pl.Nodes {
		by := kit.Link(n.By)
		if n.Type != api.NodeApprove || n.By == rest.Everyone || n.By == firstAdministrator {
			continue
		}
		found, err := p.client.Read(ctx, by, kit.ReadOptions{})
		if err != nil && !errors.Is(err, kit.ErrNotFound) {
			return err
		}
		switch {
		case err == nil && by.Kind() == rest.Groups.Name:
			g, err := rest.Groups.Decode(found)
			if err != nil {
				return err
			}
			if len(g.Members) < n.Approvals {
				return kit.Errorf(kit.ErrInvalid, "", "%s: %d people are to approve, and the group %q has only %d", n.Position, n.Approvals, by.ID(), len(g.Members))
			}
		case err == nil:
		case by.Kind() == rest.Groups.Name:
			return kit.Errorf(kit.ErrInvalid, "", `%s: nobody could approve: there is no group %q; make it with landfall user create NAME --group %[2]s, or name a person by = "users/NAME"`,
				n.Position, by.ID())
		default:
			return kit.Errorf(kit.ErrInvalid, "", "%s: nobody could approve: there is no user %q; landfall user list shows who there is", n.Position, by.ID())
		}
	}
	return nil
}
