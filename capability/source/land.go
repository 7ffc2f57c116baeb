package source

import (
	"cmp"
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
	Protected bool             `json:"protected,omitempty"`
}

// land moves the branch of the landing r to its commit, if the branch stands at
// the commit's parent; otherwise it makes the rebased commit and a Push of it.
// Carried out again it finds its own work.
func (s source) land(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	l, err := api.Landings.Decode(r)
	if err != nil {
		return nil, err
	}
	project, err := api.Projects.Read(ctx, s.client, l.Project)
	if err != nil {
		return nil, err
	}
	done := landResult{State: api.LandingLanded, Protected: project.Protects(l.Branch)}
	repository, err := s.git.Repository(l.Project)
	if err != nil {
		return nil, fault(err)
	}
	commit, err := repository.Commit(ctx, l.Commit)
	if err != nil {
		return nil, fault(err)
	}
	name := "refs/heads/" + l.Branch
	for {
		ref, err := api.Refs.Read(ctx, s.client, api.RefID(l.Project, name))
		if err != nil {
			return nil, err
		}
		if ref.Commit == "" {
			return nil, kit.Errorf(kit.ErrNotFound, ref.Link, "the branch was deleted")
		}
		landed, err := repository.Ancestor(ctx, l.Commit, ref.Commit)
		if err != nil {
			return nil, fault(err)
		}
		if landed {
			return done, s.bring(ctx, l.Project, name)
		}
		straight, err := follows(ctx, repository, commit, ref.Commit)
		if err != nil {
			return nil, fault(err)
		}
		if !straight {
			return s.rebase(ctx, repository, l, commit, ref.Commit)
		}
		err = s.move(ctx, ref, l)
		if !errors.Is(err, kit.ErrStale) {
			return done, err
		}
	}
}

// follows tells whether c adds nothing to the history of tip but itself. More
// would land commits that are changes of their own.
func follows(ctx context.Context, repository *git.Repository, c git.Commit, tip string) (bool, error) {
	if len(c.Parents) == 0 || c.Parents[0] != tip {
		return false, nil
	}
	for _, p := range c.Parents[1:] {
		if on, err := repository.Ancestor(ctx, p, tip); !on {
			return false, err
		}
	}
	return true, nil
}

// move is the compare-and-swap of a branch.
func (s source) move(ctx context.Context, ref api.Ref, l api.Landing) error {
	patch := fmt.Sprintf(`{"commit":%q,"before":%q,"by":%q,"source":%q}`, l.Commit, ref.Commit, l.By, l.Link)
	if _, err := s.client.Update(ctx, ref.Link, []byte(patch), ref.Version); err != nil {
		return err
	}
	return s.bring(ctx, ref.Project, ref.Name)
}

func (s source) rebase(ctx context.Context, repository *git.Repository, l api.Landing, c git.Commit, tip string) (any, error) {
	below, err := s.unlanded(ctx, repository, l, c, tip)
	if err != nil {
		return nil, fault(err)
	}
	if below != "" {
		return landResult{State: api.LandingConflict, Detail: fmt.Sprintf("it stands on change %s, which has not landed: submit that first", below.ID())}, nil
	}
	by, err := s.person(ctx, l.By)
	if err != nil {
		return nil, err
	}
	by.Time = l.Created
	commit, err := repository.Rebase(ctx, l.Commit, tip, by)
	var conflict *git.MergeConflict
	switch {
	case errors.As(err, &conflict):
		return landResult{State: api.LandingConflict, Detail: "conflicts in " + strings.Join(conflict.Paths, ", ") + ": rebase it and push again"}, nil
	case err != nil:
		return nil, fault(err)
	}
	if c, err = repository.Commit(ctx, commit); err != nil {
		return nil, fault(err)
	}
	id := "landing-" + l.Link.ID()
	push, err := api.Pushes.Create(ctx, s.client, id, api.Push{
		Meta:    kit.Meta{Source: l.Link},
		Project: l.Project,
		Ref:     "refs/for/" + l.Branch,
		Branch:  l.Branch,
		By:      l.By,
		Commits: []api.Commit{commitDocument(c)},
		Landing: l.Link,
	})
	if errors.Is(err, kit.ErrConflict) {
		// Made by an attempt that was cut off, maybe on an older tip.
		push, err = api.Pushes.Read(ctx, s.client, id)
	}
	if err != nil {
		return nil, err
	}
	return landResult{State: api.LandingRebased, NewCommit: push.Commits[0].SHA}, nil
}

// unlanded returns the change that c was made on top of, if that has not
// landed: c alone would not be what was reviewed and tested.
func (s source) unlanded(ctx context.Context, repository *git.Repository, l api.Landing, c git.Commit, tip string) (kit.Link, error) {
	for _, p := range c.Parents {
		on, err := repository.Ancestor(ctx, p, tip)
		if err != nil {
			return "", err
		}
		if on {
			continue
		}
		parent, err := repository.Commit(ctx, p)
		if err != nil {
			return "", err
		}
		for change, err := range api.Changes.All(ctx, s.client, changesWith(l.Project, l.Branch, parent.ChangeID), "") {
			if err != nil || change.Status != api.ChangeMerged {
				return change.Link, err
			}
		}
	}
	return "", nil
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
	_, err := s.made(ctx, r.Link.ID())
	return nil, fault(err)
}

// made returns the repository of a project, which is made if there is none.
func (s source) made(ctx context.Context, project string) (*git.Repository, error) {
	if err := s.git.Create(ctx, project); err != nil && !errors.Is(err, git.ErrExists) {
		return nil, err
	}
	return s.git.Repository(project)
}

// sync brings the repository in line with the ref r.
func (s source) sync(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	ref, err := api.Refs.Decode(r)
	if err != nil {
		return nil, err
	}
	return nil, s.bring(ctx, ref.Project, ref.Name)
}

// bring brings the branch name in the repository in line with its document. A
// document without a commit says that the branch is to go; once it has, the
// document goes too.
func (s source) bring(ctx context.Context, project, name string) error {
	for attempt := 1; ; attempt++ {
		err := s.bringOnce(ctx, project, name)
		if attempt == bringAttempts || !errors.Is(err, git.ErrConflict) {
			return fault(err)
		}
	}
}

// bringAttempts is how often bring looks again when somebody else, a request
// or the reaction, brings the same branch at the same time.
const bringAttempts = 5

func (s source) bringOnce(ctx context.Context, project, name string) error {
	repository, err := s.git.Repository(project)
	if err != nil {
		return err
	}
	at, err := repository.Tip(ctx, name)
	if errors.Is(err, git.ErrNotFound) {
		at, err = git.Zero, nil
	}
	if err != nil {
		return err
	}
	// The document is read after the repository: if somebody brings both further
	// meanwhile, the swap fails, instead of taking the repository back.
	ref, err := api.Refs.Read(ctx, s.client, api.RefID(project, name))
	if errors.Is(err, kit.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if to := cmp.Or(ref.Commit, git.Zero); to != at {
		if err := repository.UpdateRef(ctx, name, to, at); err != nil {
			return err
		}
	}
	if ref.Commit != "" {
		return nil
	}
	err = s.client.Delete(ctx, ref.Link, ref.Version)
	if errors.Is(err, kit.ErrStale) || errors.Is(err, kit.ErrNotFound) {
		return nil // made anew, or gone already
	}
	return err
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
	case errors.Is(err, git.ErrConflict):
		return &kit.Error{Fault: kit.ErrUnavailable, Detail: "the branch is being moved", Hint: "try again in a moment", Err: err}
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
