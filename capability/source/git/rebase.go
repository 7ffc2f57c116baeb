package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Rebase makes a commit on top of onto that does what commit does to its one
// parent, and returns its id; no ref moves. It keeps author, author date and
// message; committer says who rebased and when, so that the same arguments
// make the same commit. A commit that is already on onto is returned as it is.
//
// The error is a *MergeConflict if both changed the same lines, ErrInvalid if
// commit is a merge or has no parent; then nothing is left in the repository.
// A Judge and Verdict.Commit must not call it: it waits for their push.
func (r *Repository) Rebase(ctx context.Context, commit, onto string, committer Person) (string, error) {
	c, err := r.Commit(ctx, commit)
	if err != nil {
		return "", err
	}
	if onto, err = r.commit(ctx, onto); err != nil {
		return "", err
	}
	if len(c.Parents) != 1 {
		return "", fmt.Errorf("commit %s has %d parents; only a commit with one can be rebased: %w",
			short(c.SHA), len(c.Parents), ErrInvalid)
	}
	if c.Parents[0] == onto {
		return c.SHA, nil
	}
	var id string
	err = r.add(ctx, func(q *quarantine) error {
		id, err = q.rebase(ctx, c, onto, committer)
		return err
	})
	return id, err
}

// add runs write with a quarantine and keeps what it wrote unless it fails.
func (r *Repository) add(ctx context.Context, write func(*quarantine) error) (err error) {
	if err := r.lock(ctx); err != nil {
		return err
	}
	defer r.unlock()
	q, err := r.quarantine()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.drop()) }()
	if err := write(q); err != nil {
		return err
	}
	if err := q.migrate(); err != nil {
		return errors.Join(err, q.undo())
	}
	return nil
}

// rebase is a merge of onto and c whose base is c's parent. Git before 2.40
// cannot be told the base, so onto's tree is put on that parent first: the
// commits then have it as their base by themselves.
func (q *quarantine) rebase(ctx context.Context, c Commit, onto string, committer Person) (string, error) {
	target, err := q.Commit(ctx, onto)
	if err != nil {
		return "", err
	}
	who := committer.line()
	base, err := q.write(ctx, "commit", fmt.Appendf(nil, "tree %s\nparent %s\nauthor %s\ncommitter %s\n\nbase\n",
		target.Tree, c.Parents[0], who, who))
	if err != nil {
		return "", err
	}
	out, err := q.output(ctx, nil, "merge-tree", "--write-tree", "--no-messages", "--name-only", "-z", base, c.SHA)
	lines := split(out) // the tree, then the paths with conflicts
	if exitCode(err) == 1 && len(lines) > 1 {
		paths := lines[1:]
		slices.Sort(paths)
		return "", &MergeConflict{Commit: c.SHA, Onto: onto, Paths: slices.Compact(paths)}
	}
	if err != nil {
		return "", err
	}
	raw, err := q.objects(ctx, false, c.SHA)
	if err != nil {
		return "", err
	}
	id, err := q.write(ctx, "commit", rewrite(raw[0].data, lines[0], onto, committer))
	if err != nil {
		return "", err
	}
	if err := os.Remove(filepath.Join(q.incoming, base[:2], base[2:])); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return id, nil
}
