package review

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// verdictsOn returns the documents that judge what b has kept: a report, an
// inventory, or both.
func verdictsOn(b api.Build) (links []kit.Link) {
	if slices.ContainsFunc(b.Reports, func(f api.ReportFile) bool { return !f.Kind.OfInventory() }) {
		links = append(links, api.Reports.Link(b.Link.ID()))
	}
	if slices.ContainsFunc(b.Reports, func(f api.ReportFile) bool { return f.Kind.OfInventory() }) {
		links = append(links, api.Inventories.Link(b.Link.ID()))
	}
	return links
}

// judged returns those of links that somebody judges: a hub may run without
// quality, and without inventory.
func (f *filer) judged(ctx context.Context, links []kit.Link) (kept []kit.Link, err error) {
	absent := map[string]bool{}
	for _, l := range links {
		known, asked := absent[l.Kind()]
		if !asked {
			_, err := f.client.List(ctx, kit.Query{Kind: l.Kind(), Limit: 1})
			known = errors.Is(err, kit.ErrNotFound)
			if err != nil && !known {
				return nil, err
			}
			absent[l.Kind()] = known
		}
		if !known {
			kept = append(kept, l)
		}
	}
	return kept, nil
}

// onInventory makes the verdict on what a patch set brings along a vote on it.
// One that waits for a person to decide is no verdict yet.
func onInventory(i api.Inventory, _ time.Time) []kit.Op {
	if i.Change == "" || !strings.Contains(i.Link.ID(), ".") { // of a build of no run: a job that somebody tries
		return nil
	}
	a := analysis{VoteArgs: api.VoteArgs{PatchSet: i.PatchSet, Label: api.LabelQuality, Link: i.Link, Text: conditions(i.Conditions)}}
	switch i.State {
	case api.InventoryPassed:
		a.Value = 1
	case api.InventoryDenied:
		a.Value = -1
	case api.InventoryReview:
	case api.InventoryError:
		a.Text = fmt.Sprintf("The dependencies could not be judged: %s; landfall inventory judge %s tries it again.", i.Error, i.Link.ID())
	default:
		return nil
	}
	return []kit.Op{kit.Send(i.Change, "judged", a)}
}
