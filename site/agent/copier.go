package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/migrate"
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

// sides returns the endpoints of two sides.
func (c copier) sides(ctx context.Context, from, to api.Side) (source, destination *migrate.Client, err error) {
	if source, err = c.cluster(ctx, from); err != nil {
		return nil, nil, err
	}
	destination, err = c.cluster(ctx, to)
	return source, destination, err
}

// pull has to take something over from from by call, which is a method of
// migrate.Client.
func (c copier) pull(ctx context.Context, from, to api.Side, r migrate.PullRequest, call func(*migrate.Client, context.Context, migrate.PullRequest) (migrate.Pulled, error)) (upgrade.Copied, error) {
	var zero upgrade.Copied
	source, destination, err := c.sides(ctx, from, to)
	if err != nil {
		return zero, err
	}
	r.Source, r.Token = source.URLs[0], source.Token
	for _, url := range source.URLs[1:] {
		if healthy(ctx, r.Source) {
			break
		}
		r.Source = url
	}
	p, err := call(destination, ctx, r)
	if err != nil {
		return zero, c.groups.blame(ctx, to, err)
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

// Cycle implements upgrade.Copier.
func (c copier) Cycle(ctx context.Context, from, to api.Side, rate float64, final bool) (upgrade.Copied, error) {
	return c.pull(ctx, from, to, migrate.PullRequest{Rate: rate, Final: final}, (*migrate.Client).Pull)
}

// Pace implements upgrade.Copier.
func (c copier) Pace(ctx context.Context, to api.Side, rate float64) (int64, error) {
	m, err := c.cluster(ctx, to)
	if err != nil {
		return 0, err
	}
	p, err := m.Pace(ctx, rate)
	return p.Taken, err
}

// Repair implements upgrade.Copier.
func (c copier) Repair(ctx context.Context, from, to api.Side) (upgrade.Copied, error) {
	return c.pull(ctx, from, to, migrate.PullRequest{}, (*migrate.Client).Repair)
}

// Return implements upgrade.Copier.
func (c copier) Return(ctx context.Context, from, to api.Side, base string, final bool) (upgrade.Copied, error) {
	return c.pull(ctx, from, to, migrate.PullRequest{Base: base, Final: final}, (*migrate.Client).Pull)
}

// Retry implements upgrade.Copier.
func (c copier) Retry(ctx context.Context, from, to api.Side) (upgrade.Copied, error) {
	return c.pull(ctx, from, to, migrate.PullRequest{}, (*migrate.Client).Retry)
}

// RepairBack implements upgrade.Copier.
func (c copier) RepairBack(ctx context.Context, from, to api.Side, base string) (upgrade.Copied, error) {
	return c.pull(ctx, from, to, migrate.PullRequest{Base: base}, (*migrate.Client).Repair)
}

// Quarantine implements upgrade.Copier. What is not made of kit has none.
func (c copier) Quarantine(ctx context.Context, side api.Side, back bool) ([]api.Quarantined, error) {
	m, err := c.cluster(ctx, side)
	if err != nil {
		return nil, err
	}
	failed, err := m.Quarantine(ctx)
	if errors.Is(err, kit.ErrNotFound) {
		return nil, nil
	}
	var all []api.Quarantined
	for _, f := range failed {
		if f.Back == back {
			all = append(all, api.Quarantined{Link: f.Link, Version: f.Version, Field: f.Field, Error: f.Error, WaivedBy: f.WaivedBy})
		}
	}
	return all, err
}

// Waive implements upgrade.Copier.
func (c copier) Waive(ctx context.Context, side api.Side, by string, links []kit.Link) error {
	m, err := c.cluster(ctx, side)
	if err != nil {
		return err
	}
	_, err = m.Waive(ctx, by, links...)
	return err
}

// Close implements upgrade.Copier. It keeps the epoch of the fence that it
// finds: with another one the way back would begin anew, and one that was
// lifted meanwhile has a later one, so that it stays so.
func (c copier) Close(ctx context.Context, side api.Side) error {
	m, err := c.cluster(ctx, side)
	if err != nil {
		return err
	}
	s, err := m.Status(ctx)
	if err != nil || !s.Fenced || s.Closed {
		return err
	}
	_, err = m.Close(ctx, s.Epoch)
	if errors.Is(err, kit.ErrConflict) {
		return nil
	}
	return err
}

// Fence implements upgrade.Copier. A side that keeps nothing has no fence to
// lift.
func (c copier) Fence(ctx context.Context, side api.Side, epoch int64, on bool) error {
	m, err := c.cluster(ctx, side)
	if err != nil {
		return err
	}
	_, err = m.Fence(ctx, epoch, on)
	if err == nil || !on && errors.Is(err, kit.ErrNotFound) {
		return nil
	}
	return c.groups.blame(ctx, side, err)
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
	source, destination, err := c.sides(ctx, from, to)
	if err != nil {
		return api.Verification{}, err
	}
	var own, origin migrate.Sums
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() (err error) { own, err = source.Sums(ctx, "own"); return err })
	all.Go(func() (err error) { origin, err = destination.Sums(ctx, "origin"); return err })
	err = all.Wait()
	return verification(own, origin), err
}

// VerifyBack implements upgrade.Copier.
func (c copier) VerifyBack(ctx context.Context, from, to api.Side) (api.Verification, error) {
	source, destination, err := c.sides(ctx, from, to)
	if err != nil {
		return api.Verification{}, err
	}
	s, err := destination.Status(ctx)
	if err != nil {
		return api.Verification{}, err
	}
	var copied, returned migrate.Sums
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() (err error) { copied, err = source.Copied(ctx, s.Schemas); return err })
	all.Go(func() (err error) { returned, err = destination.Sums(ctx, "returned"); return err })
	err = all.Wait()
	return verification(copied, returned), err
}

func verification(source, destination migrate.Sums) api.Verification {
	documents, different := migrate.Compare(source, destination)
	return api.Verification{Documents: documents, Buckets: len(source.Buckets), Different: len(different)}
}

// Irreversible implements upgrade.Copier.
func (c copier) Irreversible(ctx context.Context, blue, green api.Side) ([]string, error) {
	old, successor, err := c.sides(ctx, blue, green)
	if err != nil {
		return nil, err
	}
	s, err := old.Status(ctx)
	if err != nil {
		return nil, err
	}
	reasons, err := successor.Irreversible(ctx, s.Schemas)
	if errors.Is(err, kit.ErrNotFound) {
		return []string{"the new version's program is of a kit that cannot take documents back"}, nil
	}
	return reasons, err
}

// Room implements upgrade.Copier. It takes the members for alike.
func (c copier) Room(ctx context.Context, side api.Side) (api.Room, error) {
	m, err := c.cluster(ctx, side)
	if err != nil {
		return api.Room{}, err
	}
	s, err := m.Status(ctx)
	if errors.Is(err, kit.ErrNotFound) {
		return api.Room{}, nil
	}
	n := int64(len(m.URLs))
	return api.Room{Memory: n * s.Room.Memory, Disk: n * s.Room.Disk}, err
}
