package source

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/source/git"
	"landfall.dev/kit"
)

// commit makes the push durable before its refs move: all of its documents
// are written, or none. If it fails, git takes the pushed objects back, which
// must not happen to those that a document names. So where it is not known
// whether the documents were written, that is found out first.
func (j *judgement) commit(ctx context.Context) error {
	writes, err := j.writes(ctx)
	if err != nil {
		return err
	}
	_, err = j.client.Batch(ctx, writes)
	switch kit.FaultOf(err) {
	case 0:
		return nil
	case kit.ErrInternal, kit.ErrTimeout:
	case kit.ErrStale, kit.ErrConflict:
		return errors.New("a branch has moved meanwhile: fetch and push again")
	default:
		return fmt.Errorf("the push could not be kept: %w", err)
	}
	for {
		written, unknown := j.written(ctx)
		if unknown == nil && written {
			return nil
		}
		if unknown == nil {
			return fmt.Errorf("the push could not be kept, try again: %w", err)
		}
		j.log.Warn("waited to find out whether a push was kept", "project", j.project, "error", unknown)
		time.Sleep(time.Second)
	}
}

// writes are the documents of the push.
func (j *judgement) writes(ctx context.Context) ([]kit.Write, error) {
	var writes []kit.Write
	for _, p := range j.pushes {
		body, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		writes = append(writes, kit.Write{Verb: kit.VerbCreate, Link: api.Pushes.Link(""), Body: body})
	}
	for _, m := range j.moves {
		w, err := j.moveRef(ctx, m)
		if err != nil {
			return nil, fmt.Errorf("%s could not be moved: %w", m.Ref, err)
		}
		writes = append(writes, w)
	}
	return writes, nil
}

// moveRef returns the write that moves a branch by c, from where c says that it
// is. The repository may lag behind the document, which is the truth.
func (j *judgement) moveRef(ctx context.Context, c git.Command) (kit.Write, error) {
	commit := c.New
	if commit == git.Zero {
		commit = ""
	}
	old, err := api.Refs.Read(ctx, j.client, api.RefID(j.project, c.Ref))
	if err != nil && !errors.Is(err, kit.ErrNotFound) {
		return kit.Write{}, err
	}
	if cmp.Or(old.Commit, git.Zero) != c.Old {
		return kit.Write{}, errors.New("it has moved meanwhile: fetch and push again")
	}
	w := kit.Write{Verb: kit.VerbUpdate, Link: old.Link, IfMatch: old.Version}
	if old.Link == "" {
		w.Verb, w.Link = kit.VerbCreate, api.Refs.Link(api.RefID(j.project, c.Ref))
	}
	// The first commit of a project is its own, like an imported one, and so is
	// carried on by a pipeline; what else is pushed past the review is not.
	source := kit.Link("")
	if c.Ref == mainRef && old.Commit == "" && j.owner {
		source = api.Projects.Link(j.project)
	}
	w.Body, err = json.Marshal(map[string]any{
		"project": j.project, "name": c.Ref, "commit": commit, "before": old.Commit, "by": j.by, "source": source,
	})
	return w, err
}

// written tells whether the documents of the push are there.
func (j *judgement) written(ctx context.Context) (bool, error) {
	for _, p := range j.pushes {
		last := p.Commits[len(p.Commits)-1].SHA
		page, err := j.client.List(ctx, kit.Query{
			Kind:        api.Pushes.Name,
			Filter:      fmt.Sprintf("project == %q && ref == %q && commits.exists(c, c.sha == %q)", j.project, p.Ref, last),
			Limit:       1,
			Consistency: kit.Linearizable,
		})
		if err != nil || len(page.Items) == 0 {
			return false, err
		}
	}
	for _, m := range j.moves {
		r, err := j.client.Read(ctx, api.Refs.Link(api.RefID(j.project, m.Ref)), kit.ReadOptions{Consistency: kit.Linearizable})
		if errors.Is(err, kit.ErrNotFound) {
			return m.New == git.Zero, nil
		}
		if err != nil {
			return false, err
		}
		ref, err := api.Refs.Decode(r)
		if err != nil || cmp.Or(ref.Commit, git.Zero) != m.New {
			return false, err
		}
	}
	return true, nil
}
