package harness

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"landfall.dev/api"
)

// edit is a commit that somebody makes in a clone of the project.
type edit struct {
	name    string // of the clone, and of what it is in messages
	message string
	apply   func(ctx context.Context, clone string) error
}

// bump makes the n-th version.
func (p *Path) bump(n int) edit {
	p.t.Helper()
	p.prebuild(n, p.bin.Next)
	if n == 2 {
		return edit{"version " + version(n), "feat: version 2 of the ledger\n\nIt is made to be upgraded to.", func(ctx context.Context, clone string) error {
			return p.git(ctx, clone, "apply", "--include=VERSION", "--include=account.go", filepath.Join(p.bin.Source, "examples/ledger/v2.patch"))
		}}
	}
	return write("version "+version(n), "VERSION", version(n))
}

// write puts a line into a file.
func write(name, file, line string) edit {
	return edit{name, "feat: " + name + " of the ledger\n\nIt is made to land.", func(_ context.Context, clone string) error {
		return os.WriteFile(filepath.Join(clone, file), []byte(line+"\n"), 0o644)
	}}
}

// ReleaseAmongOthers carries the n-th version, from the second on, to its
// release while others want the same branch: a change that lands first, so
// that the version is rebased and tested again, and a rival that touches the
// same line, meets a conflict and is given up.
func (p *Path) ReleaseAmongOthers(n int) {
	p.t.Helper()
	next := p.push(p.bump(n))
	note := p.push(write("note "+version(n), "NOTES", version(n)+" comes"))
	rival := p.push(write("rival "+version(n), "VERSION", version(n)+"-rival"))
	p.land(note)
	c := p.land(next)
	if len(c.PatchSets) != 2 || !c.Current().Rebase || c.Merged != c.Current().Commit {
		p.t.Fatalf("version %s landed as %s, from the patch sets %+v: want a rebased one", version(n), c.Merged, c.PatchSets)
	}
	p.giveUp(rival)
	p.release(n, c.Merged)
}

// land takes a change through review and returns it merged.
func (p *Path) land(change string) api.Change {
	p.t.Helper()
	p.submit(change)
	c := await(p, p.admin, api.Changes, change, func(c api.Change) bool { return c.Status != api.ChangeOpen || verdict(c) < 0 })
	if c.Status != api.ChangeMerged {
		p.t.Fatalf("the change %s is %s: %+v", change, c.Status, c.Current().Votes)
	}
	return c
}

// giveUp submits a change that does not apply, and then abandons it.
func (p *Path) giveUp(change string) {
	p.t.Helper()
	p.submit(change)
	l := await(p, p.admin, api.Landings, change+"-1", func(l api.Landing) bool { return l.State != api.LandingWanted })
	if l.State != api.LandingConflict || !strings.Contains(l.Detail, "conflicts in VERSION") {
		p.t.Fatalf("the landing of change %s is %s: %q, want a conflict in VERSION", change, l.State, l.Detail)
	}
	p.Insist("the change has been given up", func(ctx context.Context) error {
		c, err := api.Changes.Read(ctx, p.admin, change)
		if err != nil || c.Status == api.ChangeAbandoned {
			return err
		}
		_, err = p.landfall(ctx, author, "change", "abandon", change)
		return err
	})
}

// submit waits for the verdict on a change and has it reviewed and submitted.
func (p *Path) submit(change string) {
	p.t.Helper()
	c := await(p, p.admin, api.Changes, change, func(c api.Change) bool { return verdict(c) != 0 })
	if verdict(c) < 0 {
		p.t.Fatalf("the change %s got Verified -1: %+v", change, c.Current().Votes)
	}
	p.Insist("the change has been reviewed and submitted", func(ctx context.Context) error {
		c, err := api.Changes.Read(ctx, p.admin, change)
		if err != nil || c.Submit != "" || c.Status == api.ChangeMerged {
			return err
		}
		if _, err := p.landfall(ctx, judge, "change", "vote", change, "+2"); err != nil {
			return err
		}
		_, err = p.landfall(ctx, author, "change", "submit", change)
		return err
	})
}

// verdict is the change's vote on Verified, 0 if there is none.
func verdict(c api.Change) int {
	for _, v := range c.Current().Votes {
		if v.Label == api.LabelVerified {
			return v.Value
		}
	}
	return 0
}

// push commits an edit on the tip of the branch, pushes it for review, and
// returns the id of the change.
func (p *Path) push(e edit) (change string) {
	p.t.Helper()
	secret := [20]byte{}
	_, _ = rand.Read(secret[:]) // never fails
	changeID := "I" + hex.EncodeToString(secret[:])
	clone := p.Dir("clone of " + e.name)
	url := strings.Replace(p.url, "://", "://"+author+":"+p.tokens[author]+"@", 1) + "/git/" + project
	p.Insist("the project has been cloned", func(ctx context.Context) error {
		return errors.Join(os.RemoveAll(clone), p.git(ctx, p.dir, "clone", "-q", url, clone))
	})
	err := e.apply(p.t.Context(), clone)
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", e.message + "\n\nChange-Id: " + changeID}} {
		err = errors.Join(err, p.git(p.t.Context(), clone, args...))
	}
	if err != nil {
		p.t.Fatalf("commit %s: %v", e.name, err)
	}
	p.Insist(e.name+" has been pushed", func(ctx context.Context) error {
		err := p.git(ctx, clone, "push", "-q", "origin", "HEAD:refs/for/main")
		if err != nil && strings.Contains(err.Error(), "no new changes") {
			return nil // an answer was lost
		}
		return err
	})
	p.Insist("there is a change", func(ctx context.Context) error {
		for c, err := range api.Changes.All(ctx, p.admin, fmt.Sprintf("changeId == %q", changeID), "") {
			if err != nil {
				return err
			}
			change = c.Link.ID()
			return nil
		}
		return errors.New("there is none with " + changeID)
	})
	return change
}

func (p *Path) git(ctx context.Context, dir string, args ...string) error {
	_, err := run(ctx, dir, []string{
		"GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=" + author, "GIT_AUTHOR_EMAIL=" + author + "@example.com",
		"GIT_COMMITTER_NAME=" + author, "GIT_COMMITTER_EMAIL=" + author + "@example.com",
	}, "git", args...)
	return err
}
