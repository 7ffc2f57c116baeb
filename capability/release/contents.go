package release

import (
	"context"
	"fmt"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// checkContents refuses the release r if the latest inventory of its image is
// denied by the project's policy, and waits for one that is being judged.
func (n notes) checkContents(ctx context.Context, r api.Release) error {
	page, err := n.client.List(ctx, kit.Query{Kind: api.Inventories.Name, Filter: fmt.Sprintf("image == %q", r.Image), Order: "-created", Limit: 1})
	if kit.FaultOf(err) == kit.ErrNotFound {
		return nil // this hub keeps no inventories
	}
	if err != nil {
		return err
	}
	if len(page.Items) == 0 {
		return n.checkRequired(ctx, r)
	}
	i, err := api.Inventories.Decode(page.Items[0])
	switch {
	case err != nil:
		return err
	case i.State == api.InventoryJudging:
		return kit.Errorf(kit.ErrUnavailable, i.Link, "what the image contains is being judged")
	case i.State != api.InventoryDenied:
		return nil
	}
	for _, c := range i.Conditions {
		if c.State == api.ConditionFailed {
			return kit.Errorf(kit.ErrConflict, r.Link, "the policy denies what %s contains: %s: %s; landfall inventory report shows it", r.Image, c.Name, c.Text)
		}
	}
	return nil
}

// checkRequired refuses the release r, of whose image there is no inventory, if
// the policy requires one.
func (n notes) checkRequired(ctx context.Context, r api.Release) error {
	policy, err := api.Policies.Read(ctx, n.client, r.Project)
	if kit.FaultOf(err) == kit.ErrNotFound {
		return nil
	}
	if err != nil || !policy.Required {
		return err
	}
	return kit.Errorf(kit.ErrConflict, r.Link, "the policy of %s requires an inventory, and there is none of %s: have the job that makes it keep a bill of materials, under reports as cyclonedx", r.Project, r.Image)
}
