package review

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// onPush has a push's commits filed as patch sets.
func onPush(p api.Push, _ time.Time) []kit.Op {
	if p.Branch == "" {
		return nil
	}
	return []kit.Op{kit.Call("file", p.Link.ID(), nil)}
}

// onRun makes the verdict of a gating run a vote on the patch set that it
// tested. One that was run again has no say any more.
func onRun(r api.Run, _ time.Time) []kit.Op {
	if r.Change == "" || r.Next != "" {
		return nil
	}
	v := api.VoteArgs{PatchSet: r.PatchSet, Label: api.LabelVerified, Link: evidence(r)}
	switch {
	case r.State == api.RunPassed:
		v.Value, v.Text = 1, "The gating run passed."
		return []kit.Op{kit.Call("verify", r.Link.ID(), v)}
	case r.State == api.RunFailed:
		v.Value, v.Text = -1, "The gating run failed: "+reason(r)
	case r.State == api.RunCancelled && !r.Superseded:
		v.Text = fmt.Sprintf("The gating run was %s; landfall pipeline rerun %s repeats it.", r.Error, r.Link.ID())
	case !r.State.Final() && r.Round > 0:
		return []kit.Op{kit.Send(r.Change, "gating", gating{PatchSet: r.PatchSet, Run: r.Link})}
	default:
		return nil
	}
	return []kit.Op{kit.Send(r.Change, "vote", v)}
}

// gating is the event "gating" of a change: a patch set is tested once more.
type gating struct {
	PatchSet int      `json:"patchSet"`
	Run      kit.Link `json:"run"`
}

// evidence is the build whose log tells of r's verdict, that of the node that
// failed or the only one; else it is r.
func evidence(r api.Run) kit.Link {
	var builds []kit.Link
	for _, n := range r.Nodes {
		if n.Link.Kind() != api.Builds.Name {
			continue
		}
		if n.State == api.RunFailed {
			return n.Link
		}
		builds = append(builds, n.Link)
	}
	if r.State == api.RunPassed && len(builds) == 1 {
		return builds[0]
	}
	return r.Link
}

func reason(r api.Run) string {
	for _, n := range r.Nodes {
		if n.State == api.RunFailed {
			return fmt.Sprintf("%s: %s", n.ID, n.Error)
		}
	}
	return r.Error
}

// onLanding tells the change what became of its landing.
func onLanding(l api.Landing, _ time.Time) []kit.Op {
	if l.State == "" || l.State == api.LandingWanted {
		return nil
	}
	return []kit.Op{kit.Send(l.Change, "landing", l)}
}

// filer files pushed commits.
type filer struct {
	client kit.Client

	// turn is held over looking a change up and making it, so that two pushes
	// with the same Change-Id do not make two changes.
	turn sync.Mutex
}

// filing is the event "patchset" of a change: a pushed commit.
type filing struct {
	api.PatchSet
	// Of is the patch set that a rebase was made of.
	Of int `json:"of,omitempty"`
}

// file opens a change for each commit of the push r, or adds a patch set to
// the open change with its Change-Id. Filing the same push again finds every
// commit filed.
func (f *filer) file(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	p, err := api.Pushes.Decode(r)
	if err != nil {
		return nil, err
	}
	f.turn.Lock()
	defer f.turn.Unlock()
	people, err := f.people(ctx)
	if err != nil {
		return nil, &kit.Error{Op: "review.file", Link: p.Link, Err: err}
	}
	for _, c := range p.Commits {
		if err := f.fileCommit(ctx, p, c, people[strings.ToLower(c.Email)]); err != nil {
			return nil, &kit.Error{Op: "review.file", Link: p.Link, Err: err}
		}
	}
	return nil, nil
}

// people returns the subjects of the users by their addresses in lower case.
// A hub without people has none.
func (f *filer) people(ctx context.Context) (map[string][]string, error) {
	all := map[string][]string{}
	for u, err := range api.Users.All(ctx, f.client, "", "") {
		if errors.Is(err, kit.ErrNotFound) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if u.Email != "" {
			address := strings.ToLower(u.Email)
			all[address] = append(all[address], string(u.Link))
		}
	}
	return all, nil
}

func (f *filer) fileCommit(ctx context.Context, p api.Push, c api.Commit, authors []string) error {
	x := filing{PatchSet: patchSet(p, c)}
	x.Authors = authors
	change, err := f.find(ctx, p, c.ChangeID, &x)
	if err != nil {
		return err
	}
	if change == "" {
		_, err := api.Changes.Create(ctx, f.client, "", api.Change{
			Meta:      kit.Meta{Source: p.Link},
			Project:   p.Project,
			Branch:    p.Branch,
			ChangeID:  c.ChangeID,
			Subject:   c.Subject,
			Topic:     p.Topic,
			Owner:     p.By,
			PatchSets: []api.PatchSet{x.PatchSet},
		})
		return err
	}
	_, err = api.Changes.Send(ctx, f.client, change.ID(), "patchset", x)
	if errors.Is(err, kit.ErrConflict) {
		return nil // closed meanwhile: the push stays as it is, the change too
	}
	return err
}

// find returns the change that a commit of p belongs to, or nothing if it is
// new. For a rebased commit, x is told which patch set it was made of.
func (f *filer) find(ctx context.Context, p api.Push, changeID string, x *filing) (kit.Link, error) {
	if p.Landing != "" {
		l, err := api.Landings.Read(ctx, f.client, p.Landing.ID())
		x.Of = l.PatchSet
		return l.Change, err
	}
	filter := fmt.Sprintf("project == %q && branch == %q && changeId == %q", p.Project, p.Branch, changeID)
	for c, err := range api.Changes.All(ctx, f.client, filter, "") {
		return c.Link, err
	}
	return "", nil
}

func patchSet(p api.Push, c api.Commit) api.PatchSet {
	ps := api.PatchSet{
		Commit:   c.SHA,
		Author:   c.Author,
		Email:    c.Email,
		Message:  c.Message,
		Uploader: p.By,
		Rebase:   p.Landing != "",
		Push:     p.Link,
	}
	if len(c.Parents) > 0 {
		ps.Parent = c.Parents[0]
	}
	return ps
}
