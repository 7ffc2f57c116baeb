package source

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/source/git"
	"landfall.dev/kit"
)

// landResult is the outcome of the action land.
type landResult struct {
	State     api.LandingState `json:"state"`
	NewCommit string           `json:"newCommit,omitempty"`
	Detail    string           `json:"detail,omitempty"`
}

// land moves the branch of the landing r to its commit, if the branch is an
// ancestor of it; otherwise it makes the rebased commit and a Push of it.
// Carried out again it finds its own work.
func (s source) land(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	l, err := api.Landings.Decode(r)
	if err != nil {
		return nil, err
	}
	repository, err := s.git.Repository(l.Project)
	if err != nil {
		return nil, fault(err)
	}
	id := api.RefID(l.Project, "refs/heads/"+l.Branch)
	for {
		ref, err := api.Refs.Read(ctx, s.client, id)
		if err != nil {
			return nil, err
		}
		landed, err := repository.Ancestor(ctx, l.Commit, ref.Commit)
		if err != nil {
			return nil, fault(err)
		}
		if landed {
			return landResult{State: api.LandingLanded}, s.bring(ctx, ref)
		}
		straight, err := repository.Ancestor(ctx, ref.Commit, l.Commit)
		if err != nil {
			return nil, fault(err)
		}
		if !straight {
			return s.rebase(ctx, repository, l, ref.Commit)
		}
		err = s.move(ctx, ref, l.Commit, l.By)
		if !errors.Is(err, kit.ErrStale) {
			return landResult{State: api.LandingLanded}, err
		}
	}
}

// move is the compare-and-swap of a branch.
func (s source) move(ctx context.Context, ref api.Ref, commit, by string) error {
	patch := fmt.Sprintf(`{"commit":%q,"before":%q,"by":%q}`, commit, ref.Commit, by)
	rec, err := s.client.Update(ctx, ref.Link, []byte(patch), ref.Version)
	if err != nil {
		return err
	}
	if ref, err = api.Refs.Decode(rec); err != nil {
		return err
	}
	return s.bring(ctx, ref)
}

func (s source) rebase(ctx context.Context, repository *git.Repository, l api.Landing, tip string) (any, error) {
	by, err := s.person(ctx, l.By)
	if err != nil {
		return nil, err
	}
	by.Time = l.Created
	commit, err := repository.Rebase(ctx, l.Commit, tip, by)
	var conflict *git.MergeConflict
	switch {
	case errors.As(err, &conflict):
		return landResult{State: api.LandingConflict, Detail: "conflicts in " + strings.Join(conflict.Paths, ", ")}, nil
	case err != nil:
		return nil, fault(err)
	}
	c, err := repository.Commit(ctx, commit)
	if err != nil {
		return nil, fault(err)
	}
	_, err = api.Pushes.Create(ctx, s.client, "landing-"+l.Link.ID(), api.Push{
		Meta:    kit.Meta{Source: l.Link},
		Project: l.Project,
		Ref:     "refs/for/" + l.Branch,
		Branch:  l.Branch,
		By:      l.By,
		Commits: []api.Commit{commitDocument(c)},
		Landing: l.Link,
	})
	if err != nil && !errors.Is(err, kit.ErrConflict) {
		return nil, err
	}
	return landResult{State: api.LandingRebased, NewCommit: commit}, nil
}

// person returns the name and address of a subject.
func (s source) person(ctx context.Context, subject string) (git.Person, error) {
	link := kit.Link(subject)
	p := git.Person{Name: link.ID(), Email: link.ID() + "@landfall.invalid"}
	if link.Kind() != api.Users.Name {
		return p, nil
	}
	u, err := api.Users.Read(ctx, s.client, link.ID())
	if errors.Is(err, kit.ErrNotFound) {
		return p, nil
	}
	if u.Name != "" {
		p.Name = u.Name
	}
	if u.Email != "" {
		p.Email = u.Email
	}
	return p, err
}

// init makes the repository of the project r.
func (s source) init(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	err := s.git.Create(ctx, r.Link.ID())
	if errors.Is(err, git.ErrExists) {
		err = nil
	}
	return nil, err
}

// sync brings the repository in line with the ref r.
func (s source) sync(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	ref, err := api.Refs.Decode(r)
	if err != nil {
		return nil, err
	}
	return nil, s.bring(ctx, ref)
}

func (s source) bring(ctx context.Context, ref api.Ref) error {
	repository, err := s.git.Repository(ref.Project)
	if err != nil {
		return err
	}
	at, err := repository.Tip(ctx, ref.Name)
	if err != nil && !errors.Is(err, git.ErrNotFound) {
		return err
	}
	if at == ref.Commit {
		return nil
	}
	return repository.UpdateRef(ctx, ref.Name, ref.Commit, at)
}

// mark makes the refs of the patch sets of the change r.
func (s source) mark(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	c, err := api.Changes.Decode(r)
	if err != nil {
		return nil, err
	}
	repository, err := s.git.Repository(c.Project)
	if err != nil {
		return nil, err
	}
	for _, ps := range c.PatchSets {
		name := changeRef(c.Link.ID(), ps.Number)
		if _, err := repository.Tip(ctx, name); !errors.Is(err, git.ErrNotFound) {
			if err != nil {
				return nil, err
			}
			continue
		}
		if err := repository.UpdateRef(ctx, name, ps.Commit, git.Zero); err != nil && !errors.Is(err, git.ErrConflict) {
			return nil, err
		}
	}
	return nil, nil
}

// fault gives an error of git its fault, so that what can never work is not
// tried again.
func fault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, git.ErrNotFound):
		return &kit.Error{Fault: kit.ErrNotFound, Detail: err.Error()}
	case errors.Is(err, git.ErrInvalid):
		return &kit.Error{Fault: kit.ErrInvalid, Detail: err.Error()}
	}
	return err
}

func commitDocument(c git.Commit) api.Commit {
	return api.Commit{
		SHA: c.SHA, Tree: c.Tree, Parents: c.Parents,
		Author: c.Author.Name, Email: c.Author.Email, Time: c.Author.Time.UTC(),
		Subject: c.Subject, Message: c.Message, ChangeID: c.ChangeID,
	}
}
