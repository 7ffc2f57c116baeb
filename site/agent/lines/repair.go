package lines

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/site/upgrade"
)

// Repair implements upgrade.Copier.
func (c *Copier) Repair(ctx context.Context, from, to api.Side) (upgrade.Copied, error) {
	source, destination, speak, err := c.sides(ctx, from, to)
	if err != nil {
		return upgrade.Copied{}, err
	}
	if !speak {
		return c.Copier.Repair(ctx, from, to)
	}
	has, given, err := digests(ctx, source, destination, url.Values{})
	if err != nil {
		return upgrade.Copied{}, err
	}
	different := has.differ(given)
	if len(different) == 0 {
		return upgrade.Copied{}, nil
	}
	p, err := newPump(ctx, source, destination, "", false, false)
	if err != nil {
		return upgrade.Copied{}, err
	}
	return p.mend(ctx, different)
}

// mend copies the documents of the buckets again.
func (p *pump) mend(ctx context.Context, names []string) (upgrade.Copied, error) {
	p.stays = true
	only := strings.Join(names, ",")
	extra := map[kit.Link]bool{}
	err := p.to.each(ctx, url.Values{"bucket": {only}}, func(batch []line) error {
		for _, l := range batch {
			extra[l.Link] = true
		}
		return nil
	})
	if err != nil {
		return p.copied, err
	}
	err = p.from.each(ctx, url.Values{"bucket": {only}, "schema": {strconv.Itoa(p.schema)}}, func(batch []line) error {
		for _, l := range batch {
			delete(extra, l.Link)
		}
		return p.post(ctx, batch, "")
	})
	if err != nil {
		return p.copied, err
	}
	var gone []line
	for link := range extra {
		l := line{Link: link, Deleted: true}
		if l.text, err = json.Marshal(map[string]any{"link": link, "deleted": true}); err != nil {
			return p.copied, err
		}
		gone = append(gone, l)
	}
	for batch := range slices.Chunk(gone, batchLines) {
		if err := p.post(ctx, batch, ""); err != nil {
			return p.copied, err
		}
	}
	return p.copied, nil
}

// each calls f with the lines of an export, batch by batch.
func (s service) each(ctx context.Context, q url.Values, f func([]line) error) error {
	x, err := s.export(ctx, q)
	if err != nil {
		return err
	}
	defer x.close()
	for x.end == "" {
		batch, err := x.batch(ctx, batchLines)
		if err != nil {
			return err
		}
		if err := f(batch); err != nil {
			return err
		}
	}
	return nil
}
