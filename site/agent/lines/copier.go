package lines

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"sync"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/migrate/pace"
	"landfall.dev/site/upgrade"
)

// Reach returns the URLs of a side's instances, and the token that they were
// given.
type Reach func(ctx context.Context, side api.Side) (urls []string, token string, err error)

// Copier moves documents between services that speak lines, and leaves all
// others to the one that it was made beside. It implements upgrade.Copier.
type Copier struct {
	// Copier is for sides made of kit, and for what both have: status and fence.
	upgrade.Copier
	reach Reach

	mu     sync.Mutex
	speaks map[string]bool       // by group, which has one program for ever
	paces  map[string]*pace.Pace // of the cycles that are under way, by the group that is filled
}

// Beside returns a copier that leaves to the other what does not speak lines.
func Beside(other upgrade.Copier, reach Reach) *Copier {
	return &Copier{Copier: other, reach: reach, speaks: map[string]bool{}, paces: map[string]*pace.Pace{}}
}

// side returns the service of the side, and whether it speaks lines.
func (c *Copier) side(ctx context.Context, side api.Side) (s service, speaks bool, err error) {
	if s.urls, s.token, err = c.reach(ctx, side); err != nil {
		return s, false, err
	}
	c.mu.Lock()
	speaks, known := c.speaks[side.Group]
	c.mu.Unlock()
	if known {
		return s, speaks, nil
	}
	st, err := s.status(ctx)
	if err != nil {
		return s, false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.speaks[side.Group] = st.Protocol == protocol
	return s, c.speaks[side.Group], nil
}

// sides returns both services, and whether they speak lines.
func (c *Copier) sides(ctx context.Context, from, to api.Side) (source, destination service, speak bool, err error) {
	source, speak, err = c.side(ctx, from)
	if err != nil {
		return source, destination, false, fmt.Errorf("%s: %w", from.Group, err)
	}
	destination, too, err := c.side(ctx, to)
	switch {
	case err != nil:
		err = fmt.Errorf("%s: %w", to.Group, err)
	case speak != too:
		err = kit.Errorf(kit.ErrConflict, "", "%s and %s keep documents that cannot be copied from one to the other: only one of them is made of kit", from.Group, to.Group)
	}
	return source, destination, speak, err
}

// Cycle implements upgrade.Copier.
func (c *Copier) Cycle(ctx context.Context, from, to api.Side, rate float64, final bool) (upgrade.Copied, error) {
	source, destination, speak, err := c.sides(ctx, from, to)
	if err != nil {
		return upgrade.Copied{}, err
	}
	if !speak {
		return c.Copier.Cycle(ctx, from, to, rate, final)
	}
	p, err := newPump(ctx, source, destination, "", false, final)
	if err != nil {
		return upgrade.Copied{}, err
	}
	p.pace = pace.New(rate)
	c.mu.Lock()
	c.paces[to.Group] = p.pace
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.paces, to.Group)
	}()
	return p.cycle(ctx)
}

// Pace implements upgrade.Copier.
func (c *Copier) Pace(ctx context.Context, to api.Side, rate float64) (int64, error) {
	_, speaks, err := c.side(ctx, to)
	if err != nil {
		return 0, err
	}
	if !speaks {
		return c.Copier.Pace(ctx, to, rate)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.paces[to.Group]
	if p == nil {
		return 0, nil
	}
	p.Set(rate)
	return p.Taken(), nil
}

// Return implements upgrade.Copier.
func (c *Copier) Return(ctx context.Context, from, to api.Side, base string, final bool) (upgrade.Copied, error) {
	source, destination, speak, err := c.sides(ctx, from, to)
	if err != nil {
		return upgrade.Copied{}, err
	}
	if !speak {
		return c.Copier.Return(ctx, from, to, base, final)
	}
	p, err := newPump(ctx, source, destination, base, true, final)
	if err != nil {
		return upgrade.Copied{}, err
	}
	return p.cycle(ctx)
}

// Irreversible implements upgrade.Copier.
func (c *Copier) Irreversible(ctx context.Context, blue, green api.Side) ([]string, error) {
	old, successor, speak, err := c.sides(ctx, blue, green)
	if err != nil {
		return nil, err
	}
	if !speak {
		return c.Copier.Irreversible(ctx, blue, green)
	}
	before, err := old.status(ctx)
	if err != nil {
		return nil, err
	}
	after, err := successor.status(ctx)
	if err != nil || slices.Contains(after.Exports, before.Schema) {
		return nil, err
	}
	return []string{fmt.Sprintf("the new version exports schemas %v, and the old one needs %d", after.Exports, before.Schema)}, nil
}

// Verify implements upgrade.Copier.
func (c *Copier) Verify(ctx context.Context, from, to api.Side) (api.Verification, error) {
	source, destination, speak, err := c.sides(ctx, from, to)
	if err != nil {
		return api.Verification{}, err
	}
	if !speak {
		return c.Copier.Verify(ctx, from, to)
	}
	has, given, err := digests(ctx, source, destination, url.Values{})
	return verification(has, given), err
}

// VerifyBack implements upgrade.Copier.
func (c *Copier) VerifyBack(ctx context.Context, from, to api.Side) (api.Verification, error) {
	source, destination, speak, err := c.sides(ctx, from, to)
	if err != nil {
		return api.Verification{}, err
	}
	if !speak {
		return c.Copier.VerifyBack(ctx, from, to)
	}
	st, err := destination.status(ctx)
	if err != nil {
		return api.Verification{}, err
	}
	if st.Cursor == nil || st.Cursor.Base == "" {
		return api.Verification{}, kit.Errorf(kit.ErrConflict, "", "nothing was taken back to %s yet", to.Group)
	}
	q := url.Values{"after": {st.Cursor.Base}, "schema": {strconv.Itoa(st.Schema)}}
	has, given, err := digests(ctx, source, destination, q)
	return verification(has, given), err
}
