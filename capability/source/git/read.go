package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// MaxDiff is the size in bytes from which on Diff leaves files out.
const MaxDiff = 4 << 20

// MaxFile is the size in bytes of the largest file that ReadFile returns.
const MaxFile = 32 << 20

// object is one answer of git cat-file.
type object struct {
	id   string // full id, or the name that was asked for if it is missing
	kind string // commit, tree, blob, tag, or missing
	size int64
	data []byte
}

// objects looks up names; with data unless check is set. Names hold no line end.
func (r Reader) objects(ctx context.Context, check bool, names ...string) ([]object, error) {
	mode := "--batch"
	if check {
		mode = "--batch-check"
	}
	out, err := r.output(ctx, strings.NewReader(strings.Join(names, "\n")+"\n"), "cat-file", mode)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReader(bytes.NewReader(out))
	found := make([]object, 0, len(names))
	for range names {
		head, err := in.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("git cat-file: short answer: %w", err)
		}
		head = strings.TrimSuffix(head, "\n")
		o := object{id: head, kind: "missing"}
		if f := strings.Fields(head); len(f) == 3 && idPattern.MatchString(f[0]) {
			o.id, o.kind = f[0], f[1]
			if o.size, err = strconv.ParseInt(f[2], 10, 64); err != nil {
				return nil, fmt.Errorf("git cat-file: answer %q: %w", head, err)
			}
		}
		if !check && o.kind != "missing" {
			o.data = make([]byte, o.size+1) // a line end follows
			if _, err := io.ReadFull(in, o.data); err != nil {
				return nil, fmt.Errorf("git cat-file: short object %s: %w", o.id, err)
			}
			o.data = o.data[:o.size]
		}
		found = append(found, o)
	}
	return found, nil
}

// Tip returns the id of the object that ref points to, or ErrNotFound.
func (r Reader) Tip(ctx context.Context, ref string) (string, error) {
	if err := checkRevision(ref); err != nil {
		return "", err
	}
	id, err := r.line(ctx, nil, "rev-parse", "--verify", "--quiet", "--end-of-options", ref)
	if exitCode(err) == 1 {
		return "", fmt.Errorf("%s: %w", ref, ErrNotFound)
	}
	return id, err
}

// commit resolves a revision to the id of a commit, or returns ErrNotFound.
func (r Reader) commit(ctx context.Context, revision string) (string, error) {
	if err := checkRevision(revision); err != nil {
		return "", err
	}
	o, err := r.objects(ctx, true, revision+"^{commit}")
	if err != nil {
		return "", err
	}
	if o[0].kind != "commit" {
		return "", fmt.Errorf("commit %s: %w", revision, ErrNotFound)
	}
	return o[0].id, nil
}

// Commit returns one commit, or ErrNotFound.
func (r Reader) Commit(ctx context.Context, commit string) (Commit, error) {
	id, err := r.commit(ctx, commit)
	if err != nil {
		return Commit{}, err
	}
	o, err := r.objects(ctx, false, id)
	if err != nil {
		return Commit{}, err
	}
	return parseCommit(o[0].id, o[0].data), nil
}

// list runs rev-list and returns its commits in order.
func (r Reader) list(ctx context.Context, args ...string) ([]Commit, error) {
	out, err := r.output(ctx, nil, append([]string{"rev-list"}, args...)...)
	if err != nil {
		return nil, err
	}
	ids := strings.Fields(string(out))
	if len(ids) == 0 {
		return nil, nil
	}
	found, err := r.objects(ctx, false, ids...)
	if err != nil {
		return nil, err
	}
	commits := make([]Commit, len(found))
	for i, o := range found {
		commits[i] = parseCommit(o.id, o.data)
	}
	return commits, nil
}

// Log returns the commits from to back to, but without, from along first
// parents, newest first. An empty from means all.
func (r Reader) Log(ctx context.Context, from, to string) ([]Commit, error) {
	to, err := r.commit(ctx, to)
	if err != nil {
		return nil, err
	}
	args := []string{"--first-parent", to}
	if from != "" {
		if from, err = r.commit(ctx, from); err != nil {
			return nil, err
		}
		args = append(args, "^"+from)
	}
	return r.list(ctx, args...)
}

// Ancestor reports whether b's history contains a; a commit is its own ancestor.
func (r Reader) Ancestor(ctx context.Context, a, b string) (bool, error) {
	a, errA := r.commit(ctx, a)
	b, errB := r.commit(ctx, b)
	if err := errors.Join(errA, errB); err != nil {
		return false, err
	}
	_, err := r.output(ctx, nil, "merge-base", "--is-ancestor", a, b)
	if exitCode(err) == 1 {
		return false, nil
	}
	return err == nil, err
}

