package inventory

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// maxWaiting is how many inventories of patches a new policy has judged again.
const maxWaiting = 200

// spread has judged again what the policy or the advisories r may concern.
func (j judging) spread(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	links := map[kit.Link]bool{}
	project := ""
	if r.Link.Kind() == api.Policies.Name {
		project = r.Link.ID()
		if err := j.waiting(ctx, project, links); err != nil {
			return nil, err
		}
	}
	if err := j.landed(ctx, project, links); err != nil {
		return nil, err
	}
	if err := j.offered(ctx, project, links); err != nil {
		return nil, err
	}
	for l := range links {
		_, err := api.Inventories.Send(ctx, j.client, l.ID(), "judge", nil)
		if err != nil && !errors.Is(err, kit.ErrNotFound) {
			return nil, err
		}
	}
	return nil, nil
}

// waiting adds the inventories of patches that the policy lets not pass.
func (j judging) waiting(ctx context.Context, project string, links map[kit.Link]bool) error {
	filter := fmt.Sprintf(`project == %q && change != "" && state != %q && state != %q`, project, api.InventoryPassed, api.InventoryJudging)
	p, err := j.client.List(ctx, kit.Query{Kind: api.Inventories.Name, Filter: filter, Order: "-created", Limit: maxWaiting, Select: []string{"state"}})
	for _, r := range p.Items {
		links[r.Link] = true
	}
	return err
}

// landed adds, for each job and repository of the project, or of all, the latest
// inventory of what has landed.
func (j judging) landed(ctx context.Context, project string, links map[kit.Link]bool) error {
	filter := `change == ""`
	if project != "" {
		filter += fmt.Sprintf(" && project == %q", project)
	}
	seen := map[string]bool{}
	q := kit.Query{Kind: api.Inventories.Name, Filter: filter, Order: "-created", Limit: 1000, Select: []string{"project", "job", "image"}}
	for r, err := range kit.Records(ctx, j.client, q) {
		if err != nil {
			return err
		}
		i, err := api.Inventories.Decode(r)
		if err != nil {
			return err
		}
		of := i.Project + "\x00" + i.Job
		if i.Job == "" {
			of, _, _ = strings.Cut(i.Image, "@")
		}
		if !seen[of] {
			links[i.Link] = true
		}
		seen[of] = true
	}
	return nil
}

// offered adds the inventories of the releases that channels offer.
func (j judging) offered(ctx context.Context, project string, links map[kit.Link]bool) error {
	filter := ""
	if project != "" {
		filter = fmt.Sprintf("project == %q", project)
	}
	for c, err := range api.Channels.All(ctx, j.client, filter, "") {
		if errors.Is(err, kit.ErrNotFound) {
			return nil // this hub releases nothing
		}
		if err != nil {
			return err
		}
		if c.Release == "" {
			continue
		}
		release, err := found(api.Releases.Read(ctx, j.client, c.Release.ID()))
		if err != nil {
			return err
		}
		all, err := j.ofImage(ctx, release.Image)
		if err != nil {
			return err
		}
		for _, i := range all {
			links[i.Link] = true
		}
	}
	return nil
}

// ofImage returns the inventories of an image, "ledger@sha256:...".
func (j judging) ofImage(ctx context.Context, image string) (all []api.Inventory, err error) {
	if image == "" {
		return nil, nil
	}
	for i, err := range api.Inventories.All(ctx, j.client, fmt.Sprintf("image == %q", image), "") {
		if err != nil {
			return nil, err
		}
		all = append(all, i)
	}
	return all, nil
}
