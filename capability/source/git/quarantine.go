package git

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// unpackLimit is the number of objects from which on a pack stays a pack;
// smaller ones become loose objects, so that small pushes leave no packs.
const unpackLimit = 100

// strict makes git check every object (git-fsck). The faults with a severity
// are harmless and part of the history of well-known projects.
const strict = "--strict=zeroPaddedFilemode=warn,missingSpaceBeforeDate=warn,badTimezone=warn"

// quarantine is an object directory of its own inside a repository. Objects
// in it exist only for those who know of it.
type quarantine struct {
	Reader
	store string   // the repository's own object directory
	moved []string // the files that migrate has made there
}

// quarantine makes an empty quarantine. The caller drops it.
func (r *Repository) quarantine() (*quarantine, error) {
	objects := filepath.Join(r.dir, "objects")
	dir, err := os.MkdirTemp(objects, "incoming-")
	if err != nil {
		return nil, err
	}
	q := &quarantine{Reader: Reader{dir: r.dir, incoming: dir}, store: objects}
	if err := os.Mkdir(filepath.Join(dir, "pack"), 0o755); err != nil {
		return nil, errors.Join(err, q.drop())
	}
	return q, nil
}

// drop removes the quarantine with all that is in it.
func (q *quarantine) drop() error { return os.RemoveAll(q.incoming) }

// unpack reads a pack into the quarantine and checks each of its objects.
func (q *quarantine) unpack(ctx context.Context, pack io.Reader) error {
	var head [12]byte // "PACK", version, number of objects
	if _, err := io.ReadFull(pack, head[:]); err != nil {
		return fmt.Errorf("the pack is cut short: %w", err)
	}
	if string(head[:4]) != "PACK" {
		return fmt.Errorf("the request holds no pack where one must be: %w", ErrInvalid)
	}
	args := []string{"unpack-objects", "-q", strict}
	if binary.BigEndian.Uint32(head[8:]) >= unpackLimit {
		args = []string{"index-pack", "--stdin", "--fix-thin", strict}
	}
	cmd := q.command(ctx, args...)
	var words tail
	cmd.Stderr = &words
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	// This goroutine copies, so that nobody reads from pack any more when git
	// has ended early. What went wrong then is what git says.
	_, copied := io.Copy(in, io.MultiReader(bytes.NewReader(head[:]), pack))
	closed := in.Close()
	err = explain(ctx, cmd.Wait(), args[0], &words)
	if err == nil {
		err = errors.Join(copied, closed)
	}
	return err
}

// connected checks that the history and the files of the commits are there.
func (q *quarantine) connected(ctx context.Context, ids []string) error {
	_, err := q.output(ctx, strings.NewReader(strings.Join(ids, "\n")+"\n"),
		"rev-list", "--objects", "--quiet", "--stdin", "--not", "--branches", "--tags")
	return err
}

// only returns a quarantine without the objects that none of ids needs.
func (r *Repository) only(ctx context.Context, q *quarantine, ids []string) (*quarantine, error) {
	kept, err := r.quarantine()
	if err != nil {
		return nil, err
	}
	if err := kept.copy(ctx, q, ids); err != nil {
		return nil, errors.Join(err, kept.drop())
	}
	return kept, nil
}

func (q *quarantine) copy(ctx context.Context, from *quarantine, ids []string) error {
	pack, err := os.Create(filepath.Join(q.incoming, "tmp_copy"))
	if err != nil {
		return err
	}
	defer pack.Close()
	if err := from.Pack(ctx, pack, ids...); err != nil {
		return err
	}
	if _, err := pack.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return q.unpack(ctx, pack)
}

// Pack writes the objects that ids need and that no branch or tag leads to,
// as a pack that refers to no object outside.
func (r Reader) Pack(ctx context.Context, w io.Writer, ids ...string) error {
	if err := checkRevision(ids...); err != nil {
		return err
	}
	refs, err := r.output(ctx, nil, "for-each-ref", "--format=^%(objectname)", "refs/heads", "refs/tags")
	if err != nil {
		return err
	}
	cmd := r.command(ctx, "pack-objects", "--revs", "--stdout", "-q", "--delta-base-offset")
	cmd.Stdin = io.MultiReader(strings.NewReader(strings.Join(ids, "\n")+"\n"), bytes.NewReader(refs))
	cmd.Stdout = w
	return run(ctx, cmd, "pack-objects")
}

// Unpack adds the objects of a pack to the repository; no ref moves. It is
// how a repository is made again from the packs of its pushes, oldest first.
// If it fails, nothing is left. A Judge and Verdict.Commit must not call it.
func (r *Repository) Unpack(ctx context.Context, pack io.Reader) error {
	return r.add(ctx, func(q *quarantine) error { return q.unpack(ctx, pack) })
}

// migrate links the quarantined files into the repository and brings them to
// the disk. It never replaces a file: one of the same name has the same
// content. An index comes last, since git finds a pack by its index. After an
// error, undo is due.
func (q *quarantine) migrate() error {
	var files, indexes []string
	err := filepath.WalkDir(q.incoming, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
			return err
		case strings.HasPrefix(d.Name(), "tmp_"):
			return nil
		case strings.HasSuffix(path, ".idx"):
			indexes = append(indexes, path)
		default:
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	dirs := map[string]bool{}
	for _, path := range append(files, indexes...) {
		name, err := filepath.Rel(q.incoming, path)
		if err != nil {
			return err
		}
		target := filepath.Join(q.store, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.Link(path, target); errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return err
		}
		q.moved = append(q.moved, target)
		dirs[filepath.Dir(target)] = true
	}
	if len(dirs) > 0 {
		dirs[q.store] = true
	}
	for dir := range dirs {
		if err := syncPath(dir); err != nil {
			return err
		}
	}
	return nil
}

// undo takes back what migrate has done, indexes first.
func (q *quarantine) undo() error {
	var errs []error
	for i := len(q.moved) - 1; i >= 0; i-- {
		errs = append(errs, os.Remove(q.moved[i]))
	}
	q.moved = nil
	return errors.Join(errs...)
}

// write stores one object in the quarantine and returns its id.
func (q *quarantine) write(ctx context.Context, kind string, data []byte) (string, error) {
	return q.line(ctx, bytes.NewReader(data), "hash-object", "-t", kind, "-w", "--stdin")
}
