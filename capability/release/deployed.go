package release

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// checkDeployed refuses the release r unless deployments of exactly its image
// have passed where they must: in each environment that n names, or if it names
// none, in one that is upgraded live as those of customers are.
func (n notes) checkDeployed(ctx context.Context, r api.Release) error {
	passed := map[string]bool{}
	filter := fmt.Sprintf("image == %q && state == %q", r.Image, api.DeploymentPassed)
	for d, err := range api.Deployments.All(ctx, n.client, filter, "") {
		if err != nil {
			return err
		}
		passed[d.Environment] = true
	}
	var missing []string
	for _, name := range n.after {
		if !passed[name] {
			missing = append(missing, name)
		}
	}
	if len(n.after) == 0 {
		live, err := n.anyLive(ctx, passed)
		if err != nil {
			return err
		}
		if !live {
			missing = append(missing, "any bluegreen environment")
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return kit.Errorf(kit.ErrConflict, r.Link, "no deployment of %s has passed in %s: deploy this image there before its release, in an earlier stage of the pipeline", r.Image, strings.Join(missing, ", nor in "))
}

// anyLive tells whether one of the environments is upgraded live.
func (n notes) anyLive(ctx context.Context, names map[string]bool) (bool, error) {
	for name := range names {
		e, err := api.Environments.Read(ctx, n.client, name)
		if errors.Is(err, kit.ErrNotFound) {
			continue // it is gone
		}
		if err != nil || e.Strategy == api.BlueGreen {
			return err == nil, err
		}
	}
	return false, nil
}
