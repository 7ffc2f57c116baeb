package git

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Finding is a place in a file that a check has objected to.
type Finding struct {
	Path string
	Line int    // from 1; 0 if it is not known
	Text string // what is wrong, without a final period
}

// String returns "path:line: text".
func (f Finding) String() string {
	if f.Line == 0 {
		return f.Text
	}
	return fmt.Sprintf("%s:%d: %s", f.Path, f.Line, f.Text)
}

// Check returns the white space errors and conflict markers in the lines that
// a commit adds. What counts in which file is set by the attributes whitespace
// and diff in the .gitattributes of base, the ref that the commit is meant
// for, so that a patch cannot excuse itself: an exception is made by a commit
// that lands before the one that needs it. Files that git takes for binary
// are not looked at, and merge commits have no findings.
func (r Reader) Check(ctx context.Context, commit, base string) ([]Finding, error) {
	c, err := r.Commit(ctx, commit)
	if err != nil || len(c.Parents) > 1 {
		return nil, err
	}
	parent := EmptyTree
	if len(c.Parents) == 1 {
		parent = c.Parents[0]
	}
	onto, err := r.Commit(ctx, base)
	if err != nil {
		return nil, err
	}
	// Git reads attributes from a work tree and else from the index, so an
	// empty work tree makes it read those of base.
	work, err := os.MkdirTemp("", "landfall-check-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	env := []string{"GIT_INDEX_FILE=" + filepath.Join(work, "index"), "GIT_WORK_TREE=" + filepath.Join(work, "tree")}
	if err := os.Mkdir(filepath.Join(work, "tree"), 0o755); err != nil {
		return nil, err
	}
	read := r.command(ctx, "read-tree", onto.Tree)
	read.Env = append(read.Env, env...)
	if err := run(ctx, read, "read-tree"); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	check := r.command(ctx, "diff-tree", "--check", "-r", parent, c.SHA)
	check.Env = append(check.Env, env...)
	check.Stdout = &out
	err = run(ctx, check, "diff-tree")
	if err == nil {
		return nil, nil
	}
	if exitCode(err) != 2 {
		return nil, err
	}
	return parseFindings(out.String()), nil
}

// findingPattern is the head of a finding of git diff --check.
var findingPattern = regexp.MustCompile(`^(.+):(\d+): (leftover conflict marker|new blank line at EOF\.|[a-z, ]+\.)$`)

// parseFindings reads a report of git diff --check that has found something:
// "path:line: text." and, for an error within a line, that line with a "+"
// before it. A path can hold a line end, which breaks its head in two; so what
// cannot be read is a finding of its own if there is no other.
func parseFindings(report string) []Finding {
	var findings []Finding
	content := false // the next line is one of a file
	for line := range strings.Lines(report) {
		if content {
			content = false
			continue
		}
		m := findingPattern.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			continue
		}
		content = strings.HasSuffix(m[3], ".") && !strings.HasPrefix(m[3], "new blank line")
		number, err := strconv.Atoi(m[2])
		if err != nil {
			continue
		}
		findings = append(findings, Finding{Path: m[1], Line: number, Text: strings.TrimSuffix(m[3], ".")})
	}
	if len(findings) == 0 {
		findings = []Finding{{Text: "white space errors or conflict markers in added lines: see git show --check"}}
	}
	return findings
}
