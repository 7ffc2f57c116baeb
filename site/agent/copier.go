package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/migrate"
	"landfall.dev/site/upgrade"
)

// copier moves documents between groups whose programs are made of kit. It
// implements upgrade.Copier. All others keep nothing that it could copy.
type copier struct{ groups *instances }

// cluster returns the endpoints for migrations of the side.
func (c copier) cluster(ctx context.Context, side api.Side) (*migrate.Client, error) {
	g, err := c.groups.find(ctx, side.Group)
	if err != nil {
		return nil, err
	}
	return &migrate.Client{URLs: g.urls(), Token: g.Token}, nil
}

// Stateless implements upgrade.Copier.
func (c copier) Stateless(ctx context.Context, side api.Side) (bool, error) {
	m, err := c.cluster(ctx, side)
	if err != nil {
		return false, err
	}
	_, err = m.Status(ctx)
	if errors.Is(err, kit.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// Cycle implements upgrade.Copier.
func (c copier) Cycle(ctx context.Context, from, to api.Side, final bool) (upgrade.Copied, error) {
	var zero upgrade.Copied
	source, err := c.cluster(ctx, from)
	if err != nil {
		return zero, err
	}
	destination, err := c.cluster(ctx, to)
	if err != nil {
		return zero, err
	}
	at := source.URLs[0]
	for _, url := range source.URLs[1:] {
		if healthy(ctx, at) {
			break
		}
		at = url
	}
	p, err := destination.Pull(ctx, migrate.PullRequest{Source: at, Token: source.Token, Final: final})
	if err != nil {
		return zero, err
	}
	copied := upgrade.Copied{
		Documents: p.Documents + p.Deletions, Deletions: p.Deletions, Bytes: p.Bytes, Left: p.Left,
		Took: time.Duration(p.Seconds * float64(time.Second)),
	}
	for _, f := range p.Failed {
		copied.Failed = append(copied.Failed, fmt.Sprintf("%s: %s: %s", f.Link, f.Field, f.Error))
	}
	if n := p.Quarantined - len(p.Failed); n > 0 {
		copied.Failed = append(copied.Failed, fmt.Sprintf("and %d more", n))
	}
	return copied, nil
}

// Fence implements upgrade.Copier. A side that keeps nothing has no fence to
// lift.
func (c copier) Fence(ctx context.Context, side api.Side, epoch int64, on bool) error {
	m, err := c.cluster(ctx, side)
	if err != nil {
		return err
	}
	_, err = m.Fence(ctx, epoch, on)
	if !on && errors.Is(err, kit.ErrNotFound) {
		return nil
	}
	return err
}

// Position implements upgrade.Copier.
func (c copier) Position(ctx context.Context, side api.Side) (string, error) {
	m, err := c.cluster(ctx, side)
	if err != nil {
		return "", err
	}
	s, err := m.Status(ctx)
	return s.Position, err
}

// Documents implements upgrade.Copier.
func (c copier) Documents(ctx context.Context, side api.Side) (int64, error) {
	m, err := c.cluster(ctx, side)
	if err != nil {
		return 0, err
	}
	s, err := m.Status(ctx)
	return s.Documents, err
}

// Changed implements upgrade.Copier.
func (c copier) Changed(ctx context.Context, side api.Side, after string) (int64, error) {
	m, err := c.cluster(ctx, side)
	if err != nil {
		return 0, err
	}
	return m.Left(ctx, after)
}

// Verify implements upgrade.Copier.
func (c copier) Verify(ctx context.Context, from, to api.Side) (api.Verification, error) {
	var zero api.Verification
	source, err := c.cluster(ctx, from)
	if err != nil {
		return zero, err
	}
	destination, err := c.cluster(ctx, to)
	if err != nil {
		return zero, err
	}
	blue, err := source.Sums(ctx, "own")
	if err != nil {
		return zero, err
	}
	green, err := destination.Sums(ctx, "origin")
	if err != nil {
		return zero, err
	}
	documents, different := migrate.Compare(blue, green)
	return api.Verification{Documents: documents, Buckets: len(blue.Buckets), Different: len(different)}, nil
}
