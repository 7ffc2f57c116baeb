package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	Node  string `json:"node"`
	By    string `json:"by"`
	Group string `json:"group"`
	// Refusal says why By cannot approve; empty if they can.
	Refusal string `json:"refusal,omitempty"`
}

// approve passes an approval if the person whom it is left to gives it. Who is
// in a group only its document knows: then admit looks there first.
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
	by := p.node.By
	if kit.Link(by).Kind() == rest.Groups.Name {
		p.Error = ""
		return r, []kit.Op{kit.Call("admit", a.Node+" "+e.By, admission{Node: a.Node, By: e.By, Group: by})}
	}
	if by != "" && by != e.By {
		return r, kit.Refuse(kit.ErrForbidden, "%s is to approve this, not %s", by, e.By)
	}
	w.approved(p, e.By)
	return r, w.ops
}

// admitted takes in what became of an approval that is left to a group.
func admitted(r api.Run, e kit.Event, now time.Time) (api.Run, []kit.Op) {
	var a admission
	if err := e.Into(&a); err != nil {
		return r, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	w := newWalk(&r, now)
	p := w.byID[a.Node]
	if p == nil || p.State != api.RunRunning {
		return r, nil
	}
	if a.Refusal != "" {
		p.Error = a.Refusal
		return r, nil
	}
	w.approved(p, a.By)
	return r, w.ops
}

func (w *walk) approved(p *part, by string) {
	p.State, p.Finished, p.By, p.Error = api.RunPassed, w.now, by, ""
	w.advance()
}

// admit finds out whether somebody who approves is in the group that may.
func (p planner) admit(ctx context.Context, _ kit.Record, op kit.Op) (any, error) {
	var a admission
	if err := (kit.Event{Name: "admit", Data: op.Data}).Into(&a); err != nil {
		return nil, err
	}
	if a.Group == rest.Everyone {
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

// checkApprovers refuses a plan with an approval that nobody could give.
func (p planner) checkApprovers(ctx context.Context, pl api.Plan) error {
	for _, n := range pl.Nodes {
		by := kit.Link(n.By)
		if n.Type != api.NodeApprove || n.By == rest.Everyone || n.By == firstAdministrator {
			continue
		}
		_, err := p.client.Read(ctx, by, kit.ReadOptions{})
		if err != nil && !errors.Is(err, kit.ErrNotFound) {
			return err
		}
		switch {
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
