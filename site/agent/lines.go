package agent

import (
	"context"

	"landfall.dev/api"
	"landfall.dev/site/agent/lines"
	"landfall.dev/site/upgrade"
)

// copiers returns what moves documents between groups, be their program made of
// kit or not.
func copiers(s *instances) upgrade.Copier {
	return lines.Beside(copier{s}, func(ctx context.Context, side api.Side) (urls []string, token string, err error) {
		g, err := s.find(ctx, side.Group)
		return g.urls(), g.Token, err
	})
}