// path checks a slash-separated path and resolves commit; "." is the root.
func (r Reader) path(ctx context.Context, commit, path string) (string, error) {
	if !fs.ValidPath(path) || strings.ContainsAny(path, "\n\x00") {
		return "", fmt.Errorf("path %q: must be relative, with slashes and without '..': %w", path, ErrInvalid)
	}
	id, err := r.commit(ctx, commit)
	if err != nil {
		return "", err
	}
	if path == "." {
		return id + ":", nil
	}
	return id + ":" + path, nil
}

// ReadFile returns a file of a commit; for a symbolic link, its target. The
// error is ErrNotFound if there is no file at path.
func (r Reader) ReadFile(ctx context.Context, commit, path string) ([]byte, error) {
	name, err := r.path(ctx, commit, path)
	if err != nil {
		return nil, err
	}
	o, err := r.objects(ctx, true, name)
	if err != nil {
		return nil, err
	}
	if o[0].kind != "blob" {
		return nil, fmt.Errorf("file %s in commit %s: %w", path, short(commit), ErrNotFound)
	}
	if o[0].size > MaxFile {
		return nil, fmt.Errorf("file %s in commit %s has %d bytes, more than %d: %w",
			path, short(commit), o[0].size, MaxFile, ErrInvalid)
	}
	if o, err = r.objects(ctx, false, o[0].id); err != nil {
		return nil, err
	}
	return o[0].data, nil
}

// List returns the names in a directory of a commit, sorted; those of
// directories end with a slash. The root is ".".
func (r Reader) List(ctx context.Context, commit, dir string) ([]string, error) {
	name, err := r.path(ctx, commit, dir)
	if err != nil {
		return nil, err
	}
	o, err := r.objects(ctx, true, name)
	if err != nil {
		return nil, err
	}
	if o[0].kind != "tree" {
		return nil, fmt.Errorf("directory %s in commit %s: %w", dir, short(commit), ErrNotFound)
	}
	out, err := r.output(ctx, nil, "ls-tree", "-z", o[0].id)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range split(out) { // "mode type id\tname"
		about, name, _ := strings.Cut(entry, "\t")
		if strings.Contains(about, " tree ") {
			name += "/"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// Paths returns the paths of all files of a commit.
func (r Reader) Paths(ctx context.Context, commit string) ([]string, error) {
	c, err := r.Commit(ctx, commit)
	if err != nil {
		return nil, err
	}
	out, err := r.output(ctx, nil, "ls-tree", "-r", "-z", "--name-only", "--full-tree", c.SHA)
	return split(out), err
}

// Files returns the paths that a commit adds, changes or removes, compared
// with its first parent, sorted.
func (r Reader) Files(ctx context.Context, commit string) ([]string, error) {
	c, err := r.Commit(ctx, commit)
	if err != nil {
		return nil, err
	}
	parent := EmptyTree
	if len(c.Parents) > 0 {
		parent = c.Parents[0]
	}
	out, err := r.output(ctx, nil, "diff-tree", "-r", "-z", "--name-only", "--no-renames", parent, c.SHA)
	return split(out), err
}

// Diff returns the unified diff from one commit to another, renames detected.
// An empty from means the empty tree. If it is larger than MaxDiff, the last
// line, starting with "# ", says so and the files that do not fit are left out.
func (r Reader) Diff(ctx context.Context, from, to string) ([]byte, error) {
	to, err := r.commit(ctx, to)
	if err != nil {
		return nil, err
	}
	if from == "" {
		from = EmptyTree
	} else if from, err = r.commit(ctx, from); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := &capped{limit: MaxDiff, full: func() { cancel(errFull) }}
	cmd := r.command(ctx, "diff-tree", "-r", "-p", "-M", "--no-color", "--no-ext-diff", from, to)
	cmd.Stdout = out
	err = run(ctx, cmd, "diff-tree")
	if !out.over {
		return out.data, err
	}
	kept := out.data[:bytes.LastIndex(out.data, []byte("\ndiff --git "))+1]
	return fmt.Appendf(kept, "# cut: the diff is larger than %d bytes; see all of it with: git diff %s %s\n",
		MaxDiff, from, to), nil
}

var errFull = errors.New("the diff is larger than its limit")

// capped keeps what is written to it up to a limit, then calls full.
type capped struct {
	data  []byte
	limit int
	over  bool
	full  func()
}

func (c *capped) Write(p []byte) (int, error) {
	room := c.limit - len(c.data)
	if len(p) <= room {
		c.data = append(c.data, p...)
		return len(p), nil
	}
	c.data = append(c.data, p[:room]...)
	c.over = true
	c.full()
	return room, errFull
}

// split returns the parts of output with -z.
func split(out []byte) []string {
	text := strings.TrimSuffix(string(out), "\x00")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\x00")
}
